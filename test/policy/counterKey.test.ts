// The keys of counters, as the core takes them.
import { beforeEach, expect, it } from 'vitest';
import {
  counterKey,
  longestPlainKey,
  newCounterSecret,
  useCounterSecret,
} from '../../src/policy/counterKey.js';

const secret = newCounterSecret();

beforeEach(() => useCounterSecret(secret));

it('stands for itself where it is short', () => {
  for (const key of ['k', 'ä'.repeat(128), 'a'.repeat(256)]) expect(counterKey(key)).toBe(key);
});

it('is short, and another one for another key, where it is long', () => {
  const keys = ['ä'.repeat(129), 'a'.repeat(257), 'a'.repeat(258), `${'a'.repeat(1e6)}b`];
  const made = keys.map(counterKey);
  expect(new Set(made).size).toBe(keys.length);
  for (const key of made) expect(Buffer.byteLength(key)).toBeLessThanOrEqual(longestPlainKey);
  expect(keys.map(counterKey)).toEqual(made);
});

it('cannot be named by what a long key becomes', () => {
  const made = counterKey('a'.repeat(2000));
  expect(counterKey(made)).not.toBe(made);
});

it('becomes the same where the secret is, and something else under another one', () => {
  const long = 'a'.repeat(2000);
  const made = counterKey(long);
  useCounterSecret(newCounterSecret());
  expect(counterKey(long)).not.toBe(made);
  useCounterSecret(secret);
  expect(counterKey(long)).toBe(made);
});
