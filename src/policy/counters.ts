// `ctx.counters`: what a policy counts while it decides. The arguments are checked here; the counting is a store's, which is the
// core's table in a gateway and a model of it in tests.
import { fail, problemText, type Unfit } from './checked.js';
import { counterKey } from './counterKey.js';
import { checkLimit, type Limit, type LimitDraft } from './limit.js';
import { verdictLimits } from './normalize.js';

/** How a counter stands. */
export interface Counted {
  readonly allowed: boolean;
  /** Why not: `too-costly` will never be allowed, `full` finds no room for one more counter. */
  readonly refusal: 'used-up' | 'too-costly' | 'full' | undefined;
  /** The most that can be had at once: `burst` of `gcra`, `count` of the others. */
  readonly limit: number;
  /** What could still be had now. */
  readonly remaining: number;
  /** Milliseconds until the window ends; `gcra`: until the whole burst is there again; `concurrency`: 0. */
  readonly resetAfter: number;
  /** Milliseconds until the same would be allowed if nobody else came; absent unless it is `used-up`. */
  readonly retryAfter: number | undefined;
}

export interface Charged extends Counted {
  /** Takes the charge back, as far as it still counts. Once; nothing when it was refused. */
  refund(): void;
}

export interface ChargedAll {
  readonly allowed: boolean;
  /** In the order of the charges. Where one was refused the others only tell how they stand. */
  readonly counts: readonly Counted[];
  /** The first that was not allowed. */
  readonly refused: Counted | undefined;
  /** Takes all of them back, as far as they still count. Once; nothing when they were refused. */
  refund(): void;
}

export interface Acquired extends Counted {
  /** Gives the place back. Once; nothing when it was refused. */
  release(): void;
}

export interface CounterCharge {
  readonly limit: LimitDraft;
  /** Of any length, but not empty. */
  readonly key: string;
  /** A whole number from 0 to 2^20; 1 by default. */
  readonly cost?: number | undefined;
}

/**
 * Synchronous, exact across all threads of the process. A limit that is used up or a table without room is told by the result;
 * arguments that do not fit throw a TypeError.
 */
export interface SharedCounters {
  /** Of every limit but `concurrency`. A cost of 0 is allowed always, and counts nothing. */
  charge(limit: LimitDraft, key: string, cost?: number): Charged;
  /** All or nothing; at most 16. */
  chargeAll(charges: readonly CounterCharge[]): ChargedAll;
  /** What a charge would come to. Counts nothing: `remaining` is what there is. */
  peek(limit: LimitDraft, key: string, cost?: number): Counted;
  /**
   * One of the places of a `concurrency` limit, until it is released. What nobody released is given back when the handle is
   * collected, the policy unloaded, or its worker ended, whichever comes first.
   */
  acquire(limit: ConcurrencyLimit, key: string): Acquired;
}

/** The keys of one policy are its own, in all of its workers. */
export interface Counters extends SharedCounters {
  /** Under keys that all policies share, and the charges of their verdicts with them. */
  readonly shared: SharedCounters;
}

/** Checked. */
export interface StoreCharge {
  readonly limit: Limit;
  readonly key: string;
  readonly cost: number;
}

/** Counts under the keys of one owner. What it is given has been checked. */
export interface CounterStore {
  /** All or nothing, none of them of `concurrency`. */
  charge(charges: readonly StoreCharge[]): StoreCharged;
  peek(charge: StoreCharge): Counted;
  /** Of `concurrency`. */
  acquire(charge: StoreCharge): StoreAcquired;
  /** Nothing happens when it has been released already. */
  release(permit: number): void;
  /** Releases all that is held. */
  close(): void;
}

export interface StoreCharged {
  readonly counts: readonly Counted[];
  /** Of charges that were allowed. */
  refund(): void;
}

export interface StoreAcquired {
  readonly counted: Counted;
  /** For release(); undefined when it was refused. */
  readonly permit: number | undefined;
}

/** What a gateway or a test gives to a policy. */
export class PolicyCounters implements Counters {
  readonly shared: SharedCounters;
  readonly #own: OwnedCounters;
  readonly #stores: readonly CounterStore[];

  constructor(own: CounterStore, shared: CounterStore) {
    this.#own = new OwnedCounters(own, 'ctx.counters');
    this.shared = new OwnedCounters(shared, 'ctx.counters.shared');
    this.#stores = [own, shared];
  }

  charge(limit: LimitDraft, key: string, cost?: number): Charged {
    return this.#own.charge(limit, key, cost);
  }

  chargeAll(charges: readonly CounterCharge[]): ChargedAll {
    return this.#own.chargeAll(charges);
  }

  peek(limit: LimitDraft, key: string, cost?: number): Counted {
    return this.#own.peek(limit, key, cost);
  }

  acquire(limit: ConcurrencyLimit, key: string): Acquired {
    return this.#own.acquire(limit, key);
  }

  /** The policy is unloaded: what it holds is given back. */
  close(): void {
    for (const store of this.#stores) store.close();
  }
}

class OwnedCounters implements SharedCounters {
  readonly #store: CounterStore;
  /** As authors write it. */
  readonly #name: string;
  readonly #forgotten: FinalizationRegistry<number>;

  constructor(store: CounterStore, name: string) {
    this.#store = store;
    this.#name = name;
    this.#forgotten = new FinalizationRegistry((permit) => store.release(permit));
  }

