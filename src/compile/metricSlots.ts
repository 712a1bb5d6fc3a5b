// Numbers for the counters of routes, upstreams, endpoints and address lists. A thing keeps its number over reloads, also when it
// is gone for a while, so that its counters go on.

export type MetricSubject =
  | { kind: 'route'; route: string }
  | { kind: 'upstream'; upstream: string }
  | { kind: 'fetch'; upstream: string }
  | { kind: 'access'; policy: string; mode: 'enforce' | 'shadow' }
  | { kind: 'endpoint'; upstream: string; endpoint: string };

/** What the core has room for (kMaxSlots). */
export const maxMetricSlots = 64 * 1024;

export class MetricSlots {
  readonly #slots = new Map<string, number>();

  /** The subject's number, a new one when it has none yet. May reach `maxMetricSlots` and more: see `exhausted`. */
  slotOf(subject: MetricSubject): number {
    const key = keyOf(subject);
    const known = this.#slots.get(key);
    if (known !== undefined) return known;
    const slot = this.#slots.size;
    this.#slots.set(key, slot);
    return slot;
  }

  /** More things were named since the start of the process than the core has counters for. */
  get exhausted(): boolean {
    return this.#slots.size > maxMetricSlots;
  }
}

function keyOf(subject: MetricSubject): string {
  switch (subject.kind) {
    case 'route':
      return `route:${subject.route}`;
    case 'access':
      return `access:${subject.mode}:${subject.policy}`;
    case 'fetch':
      return `fetch:${subject.upstream}`;
    case 'upstream':
      return `upstream:${subject.upstream}`;
    case 'endpoint':
      return `endpoint:${subject.upstream}/${subject.endpoint}`;
  }
}
