// The reader in front of msgpackr: whatever a message holds, both make the same of it.
import { Packr, unpack } from 'msgpackr';
import { expect, test } from 'vitest';
import { readMessage } from '../../src/workers/reader.js';

const packr = new Packr({ useRecords: false });

/** As native/policy/descriptor.cc writes it where that is another form than msgpackr's. */
function encode(value: unknown): Buffer {
  if (typeof value !== 'string') return Buffer.from(packr.pack(value));
  const text = Buffer.from(value);
  if (text.length < 32) return Buffer.concat([Buffer.from([0xa0 | text.length]), text]);
  const head = Buffer.from([0xdb, 0, 0, 0, 0]);
  head.writeUInt32BE(text.length, 1);
  return Buffer.concat([head, text]);
}

function message(values: readonly unknown[]): Buffer {
  const count = values.length;
  const head = count < 16 ? [0x90 | count] : [0xdc, count >> 8, count & 0xff];
  return Buffer.concat([Buffer.from(head), ...values.map(encode)]);
}

/** Read from the middle of a larger buffer, as batches are. */
function read(values: readonly unknown[]): unknown[] {
  const bytes = message(values);
  const batch = Buffer.concat([Buffer.alloc(7, 0xa3), bytes, Buffer.alloc(9, 0xa3)]);
  expect(unpack(bytes)).toEqual(values);
  return readMessage(batch, 7, 7 + bytes.length);
}

/** Numbers that are the same in every run. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

test('numbers of every size, nothing, and texts of every length', () => {
  const edges = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x100,
    0xffff,
    0x1_0000,
    2 ** 31 - 1,
    2 ** 31,
    2 ** 32 - 1,
  ];
  expect(read(edges)).toEqual(edges);
  expect(read([-1, 1.5, true, false, null])).toEqual([-1, 1.5, true, false, null]);
  for (let length = 0; length < 200; length += 1) {
    const texts = ['x'.repeat(length), `${'x'.repeat(length)}é`, 'é'.repeat(length)];
    expect(read([1, 2, 3, ...texts, null])).toEqual([1, 2, 3, ...texts, null]);
  }
});

test('many values, lists of texts, bytes and maps', () => {
  const many = Array.from({ length: 300 }, (_, i) => (i % 3 === 0 ? `value ${i}` : i));
  expect(read(many)).toEqual(many);
  const others = [1, 2, 3, ['a', 'b'], [], { a: 1 }, 'last'];
  expect(read(others)).toEqual(others);
  expect(read([1, 2, 3, Buffer.from('body'), 'x'])[3]).toEqual(Buffer.from('body'));
});

test('texts that come again, and others that look like them', () => {
  const roll = dice(1);
  // Few letters, so that many have the same beginning, end or length, and all come again and again.
  const text = () => Array.from({ length: roll(70) }, () => 'ab'[roll(40) === 0 ? 1 : 0]).join('');
  for (let i = 0; i < 5000; i += 1) {
    const values = [i % 64, i, 1, ...Array.from({ length: roll(4) }, text)];
    expect(read(values)).toEqual(values);
  }
});

test('random values of every kind', () => {
  const roll = dice(2);
  const letters = ['a', 'Z', '0', '\0', '\x7f', 'é', 'ÿ', '€', '😀', '\ufeff'];
  const text = (most: number) =>
    Array.from({ length: roll(most) }, () => letters[roll(roll(2) === 0 ? 5 : 10)]).join('');
  const kinds = [
    () => roll(0x80),
    () => roll(2 ** 32),
    () => null,
    () => text(32),
    () => text(100),
    () => text(5),
    () => roll(2) === 0,
    () => Array.from({ length: roll(5) }, () => text(10)),
  ];
  const common = kinds.slice(0, 6);
  for (let i = 0; i < 5000; i += 1) {
    const from = roll(4) === 0 ? kinds : common;
    const values = Array.from({ length: 2 + roll(20) }, () => from[roll(from.length)]?.());
    expect(read(values)).toEqual(values);
  }
});