  charge(limit: LimitDraft, key: string, cost?: number): Charged {
    const charged = this.#store.charge([rated(limit, key, cost, '', `${this.#name}.charge`)]);
    return new ChargedCount(charged);
  }

  chargeAll(charges: readonly CounterCharge[]): ChargedAll {
    const call = `${this.#name}.chargeAll`;
    if (!Array.isArray(charges) || charges.length > verdictLimits.charges) {
      refuse(call, fail('', `an array of at most ${verdictLimits.charges} charges`, charges));
    }
    const checked = charges.map((charge: unknown, index) => {
      const at = `[${index}]`;
      if (typeof charge !== 'object' || charge === null) {
        refuse(call, fail(at, 'an object with limit and key', charge));
      }
      const { limit, key, cost } = charge as Partial<CounterCharge>;
      return rated(limit, key, cost, `${at}.`, call);
    });
    return new ChargedCounts(this.#store.charge(checked));
  }

  peek(limit: LimitDraft, key: string, cost?: number): Counted {
    return this.#store.peek(checkedCharge(limit, key, cost, '', `${this.#name}.peek`));
  }

  acquire(limit: ConcurrencyLimit, key: string): Acquired {
    const call = `${this.#name}.acquire`;
    const charge = checkedCharge(limit, key, 1, '', call);
    if (charge.limit.kind !== 'concurrency') {
      const remedy = 'other limits are charged: counters.charge(limit, key)';
      refuse(call, fail('limit.kind', 'concurrency', charge.limit.kind, remedy));
    }
    const { counted, permit } = this.#store.acquire(charge);
    const acquired = new AcquiredCount(counted, () => {
      if (permit === undefined) return;
      this.#forgotten.unregister(acquired);
      this.#store.release(permit);
    });
    if (permit !== undefined) this.#forgotten.register(acquired, permit, acquired);
    return acquired;
  }
}

type ConcurrencyLimit = Extract<LimitDraft, { kind: 'concurrency' }>;

/** Written out: results are made for requests. */
class Count implements Counted {
  readonly allowed: boolean;
  readonly refusal: Counted['refusal'];
  readonly limit: number;
  readonly remaining: number;
  readonly resetAfter: number;
  readonly retryAfter: number | undefined;

  constructor({ allowed, refusal, limit, remaining, resetAfter, retryAfter }: Counted) {
    this.allowed = allowed;
    this.refusal = refusal;
    this.limit = limit;
    this.remaining = remaining;
    this.resetAfter = resetAfter;
    this.retryAfter = retryAfter;
  }
}

class ChargedCount extends Count implements Charged {
  #charged: StoreCharged | undefined;

  constructor(charged: StoreCharged) {
    const counted = charged.counts[0] as Counted;
    super(counted);
    this.#charged = counted.allowed ? charged : undefined;
  }

  refund(): void {
    this.#charged?.refund();
    this.#charged = undefined;
  }
}

class ChargedCounts implements ChargedAll {
  readonly counts: readonly Counted[];
  readonly refused: Counted | undefined;
  #charged: StoreCharged | undefined;

  constructor(charged: StoreCharged) {
    this.counts = charged.counts;
    this.refused = charged.counts.find(({ allowed }) => !allowed);
    this.#charged = this.refused === undefined ? charged : undefined;
  }

  get allowed(): boolean {
    return this.refused === undefined;
  }

  refund(): void {
    this.#charged?.refund();
    this.#charged = undefined;
  }
}

class AcquiredCount extends Count implements Acquired {
  #release: (() => void) | undefined;

  constructor(counted: Counted, release: () => void) {
    super(counted);
    this.#release = release;
  }

  release(): void {
    const release = this.#release;
    this.#release = undefined;
    release?.();
  }
}

function rated(limit: unknown, key: unknown, cost: unknown, at: string, call: string): StoreCharge {
  const charge = checkedCharge(limit, key, cost, at, call);
  if (charge.limit.kind !== 'concurrency') return charge;
  const remedy = 'places are acquired: counters.acquire(limit, key)';
  return refuse(call, fail(`${at}limit.kind`, 'another limit', 'concurrency', remedy));
}

function checkedCharge(
  limit: unknown,
  key: unknown,
  cost: unknown = 1,
  at: string,
  call: string,
): StoreCharge {
  const most = verdictLimits.cost;
  if (typeof key !== 'string' || key === '') {
    return refuse(call, fail(`${at}key`, 'a text that is not empty', key));
  }
  if (typeof cost !== 'number' || !Number.isInteger(cost) || cost < 0 || cost > most) {
    return refuse(call, fail(`${at}cost`, `a whole number from 0 to ${most}`, cost));
  }
  return { limit: limitOf(limit, `${at}limit`, call), key: counterKey(key), cost };
}

const checkedBefore = new WeakMap<object, Limit>();

/** One that is frozen stays as it is, and is checked once. */
function limitOf(limit: unknown, at: string, call: string): Limit {
  const frozen = typeof limit === 'object' && limit !== null && Object.isFrozen(limit);
  const before = frozen ? checkedBefore.get(limit) : undefined;
  if (before !== undefined) return before;
  const checked = checkLimit(limit, at);
  if (!checked.ok) return refuse(call, checked);
  if (frozen) checkedBefore.set(limit, checked.value);
  return checked.value;
}

function refuse(call: string, unfit: Unfit): never {
  throw new TypeError(`${call}: ${problemText(unfit)}`);
}
