// The channel's messages as TypeScript reads and writes them: the arrays of native/policy/descriptor.h and verdict.h.
import { Packr, unpack } from 'msgpackr';
import { expect, it } from 'vitest';
import { type Descriptor, frameVerdict, type Outcome, readBatch } from '../../src/workers/wire.js';

const packr = new Packr({ useRecords: false });

function frame(value: unknown): Buffer {
  const message = packr.pack(value);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(message.length);
  return Buffer.concat([length, message]);
}

it('reads every descriptor of a batch, and nothing behind it', () => {
  const batch = Buffer.concat([frame([1, 2, 3, 'é', null, ['a', 'b']]), frame([4, 5, 6])]);
  const seen: Descriptor[] = [];
  readBatch(Buffer.concat([batch, frame([7, 8, 9])]), batch.length, (each) => seen.push(each));
  expect(seen.map(({ index, generation, chain }) => [index, generation, chain])).toEqual([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  expect(seen[0]?.values.slice(3)).toEqual(['é', null, ['a', 'b']]);
});

const set = { op: 'set', name: 'a', value: '1' } as const;
const cases: [string, Outcome, unknown[]][] = [
  [
    'go on',
    { kind: 'go-on', upstream: 'u', request: [set, { op: 'remove', name: 'b' }], response: [] },
    [0, 'u', null, [0, 'a', '1', 2, 'b', null], []],
  ],
  [
    'answer',
    { kind: 'answer', status: 201, fields: [['a', '1']], body: Buffer.from('hi') },
    [1, 201, ['a', '1'], Buffer.from('hi')],
  ],
  ['deny', { kind: 'deny', status: 403, reason: 'no', fields: [] }, [2, 403, 'no', [], null]],
  ['failed', { kind: 'failed', failure: 'timed-out', policy: 'p' }, [3, 1, 'p']],
];

it.each(cases)('writes a verdict: %s', (_name, outcome, expected) => {
  const framed = frameVerdict(70_000, 3, outcome);
  expect(framed.readUInt32LE(0)).toBe(framed.length - 4);
  expect(unpack(framed.subarray(4))).toEqual([70_000, 3, ...expected]);
});
