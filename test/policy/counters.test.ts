// `ctx.counters` on both of its stores: what the fake of tidegate/testing counts is what the core counts.
import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadAddon, type NativeEngine } from '../../src/engine/addon.js';
import {
  type Acquired,
  type Charged,
  type ChargedAll,
  type CounterCharge,
  type Counters,
  PolicyCounters,
} from '../../src/policy/counters.js';
import type { Limit } from '../../src/policy/index.js';
import { FakeCounters } from '../../src/policy/testing/counters.js';
import { CoreStore, coreCounters } from '../../src/workers/counters.js';
import { fakeCounters } from '../support/counters.js';
import { eventually } from '../support/patience.js';

const addon = loadAddon();
let engine: NativeEngine;

function startEngine(limitCounters: number): NativeEngine {
  const options = { ioThreads: 1, pinCpus: [], maxConnections: 16, policyWorkers: 0 };
  return new addon.Engine({ ...options, limitCounters, replayMemory: 0 });
}

beforeAll(() => {
  engine = startEngine(65_536);
});

afterAll(() => engine.stop());

/** Both stores under one clock, which the test moves. */
class Twins {
  readonly core: Counters;
  readonly fake: Counters;
  // Ahead of the real time, by which the core's own threads drop what has run out.
  #wall = Date.now() + 10_000;
  #monotonic = Number(process.hrtime.bigint() / 1_000_000n) + 10_000;

