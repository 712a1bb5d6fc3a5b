// The channel's messages as TypeScript reads and writes them: the arrays of native/policy/descriptor.h and verdict.h.
import { Packr, unpack } from 'msgpackr';
import { expect, it } from 'vitest';
import {
  type Descriptor,
  noTerms,
  type Outcome,
  readBatch,
  VerdictBatch,
} from '../../src/workers/wire.js';

const packr = new Packr({ useRecords: false });

function frameVerdict(index: number, generation: number, outcome: Outcome): Buffer {
  const batch = new VerdictBatch(4096);
  expect(batch.put(index, generation, outcome)).toBe(0);
  return batch.bytes;
}

function frame(value: unknown): Buffer {
  const message = packr.pack(value);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(message.length);
  return Buffer.concat([length, message]);
}

it('reads every descriptor of a batch, and nothing behind it', () => {
  const batch = Buffer.concat([frame([1, 2, 3, 'é', null, ['a', 'b']]), frame([4, 5, 6])]);
  const seen: Descriptor[] = [];
  readBatch(Buffer.concat([batch, frame([7, 8, 9])]), batch.length, {
    ask: (each) => seen.push(each),
    cancel: () => expect.unreachable(),
    fetched: () => expect.unreachable(),
  });
  expect(seen.map(({ index, generation, chain }) => [index, generation, chain])).toEqual([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  expect(seen[0]?.values.slice(3)).toEqual(['é', null, ['a', 'b']]);
});

it('reads which calls nobody waits for any more', () => {
  const batch = Buffer.concat([frame([70_000, 2]), frame([4, 5, 6])]);
  const asked: number[] = [];
  const cancelled: number[][] = [];
  readBatch(batch, batch.length, {
    ask: ({ index }) => asked.push(index),
    cancel: (index, generation) => cancelled.push([index, generation]),
    fetched: () => expect.unreachable(),
  });
  expect([asked, cancelled]).toEqual([[4], [[70_000, 2]]]);
});

const set = { op: 'set', name: 'a', value: '1' } as const;
const remove = { op: 'remove', name: 'b' } as const;
const bare = [null, [], 0, 0, [], []];
const charge = {
  key: 'ann',
  cost: 2,
  name: 'm',
  headers: 'both',
  status: 429,
  reason: 'no',
} as const;
const plain = {
  key: 'k',
  cost: 1,
  name: undefined,
  headers: 'none',
  status: 503,
  reason: undefined,
} as const;
const terms = {
  consumer: 'ann',
  charges: [
    { ...charge, limit: { kind: 'gcra', count: 10, per: 1000, burst: 5 } },
    { ...plain, limit: { kind: 'sliding-window', count: 9, window: 2000 } },
    { ...plain, limit: { kind: 'concurrency', count: 8 } },
    { ...plain, limit: { kind: 'quota', count: 7, period: 'month' } },
  ],
  replayFor: 60_000,
  staleIfError: 5000,
  tags: ['t'],
  times: [3, 4],
} as const;
const packedCharges = [
  [0, 10, 1000, 5, 2, 'ann', 3, 429, 'm', 'no'],
  [2, 9, 2000, 0, 1, 'k', 0, 503, null, null],
  [3, 8, 0, 0, 1, 'k', 0, 503, null, null],
  [4, 7, 3, 0, 1, 'k', 0, 503, null, null],
].flat();
const cases: [string, Outcome, unknown[]][] = [
  [
    'go on',
    {
      kind: 'go-on',
      terms,
      upstream: 'u',
      method: 'PURGE',
      path: '/x',
      query: [remove],
      request: [set, remove],
      response: [],
      body: undefined,
    },
    [
      0,
      ['ann', packedCharges, 60_000, 5000, ['t'], [3, 4]],
      'u',
      'PURGE',
      '/x',
      [2, 'b', null],
      [0, 'a', '1', 2, 'b', null],
      [],
    ],
  ],
  [
    'go on as it is',
    {
      kind: 'go-on',
      terms: noTerms,
      upstream: undefined,
      method: undefined,
      path: undefined,
      query: [],
      request: [],
      response: [],
      body: undefined,
    },
    [0, bare, null, null, null, [], [], []],
  ],
  [
    'answer',
    { kind: 'answer', terms: noTerms, status: 201, fields: [['a', '1']], body: Buffer.from('hi') },
    [1, bare, 201, ['a', '1'], Buffer.from('hi')],
  ],
  [
    'deny',
    { kind: 'deny', terms: noTerms, status: 403, reason: 'no', fields: [], body: undefined },
    [2, bare, 403, 'no', [], null],
  ],
  [
    'failed',
    { kind: 'failed', terms: noTerms, failure: 'timed-out', policy: 'p' },
    [3, bare, 1, 'p'],
  ],
];

it.each(cases)(
  'writes a verdict of which all but the call and the times is known: %s',
  (...each) => {
    const [, outcome, expected] = each;
    const memo = {};
    for (const [index, generation, times] of [
      [70_000, 3, outcome.terms.times],
      [1, 4_294_967_295, []],
      [127, 128, Array.from({ length: 20 }, (_, i) => i * 1000)],
    ] as const) {
      const framed = frameVerdict(index, generation, {
        ...outcome,
        terms: { ...outcome.terms, times },
        memo,
      });
      expect(framed.readUInt32LE(0)).toBe(framed.length - 4);
      const [kind, terms, ...rest] = expected as [number, unknown[], ...unknown[]];
      const wanted = [index, generation, kind, [...terms.slice(0, -1), times], ...rest];
      expect(unpack(framed.subarray(4))).toEqual(wanted);
    }
  },
);

it.each(cases)('writes a verdict: %s', (_name, outcome, expected) => {
  const framed = frameVerdict(70_000, 3, outcome);
  expect(framed.readUInt32LE(0)).toBe(framed.length - 4);
  expect(unpack(framed.subarray(4))).toEqual([70_000, 3, ...expected]);
});

it('keeps verdicts in order while it grows, is emptied in part, and refuses a frame that is too large', () => {
  const batch = new VerdictBatch(200);
  const put = (index: number, outcome: Outcome) => batch.put(index, 1, outcome);
  const seen: number[] = [];
  const drain = (frames: number) => {
    const { bytes } = batch;
    let at = 0;
    for (let i = 0; i < frames && at < bytes.length; i += 1) {
      const end = at + 4 + bytes.readUInt32LE(at);
      const [index] = unpack(bytes.subarray(at + 4, end)) as [number];
      seen.push(index);
      at = end;
    }
    batch.drop(at);
  };
  const small = (memo?: object): Outcome => ({
    kind: 'failed',
    terms: noTerms,
    failure: 'threw',
    policy: 'p',
    memo,
  });
  const memo = {};
  for (let i = 0; i < 2000; i += 1) {
    expect(put(i, small(i % 2 === 0 ? memo : undefined))).toBe(0);
    if (i % 100 === 99) drain(3);
  }
  const huge = (withMemo?: object): Outcome =>
    ({ ...small(withMemo), policy: 'x'.repeat(300) }) as Outcome;
  expect(put(0, huge())).toBeGreaterThan(200);
  expect(put(0, huge({}))).toBeGreaterThan(200);
  drain(2000);
  expect(batch.isEmpty).toBe(true);
  expect(seen).toEqual(Array.from({ length: 2000 }, (_, i) => i));
});
