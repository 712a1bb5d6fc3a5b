// The limits as a plain model: what the core's shared counters do, for one thread and without bounds.
import type { Counted, CounterStore, StoreCharge } from '../counters.js';
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
  /** `gcra`: the theoretical arrival time in nanoseconds. */
  readonly arrival: bigint;
}

interface Step {
  /** Absent when the charge does not fit. */
  readonly next: Counter | undefined;
  readonly remaining: number;
  readonly resetAfter: number;
  readonly wait: number;
}

const fresh: Counter = { window: 0, count: 0, previous: 0, arrival: 0n };

/** Keys of different owners are different keys; the charges of verdicts have none. */
const nobody = '';

export class FakeCounters {
  readonly #counters = new Map<string, Counter>();

  /** Of a verdict: all or nothing, in order; the results end with the charge that was refused. */
  chargeAll(charges: readonly Charge[], now: number): ChargeResult[] {
    const counts = this.#charge(nobody, charges, now);
    const refused = counts.findIndex(({ allowed }) => !allowed);
    const made = refused < 0 ? charges : charges.slice(0, refused + 1);
    return made.map((charge, index) => {
      const { allowed, remaining, retryAfter } = counts[index] as Counted;
      const waits = retryAfter === undefined ? {} : { retryAfter };
      return { ...charge, allowed, remaining, ...waits };
    });
  }

  /** Gives back what a concurrency limit holds; other limits keep what was charged. */
  release(charge: StoreCharge): void {
    this.#release(nobody, charge);
  }

  /** What `ctx.counters` of one owner counts on; without one, under the keys of verdicts. */
  store(owner: string, now: () => number): CounterStore {
    const held = new Map<number, StoreCharge>();
    let permits = 0;
    const release = (permit: number) => {
      const charge = held.get(permit);
      if (charge !== undefined) this.#release(owner, charge);
      held.delete(permit);
    };
    return {
      charge: (charges) => {
        const chargedAt = now();
        return {
          counts: this.#charge(owner, charges, chargedAt),
          refund: () => this.#refund(owner, charges, chargedAt, now()),
        };
      },
      peek: (charge) => this.#peek(owner, charge, now()),
      acquire: (charge) => {
        const counted = this.#charge(owner, [charge], now())[0] as Counted;
        if (!counted.allowed) return { counted, permit: undefined };
        permits += 1;
        held.set(permits, charge);
        return { counted, permit: permits };
      },
      release,
      close: () => {
        for (const permit of held.keys()) release(permit);
      },
    };
  }