  constructor(owner: string) {
    const clock = () => [this.#monotonic * 1000, this.#wall] as const;
    const core = (name: string) => new CoreStore(new addon.LimitCounters(engine.id(), name), clock);
    const fakes = new FakeCounters();
    this.core = new PolicyCounters(core(owner), core(''));
    this.fake = new PolicyCounters(
      fakes.store(owner, () => this.#wall),
      fakes.store('', () => this.#wall),
    );
  }

  advance(millis: number): void {
    this.#wall += millis;
    this.#monotonic += millis;
  }

  both<T>(call: (counters: Counters) => T): [core: T, fake: T] {
    return [call(this.core), call(this.fake)];
  }
}

/** Numerical Recipes' generator: the same schedule for the same seed. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

// Not in all places a number that divides evenly. A sliding window is 64 ahead of the real time at most.
const limits: readonly Limit[] = [
  { kind: 'gcra', count: 3, per: '1s', burst: 5 },
  { kind: 'gcra', count: 3, per: '1s', burst: 2 },
  { kind: 'gcra', count: 7, per: '1m' },
  { kind: 'gcra', count: 9_999, per: 1, burst: 6 },
  { kind: 'fixed-window', count: 4, window: '2s' },
  { kind: 'fixed-window', count: 6, window: '2s' },
  { kind: 'sliding-window', count: 5, window: '3s' },
  { kind: 'sliding-window', count: 3, window: '3s' },
  { kind: 'sliding-window', count: 7, window: 7_001 },
  { kind: 'quota', count: 8, period: 'hour' },
];
const places: Extract<Limit, { kind: 'concurrency' }>[] = [
  { kind: 'concurrency', count: 3 },
  { kind: 'concurrency', count: 2 },
];

function plain(value: Charged | ChargedAll): unknown {
  return JSON.parse(JSON.stringify(value));
}

function runSchedule(seed: number): void {
  const random = randomOf(seed);
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  const twins = new Twins(`schedule-${seed}`);
  const charged: [core: Charged | ChargedAll, fake: Charged | ChargedAll][] = [];
  const held: [core: Acquired, fake: Acquired][] = [];
  const key = () => pick(['a', 'b']);
  const cost = () => pick([0, 1, 1, 1, 2, 3, 9]);
  const where = pick([(counters: Counters) => counters, (counters: Counters) => counters.shared]);
  const ops: (() => unknown)[] = [
    () => {
      const charge = [pick(limits), `${seed} ${key()}`, cost()] as const;
      const pair = twins.both((counters) => where(counters).charge(...charge));
      charged.push(pair);
      return [pair, charge];
    },
    () => {
      const charges: CounterCharge[] = Array.from({ length: 1 + random(4) }, () => ({
        limit: pick(limits),
        key: `${seed} ${key()}`,
        cost: cost(),
      }));
      const pair = twins.both((counters) => where(counters).chargeAll(charges));
      charged.push(pair);
      return [pair, charges];
    },
    () => {
      const peeked = [pick([...limits, ...places]), `${seed} ${key()}`, cost()] as const;
      return [twins.both((counters) => where(counters).peek(...peeked)), peeked];
    },
    () => {
      const place = [pick(places), `${seed} ${key()}`] as const;
      const pair = twins.both((counters) => where(counters).acquire(...place));
      held.push(pair);
      return [pair, place];
    },
    () => {
      for (const each of charged.length > 0 ? pick(charged) : []) each.refund();
      return [[undefined, undefined], 'refund'];
    },
    () => {
      for (const each of held.length > 0 ? pick(held) : []) each.release();
      return [[undefined, undefined], 'release'];
    },
  ];
  for (let step = 0; step < 150; step += 1) {
    twins.advance(pick([0, 0, 1, 13, 333, 334, 900, 2_000]));
    const [[core, fake], what] = pick(ops)() as [[Charged, Charged], unknown];
    const context = `seed ${seed}, step ${step}: ${JSON.stringify(what)}`;
    expect(core && plain(core), context).toEqual(fake && plain(fake));
  }
}

describe('the fake', () => {
  it('counts as the core does, on random schedules', () => {
    for (let seed = 1; seed <= 200; seed += 1) runSchedule(seed);
  });
});

/** No test lasts long enough to see it change. */
const year = '8784h';
const three: Limit = { kind: 'fixed-window', count: 3, window: year };
const two = { kind: 'concurrency', count: 2 } as const;

describe.each([
  ['the core', () => coreCounters(engine.id(), `policy ${Math.random()}`)],
  ['the fake', fakeCounters],
])('counters of %s', (_, make) => {
  it('are charged until the limit is used up, and say so', () => {
    const counters = make();
    const first = counters.charge(three, 'k', 2);
    expect(first).toMatchObject({ allowed: true, limit: 3, remaining: 1 });
    expect([first.refusal, first.retryAfter]).toEqual([undefined, undefined]);
    const second = counters.charge(three, 'k', 2);
    expect(second).toMatchObject({ allowed: false, refusal: 'used-up', remaining: 1 });
    expect(second.retryAfter).toBe(second.resetAfter);
    expect(second.retryAfter).toBeGreaterThan(0);
    const never = counters.charge(three, 'k', 4);
    expect([never.refusal, never.retryAfter, never.remaining]).toEqual([
      'too-costly',
      undefined,
      1,
    ]);
    expect(counters.charge(three, 'other').remaining).toBe(2);
  });

  it('are peeked at without being counted', () => {
    const counters = make();
    expect(counters.peek(three, 'k', 3)).toMatchObject({ allowed: true, remaining: 3 });
    counters.charge(three, 'k');
    expect(counters.peek(three, 'k', 3)).toMatchObject({ allowed: false, remaining: 2 });
    expect(counters.peek(three, 'k')).toMatchObject({ allowed: true, remaining: 2 });
  });

  it('are charged together, or not at all', () => {
    const counters = make();
    const charges = [
      { limit: three, key: 'a' },
      { limit: { ...three, count: 1 }, key: 'b' },
    ];
    const first = counters.chargeAll(charges);
    expect([first.allowed, first.refused]).toEqual([true, undefined]);
    expect(first.counts.map(({ remaining }) => remaining)).toEqual([2, 0]);
    const second = counters.chargeAll(charges);
    expect(second.allowed).toBe(false);
    expect(second.refused).toBe(second.counts[1]);
    expect(counters.peek(three, 'a').remaining).toBe(2);
    first.refund();
    first.refund();
    second.refund();
    expect(counters.peek(three, 'a').remaining).toBe(3);
    expect(counters.peek({ ...three, count: 1 }, 'b').remaining).toBe(1);
    expect(counters.chargeAll([])).toMatchObject({ allowed: true, counts: [] });
  });

  it('take back a charge once, and nothing of one that was refused', () => {
    const counters = make();
    counters.charge(three, 'k', 2);
    const last = counters.charge(three, 'k');
    counters.charge(three, 'k').refund();
    expect(counters.peek(three, 'k').remaining).toBe(0);
    last.refund();
    last.refund();
    expect(counters.peek(three, 'k').remaining).toBe(1);
  });

  it('hold places until they are released, once', () => {
    const counters = make();
    const [a, b, c] = [1, 2, 3].map(() => counters.acquire(two, 'k')) as [
      Acquired,
      Acquired,
      Acquired,
    ];
    expect([a.remaining, b.remaining]).toEqual([1, 0]);
    expect(c).toMatchObject({
      allowed: false,
      refusal: 'used-up',
      retryAfter: 1000,
      resetAfter: 0,
    });
    c.release();
    expect(counters.peek(two, 'k').remaining).toBe(0);
    a.release();
    a.release();
    expect(counters.peek(two, 'k').remaining).toBe(1);
    // What was released is nobody else's to release.
    const d = counters.acquire(two, 'k');
    a.release();
    expect(counters.peek(two, 'k').remaining).toBe(0);
    d.release();
    counters.close();
    expect(counters.peek(two, 'k').remaining).toBe(2);
    b.release();
    expect(counters.peek(two, 'k').remaining).toBe(2);
  });

  it('are a policy’s own, unless they are shared', () => {
    const counters = make();
    counters.charge(three, 'k');
    expect(counters.shared.peek(three, `k ${Math.random()}`).remaining).toBe(3);
    expect(counters.shared.charge(three, 'k').remaining).toBe(2);
    expect(counters.peek(three, 'k').remaining).toBe(2);
    counters.shared.charge(three, 'k').refund();
  });

  it.each<[string, (counters: Counters) => unknown, string | RegExp]>([
    [
      'a key',
      (c) => c.charge(three, ''),
      'ctx.counters.charge: key: expected a text that is not empty but received ""',
    ],
    [
      'a key of another type',
      (c) => c.peek(three, 7 as never),
      'ctx.counters.peek: key: expected a text that is not empty but received 7',
    ],
    [
      'a cost',
      (c) => c.charge(three, 'k', 0.5),
      'ctx.counters.charge: cost: expected a whole number from 0 to 1048576 but received 0.5',
    ],
    [
      'a limit',
      (c) => c.charge({ ...three, count: 0 } as Limit, 'k'),
      /limit\.count: expected a whole number from 1 to/,
    ],
    [
      'a limit to charge',
      (c) => c.charge(two, 'k'),
      'ctx.counters.charge: limit.kind: expected another limit but received "concurrency" (places are acquired: counters.acquire(limit, key))',
    ],
    [
      'a limit to acquire',
      (c) => c.acquire(three as never, 'k'),
      /limit\.kind: expected concurrency but received "fixed-window" \(other limits are charged/,
    ],
    [
      'a list',
      (c) => c.chargeAll({} as never),
      'ctx.counters.chargeAll: expected an array of at most 16 charges but received an object',
    ],
    [
      'a list that is too long',
      (c) => c.chargeAll(Array(17).fill({ limit: three, key: 'k' })),
      /at most 16 charges/,
    ],
    [
      'a charge',
      (c) => c.chargeAll([null as never]),
      'ctx.counters.chargeAll: [0]: expected an object with limit and key but received null',
    ],
    [
      'a limit in a list',
      (c) =>
        c.chargeAll([
          { limit: three, key: 'k' },
          { limit: two, key: 'k' },
        ]),
      /^ctx\.counters\.chargeAll: \[1\]\.limit\.kind: /,
    ],
  ])('refuse what is no %s', (_, call, message) => {
    const counters = make();
    expect(() => call(counters)).toThrow(TypeError);
    expect(() => call(counters)).toThrow(message);
    expect(counters.peek(three, 'k').remaining).toBe(3);
  });

  it('take the longest key that stands for itself, and one of any letters', () => {
    const counters = make();
    expect(counters.charge(three, 'ä'.repeat(128)).remaining).toBe(2);
    expect(counters.charge(three, `${'ä'.repeat(127)}ab`).remaining).toBe(2);
    expect(counters.charge(three, 'a\0b').remaining).toBe(2);
    expect(counters.charge(three, 'a').remaining).toBe(2);
  });
});

describe('counters of the core', () => {
  it('are the same in every worker of a policy, and another policy’s are others', () => {
    const [first, second] = [coreCounters(engine.id(), 'p'), coreCounters(engine.id(), 'p')];
    expect(first.charge(three, 'same').remaining).toBe(2);
    expect(second.charge(three, 'same').remaining).toBe(1);
    expect(second.shared.charge(three, 'same').remaining).toBe(2);
    const other = coreCounters(engine.id(), 'q');
    expect(other.charge(three, 'same').remaining).toBe(2);
    expect(other.shared.charge(three, 'same').remaining).toBe(1);
    // No key reads like that of another owner.
    expect(coreCounters(engine.id(), 'ps').charge(three, 'ame').remaining).toBe(2);
    expect(other.shared.charge(three, 'psame').remaining).toBe(2);
  });

  it('say that there is no room, and keep those that are there', () => {
    const small = startEngine(1024);
    const counters = coreCounters(small.id(), 'p');
    counters.charge(three, 'kept');
    const refusals = Array.from(
      { length: 1200 },
      (_, i) => counters.charge(three, `k ${i}`).refusal,
    );
    expect(new Set(refusals)).toEqual(new Set([undefined, 'full']));
    const which = refusals.indexOf('full');
    expect(counters.charge(three, `k ${which}`)).toMatchObject({
      allowed: false,
      refusal: 'full',
      limit: 3,
      remaining: 0,
    });
    expect(counters.charge(three, `k ${which}`).retryAfter).toBeUndefined();
    const places = Array.from({ length: 200 }, (_, i) => counters.acquire(two, `k ${i}`).refusal);
    expect(places).toContain('full');
    const both = [
      { limit: three, key: 'kept' },
      { limit: three, key: `k ${which}` },
    ];
    expect(counters.chargeAll(both).refused?.refusal).toBe('full');
    expect(counters.charge(three, 'kept').remaining).toBe(1);
    small.stop();
  });

  it('outlive the core, and are not made after it', () => {
    const short = startEngine(1024);
    const counters = coreCounters(short.id(), 'p');
    short.stop();
    expect(counters.charge(three, 'k').remaining).toBe(2);
    expect(() => coreCounters(2 ** 40, 'p')).toThrow(
      expect.objectContaining({ code: 'core_stopped' }),
    );
  });

  it('get back the places that nobody can release any more', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const counters = coreCounters(engine.id(), 'forgetful');
    const forget = () => void [counters.acquire(two, 'k'), counters.acquire(two, 'k')];
    forget();
    expect(counters.peek(two, 'k').remaining).toBe(0);
    await eventually('the places are free', () => {
      collect();
      return counters.peek(two, 'k').remaining === 2;
    });
  });

  it('get back the places of a thread that ends, also in the middle', async () => {
    const counters = coreCounters(engine.id(), 'mortal');
    const built = new URL('../../dist/workers/counters.js', import.meta.url);
    const worker = new Worker(
      `import(${JSON.stringify(built.href)}).then(({ coreCounters }) => {
        const counters = coreCounters(${engine.id()}, 'mortal');
        globalThis.held = [counters.acquire({ kind: 'concurrency', count: 2 }, 'k')];
        require('node:worker_threads').parentPort.postMessage(held[0].allowed);
        for (;;);
      });`,
      { eval: true },
    );
    expect((await once(worker, 'message'))[0]).toBe(true);
    expect(counters.peek(two, 'k').remaining).toBe(1);
    await worker.terminate();
    expect(counters.peek(two, 'k').remaining).toBe(2);
  });

  const row = (...values: number[]) => {
    const numbers = new Float64Array(4 + 16 * 5);
    numbers.set(values, 4);
    return numbers;
  };
  const fixed = [1, 3, 60_000, 0, 1];

  it.each<[string, unknown, Float64Array | unknown, string]>([
    ['no keys', 'k', row(...fixed), 'expected an array for keys'],
    ['too many keys', Array(17).fill('k'), row(...fixed), 'expected at most 16 keys'],
    ['a key that is none', [7], row(...fixed), 'expected a string of 1 to 1024 bytes for key'],
    ['a key too long', ['k'.repeat(1025)], row(...fixed), 'expected a string of 1 to 1024 bytes'],
    ['other numbers', ['k'], new Float64Array(3), 'expected a Float64Array of 84 numbers'],
    ['numbers that are none', ['k'], [1], 'expected a Float64Array of 84 numbers'],
    ['a fraction', ['k'], row(1, 0.5), 'expected whole numbers for a charge'],
    ['what is no number', ['k'], row(1, Number.NaN), 'expected whole numbers for a charge'],
    ['another algorithm', ['k'], row(5, 3, 60_000, 0, 1), 'expected an algorithm'],
    ['a cost too high', ['k'], row(1, 3, 60_000, 0, 2 ** 20 + 1), 'a cost within their bounds'],
    ['a count of nothing', ['k'], row(1, 0, 60_000, 0, 1), 'the count must be 1 to'],
    ['another period', ['k'], row(4, 3, 5, 0, 1), 'there is no such calendar period'],
    ['concurrency', ['k'], row(3, 3, 0, 0, 1), 'expected no limit of concurrency'],
  ])('refuse %s at the border', (_, keys, numbers, message) => {
    const native = new addon.LimitCounters(engine.id(), 'border');
    expect(() => native.charge(keys as string[], numbers as Float64Array)).toThrow(TypeError);
    expect(() => native.charge(keys as string[], numbers as Float64Array)).toThrow(message);
  });
});
