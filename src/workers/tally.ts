// What happens to policies in a worker, counted until the control thread asks.

export const policyEvents = [
  /** It threw, gave no verdict, or took too long. */
  'failed',
  'breaker_opened',
  /** In shadow mode, it would have let the request pass. */
  'shadow_passed',
  /** In shadow mode, it would have ended the request, or sent it elsewhere. */
  'shadow_ended',
] as const;

export type PolicyEvent = (typeof policyEvents)[number];

export interface TallyEntry {
  policy: string;
  event: PolicyEvent;
  count: number;
}

export class Tally {
  readonly #counts = new Map<string, Map<PolicyEvent, number>>();

  add(policy: string, event: PolicyEvent, count = 1): void {
    const counts = this.#counts.get(policy) ?? new Map<PolicyEvent, number>();
    counts.set(event, (counts.get(event) ?? 0) + count);
    this.#counts.set(policy, counts);
  }

  get entries(): TallyEntry[] {
    return [...this.#counts].flatMap(([policy, counts]) =>
      [...counts].map(([event, count]) => ({ policy, event, count })),
    );
  }

  /** What was counted since the last time. */
  take(): TallyEntry[] {
    const { entries } = this;
    this.#counts.clear();
    return entries;
  }
}