  #at(id: string): Counter {
    return this.#counters.get(id) ?? fresh;
  }

  /** The numbers as they stand, and whether the cost would fit. */
  #peek(owner: string, charge: StoreCharge, now: number): Counted {
    const counter = this.#at(idOf(owner, charge));
    const { refusal, retryAfter } = decided(counter, charge, now).counted;
    const stands = decided(counter, { ...charge, cost: 0 }, now).counted;
    return { ...stands, allowed: refusal === undefined, refusal, retryAfter };
  }

  /** Looks at each before it makes any, as the core does. */
  #charge(owner: string, charges: readonly StoreCharge[], now: number): Counted[] {
    const ids = charges.map((charge) => idOf(owner, charge));
    const before = new Map(ids.map((id) => [id, this.#at(id)]));
    const refusedAt = (which: number, how: Counted) =>
      charges.map((charge, index) =>
        index === which ? how : this.#peek(owner, { ...charge, cost: 0 }, now),
      );
    for (const [index, charge] of charges.entries()) {
      const { counted } = decided(this.#at(ids[index] as string), charge, now);
      if (!counted.allowed) return refusedAt(index, counted);
    }
    const counts: Counted[] = [];
    for (const [index, charge] of charges.entries()) {
      const id = ids[index] as string;
      const { counted, next } = decided(this.#at(id), charge, now);
      if (!counted.allowed) {
        for (const [key, value] of before) this.#counters.set(key, value);
        return refusedAt(index, counted);
      }
      counts.push(counted);
      this.#counters.set(id, next);
    }
    return counts;
  }

  #refund(owner: string, charges: readonly StoreCharge[], chargedAt: number, now: number): void {
    for (const charge of charges) {
      const id = idOf(owner, charge);
      this.#counters.set(id, refunded(this.#at(id), charge, chargedAt, now));
    }
  }

  #release(owner: string, charge: StoreCharge): void {
    if (charge.limit.kind !== 'concurrency') return;
    const id = idOf(owner, charge);
    const counter = this.#at(id);
    this.#counters.set(id, { ...counter, count: Math.max(0, counter.count - charge.cost) });
  }
}

/** Another algorithm, window or rate is another counter; another count in the same window is not. */
function idOf(owner: string, { limit, key }: StoreCharge): string {
  return JSON.stringify([owner, limit.kind, identityOf(limit), key]);
}

function identityOf(limit: Limit): string | number {
  switch (limit.kind) {
    case 'gcra':
      return `${intervalOf(limit)}`;
    case 'quota':
      return limit.period;
    case 'concurrency':
      return 0;
    default:
      return limit.window;
  }
}

/** `next` is the counter as it was, where nothing was counted. */
function decided(
  counter: Counter,
  { limit, cost }: StoreCharge,
  now: number,
): { counted: Counted; next: Counter } {
  const most = limit.kind === 'gcra' ? limit.burst : limit.count;
  const tooCostly = cost > most;
  // What can never be had only tells how things stand, as a cost of nothing does.
  const charged = tooCostly ? 0 : cost;
  const { next, remaining, resetAfter, wait } = step(counter, limit, charged, now);
  const usedUp = next === undefined && charged > 0;
  const refusal = tooCostly ? 'too-costly' : usedUp ? 'used-up' : undefined;
  return {
    counted: {
      allowed: refusal === undefined,
      refusal,
      limit: most,
      remaining,
      resetAfter,
      retryAfter: usedUp ? wait : undefined,
    },
    next: charged === 0 ? counter : (next ?? counter),
  };
}

function step(counter: Counter, limit: Limit, cost: number, now: number): Step {
  switch (limit.kind) {
    case 'gcra':
      return gcra(counter, limit, cost, now);
    case 'fixed-window': {
      const window = Math.floor(now / limit.window);
      return inWindow(counter, window, limit.count, cost, (window + 1) * limit.window - now);
    }
    case 'quota': {
      const [start, end] = periodAt(now, limit.period);
      return inWindow(counter, start, limit.count, cost, end - now);
    }
    case 'sliding-window':
      return sliding(counter, limit, cost, now);
    case 'concurrency':
      // When a permit comes back is not known; one second is what Retry-After can say at least.
      return { ...inWindow(counter, 0, limit.count, cost, 0), wait: 1000 };
  }
}

function inWindow(
  counter: Counter,
  window: number,
  limit: number,
  cost: number,
  untilEnd: number,
): Step {
  const count = counter.window === window ? counter.count : 0;
  const fits = count + cost <= limit;
  return {
    next: fits ? { ...fresh, window, count: count + cost } : undefined,
    remaining: Math.max(0, limit - (fits ? count + cost : count)),
    resetAfter: untilEnd,
    wait: untilEnd,
  };
}

const nanosPerMilli = 1_000_000n;

/** Nanoseconds between two at the steady rate, rounded up. */
function intervalOf({ count, per }: Extract<Limit, { kind: 'gcra' }>): bigint {
  return ceilDiv(BigInt(per) * nanosPerMilli, BigInt(count));
}

function gcra(
  counter: Counter,
  limit: Extract<Limit, { kind: 'gcra' }>,
  cost: number,
  now: number,
): Step {
  const interval = intervalOf(limit);
  const span = BigInt(limit.burst) * interval;
  const time = BigInt(now) * nanosPerMilli;
  const ahead = larger(counter.arrival - time, 0n);
  const after = ahead + BigInt(cost) * interval;
  const held = after <= span ? after : ahead;
  return {
    next: after <= span ? { ...fresh, arrival: time + after } : undefined,
    remaining: Number(larger(span - held, 0n) / interval),
    resetAfter: Number(ceilDiv(held, nanosPerMilli)),
    wait: Number(ceilDiv(after - span, nanosPerMilli)),
  };
}

/** The window before counts by the share of it that the sliding window still covers, rounded up. */
function sliding(
  counter: Counter,
  { count: limit, window: length }: Extract<Limit, { window: number }>,
  cost: number,
  now: number,
): Step {
  const window = Math.floor(now / length);
  const { count, previous } = shifted(counter, window);
  const elapsed = now - window * length;
  const share = Number(ceilDiv(BigInt(previous) * BigInt(length - elapsed), BigInt(length)));
  const fits = share + count + cost <= limit;
  const after = fits ? count + cost : count;
  const room = limit - cost;
  // First within this window as the one before fades, then within the next as this one does.
  const wait =
    count <= room
      ? fadedAfter(previous, room - count, length)
      : length + fadedAfter(count, room, length);
  return {
    next: fits ? { ...fresh, window, count: after, previous } : undefined,
    remaining: Math.max(0, limit - share - after),
    resetAfter: length - elapsed,
    wait: wait - elapsed,
  };
}

function shifted(counter: Counter, window: number): { count: number; previous: number } {
  if (counter.window === window) return counter;
  return { count: 0, previous: counter.window === window - 1 ? counter.count : 0 };
}

/** How much of a window must pass until at most `room` is left of the one before. */
function fadedAfter(before: number, room: number, length: number): number {
  if (before <= room) return 0;
  return length - Number((BigInt(room) * BigInt(length)) / BigInt(before));
}

/** No more than is certain to be counted still. */
function refunded(
  counter: Counter,
  { limit, cost }: StoreCharge,
  chargedAt: number,
  now: number,
): Counter {
  switch (limit.kind) {
    case 'gcra': {
      const ahead = larger(counter.arrival - BigInt(now) * nanosPerMilli, 0n);
      const flowedOff = BigInt(now - chargedAt) * nanosPerMilli;
      const left = larger(BigInt(cost) * intervalOf(limit) - flowedOff, 0n);
      return { ...counter, arrival: counter.arrival - smaller(left, ahead) };
    }
    case 'fixed-window':
    case 'sliding-window':
      return less(counter, Math.floor(chargedAt / limit.window), cost);
    case 'quota':
      return less(counter, periodAt(chargedAt, limit.period)[0], cost);
    case 'concurrency':
      return counter;
  }
}

function less(counter: Counter, window: number, cost: number): Counter {
  if (counter.window !== window) return counter;
  return { ...counter, count: Math.max(0, counter.count - cost) };
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function smaller(a: bigint, b: bigint): bigint {
  return a > b ? b : a;
}

/** Of numbers that are not negative. */
function ceilDiv(a: bigint, b: bigint): bigint {
  return (a + b - 1n) / b;
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
