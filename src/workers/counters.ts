// The core's table of counters as the store of one policy's `ctx.counters`.
import { loadAddon, type NativeLimitCounters } from '../engine/addon.js';
import {
  type Counted,
  type CounterStore,
  PolicyCounters,
  type StoreAcquired,
  type StoreCharge,
  type StoreCharged,
} from '../policy/counters.js';
import { algorithmOf, spanOf } from '../policy/limit.js';
import { verdictLimits } from '../policy/normalize.js';

/** Those of the policy of that name; `engine` is its number. Throws EngineError's `core_stopped`. */
export function coreCounters(engine: number, policy: string): PolicyCounters {
  const { LimitCounters } = loadAddon();
  return new PolicyCounters(
    new CoreStore(new LimitCounters(engine, policy)),
    new CoreStore(new LimitCounters(engine, '')),
  );
}

// As native/addon/limit_counters_object.h has them.
const timeNumbers = 4;
const rowNumbers = 5;
const refusals = [undefined, 'used-up', 'too-costly', 'full'] as const;

/** For each call; the core keeps none of it. */
const numbers = new Float64Array(timeNumbers + verdictLimits.charges * rowNumbers);

export class CoreStore implements CounterStore {
  readonly #native: NativeLimitCounters;
  /** Monotonic in microseconds, and milliseconds since 1970; undefined: the core's own clocks. */
  readonly #clock: (() => readonly [number, number]) | undefined;

  constructor(native: NativeLimitCounters, clock?: () => readonly [number, number]) {
    this.#native = native;
    this.#clock = clock;
  }

  charge(charges: readonly StoreCharge[]): StoreCharged {
    const native = this.#native;
    const keys = this.#write(charges);
    native.charge(keys, numbers);
    const [micros = 0, millis = 0] = numbers;
    return {
      counts: charges.map((_, index) => readCounted(index)),
      refund: () => {
        this.#write(charges);
        numbers[2] = micros;
        numbers[3] = millis;
        native.refund(keys, numbers);
      },
    };
  }

  peek(charge: StoreCharge): Counted {
    this.#write([charge]);
    this.#native.peek(charge.key, numbers);
    return readCounted(0);
  }

  acquire(charge: StoreCharge): StoreAcquired {
    this.#write([charge]);
    const permit = this.#native.acquire(charge.key, numbers);
    return { counted: readCounted(0), permit: permit === 0 ? undefined : permit };
  }

  release(permit: number): void {
    this.#native.release(permit);
  }

  close(): void {
    this.#native.close();
  }

  /** Returns the keys. */
  #write(charges: readonly StoreCharge[]): string[] {
    const [micros, millis] = this.#clock?.() ?? [0, 0];
    numbers[0] = micros;
    numbers[1] = millis;
    let at = timeNumbers;
    for (const { limit, cost } of charges) {
      numbers[at] = algorithmOf(limit);
      numbers[at + 1] = limit.count;
      numbers[at + 2] = spanOf(limit);
      numbers[at + 3] = limit.kind === 'gcra' ? limit.burst : 0;
      numbers[at + 4] = cost;
      at += rowNumbers;
    }
    return charges.map(({ key }) => key);
  }
}

function readCounted(index: number): Counted {
  const at = timeNumbers + index * rowNumbers;
  const refusal = refusals[numbers[at] as number];
  return {
    allowed: refusal === undefined,
    refusal,
    limit: numbers[at + 1] as number,
    remaining: numbers[at + 2] as number,
    resetAfter: numbers[at + 3] as number,
    retryAfter: refusal === 'used-up' ? (numbers[at + 4] as number) : undefined,
  };
}
