// The limits as a plain model: what the core's shared counters do, for one thread and without bounds.
import type { Limit, Period } from '../limit.js';
import type { Charge } from '../normalize.js';

export interface ChargeResult extends Charge {
  readonly allowed: boolean;
  /** What the limit still admits at this moment. */
  readonly remaining: number;
  /** Milliseconds until a charge of this cost is admitted; absent when it is, or never will be. */
  readonly retryAfter?: number;
}

/** What a counter has seen; never changed in place, so that a refused request can put it back. */
interface Counter {
  readonly window: number;
  readonly count: number;
  /** Of the window before. */
  readonly previous: number;
}

interface Step {
  readonly next: Counter;
  readonly allowed: boolean;
  readonly remaining: number;
  readonly wait: number;
}

const fresh: Counter = { window: 0, count: 0, previous: 0 };

export class FakeCounters {
  readonly #counters = new Map<string, Counter>();

  /** All or nothing, in order; the results end with the charge that was refused. */
  chargeAll(charges: readonly Charge[], now: number): ChargeResult[] {
    const before = new Map<string, Counter>();
    const results: ChargeResult[] = [];
    for (const charge of charges) {
      const id = idOf(charge);
      const counter = this.#counters.get(id) ?? fresh;
      if (!before.has(id)) before.set(id, counter);
      const { next, remaining, wait, ...stepped } = step(counter, charge, now);
      // A cost of nothing only tells how things stand.
      const allowed = stepped.allowed || charge.cost === 0;
      const waits = !allowed && charge.cost <= mostAtOnce(charge.limit);
      results.push({ ...charge, allowed, remaining, ...(waits ? { retryAfter: wait } : {}) });
      if (!allowed) {
        for (const [key, value] of before) this.#counters.set(key, value);
        break;
      }
      this.#counters.set(id, next);
    }
    return results;
  }

  /** Gives back what a concurrency limit holds; other limits keep what was charged. */
  release({ limit, key, cost }: Charge): void {
    if (limit.kind !== 'concurrency') return;
    const id = idOf({ limit, key });
    const counter = this.#counters.get(id) ?? fresh;
    this.#counters.set(id, { ...counter, count: Math.max(0, counter.count - cost) });
  }
}

/** Another algorithm, window or rate is another counter; another count in the same window is not. */
function idOf({ limit, key }: { limit: Limit; key: string }): string {
  return JSON.stringify([limit.kind, spanOf(limit), key]);
}

function spanOf(limit: Limit): string | number {
  switch (limit.kind) {
    case 'gcra':
      return limit.per / limit.count;
    case 'quota':
      return limit.period;
    case 'concurrency':
      return 0;
    default:
      return limit.window;
  }
}

function mostAtOnce(limit: Limit): number {
  return limit.kind === 'gcra' ? limit.burst : limit.count;
}

function step(counter: Counter, { limit, cost }: Charge, now: number): Step {
  switch (limit.kind) {
    case 'gcra':
      return gcra(counter, limit, cost, now);
    case 'fixed-window': {
      const window = Math.floor(now / limit.window);
      return counted(counter, window, limit.count, cost, (window + 1) * limit.window - now);
    }
    case 'quota': {
      const [start, end] = periodAt(now, limit.period);
      return counted(counter, start, limit.count, cost, end - now);
    }
    case 'sliding-window':
      return sliding(counter, limit, cost, now);
    case 'concurrency':
      // When a permit comes back is not known; one second is what Retry-After can say at least.
      return counted(counter, 0, limit.count, cost, 1000);
  }
}

function counted(
  counter: Counter,
  window: number,
  limit: number,
  cost: number,
  wait: number,
): Step {
  const count = counter.window === window ? counter.count : 0;
  const allowed = count + cost <= limit;
  const after = allowed ? count + cost : count;
  return {
    next: { window, count: after, previous: 0 },
    allowed,
    remaining: Math.max(0, limit - after),
    wait,
  };
}

/** `window` holds the theoretical arrival time in milliseconds times `count`, so that every step is a whole number. */
function gcra(
  counter: Counter,
  { count, per, burst }: Extract<Limit, { kind: 'gcra' }>,
  cost: number,
  now: number,
): Step {
  const time = now * count;
  const arrival = Math.max(counter.window, time);
  const next = arrival + cost * per;
  const over = next - time - burst * per;
  const allowed = over <= 0;
  const held = (allowed ? next : arrival) - time;
  return {
    next: { window: next, count: 0, previous: 0 },
    allowed,
    remaining: Math.max(0, Math.floor((burst * per - held) / per)),
    wait: Math.ceil(over / count),
  };
}

/** The window before counts by the share of it that the sliding window still covers. */
function sliding(
  counter: Counter,
  { count: limit, window: length }: Extract<Limit, { window: number }>,
  cost: number,
  now: number,
): Step {
  const window = Math.floor(now / length);
  const { count, previous } = shifted(counter, window);
  const left = length - (now - window * length);
  const estimate = (previous * left) / length + count;
  const allowed = estimate + cost <= limit;
  const after = allowed ? count + cost : count;
  return {
    next: { window, count: after, previous },
    allowed,
    remaining: Math.max(0, Math.floor(limit - (allowed ? estimate + cost : estimate))),
    wait: slidingWait({ count, previous, left, length, limit, cost }),
  };
}

function shifted(counter: Counter, window: number): { count: number; previous: number } {
  if (counter.window === window) return counter;
  return { count: 0, previous: counter.window === window - 1 ? counter.count : 0 };
}

/** First within this window as the one before fades, then within the next as this one does. */
function slidingWait(at: {
  count: number;
  previous: number;
  left: number;
  length: number;
  limit: number;
  cost: number;
}): number {
  const { count, previous, left, length, limit, cost } = at;
  const room = limit - cost - count;
  if (room >= 0) return Math.ceil(left - (room * length) / Math.max(1, previous));
  return Math.ceil(left + length - ((limit - cost) * length) / count);
}

const day = 24 * 3_600_000;

/** Start and end of the calendar period in UTC that holds a moment. */
function periodAt(now: number, period: Period): readonly [start: number, end: number] {
  const date = new Date(now);
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()];
  switch (period) {
    case 'hour': {
      const start = now - (now % 3_600_000);
      return [start, start + 3_600_000];
    }
    case 'day': {
      const start = now - (now % day);
      return [start, start + day];
    }
    case 'week': {
      const monday = now - (now % day) - ((date.getUTCDay() + 6) % 7) * day;
      return [monday, monday + 7 * day];
    }
    case 'month':
      return [Date.UTC(year, month), Date.UTC(year, month + 1)];
    case 'year':
      return [Date.UTC(year, 0), Date.UTC(year + 1, 0)];
  }
}
