// The keys of counters, as the core takes them.
import { expect, it } from 'vitest';
import { counterKey, longestCounterKey } from '../../src/policy/counterKey.js';

it('stands for itself where it is short', () => {
  for (const key of ['k', 'ä'.repeat(512), 'a'.repeat(1024)]) expect(counterKey(key)).toBe(key);
});

it('is within what the core takes, and another one for another key, where it is long', () => {
  const keys = ['ä'.repeat(513), 'a'.repeat(1025), 'a'.repeat(1026), `${'a'.repeat(1e6)}b`];
  const made = keys.map(counterKey);
  expect(new Set(made).size).toBe(keys.length);
  for (const key of made) expect(Buffer.byteLength(key)).toBeLessThanOrEqual(longestCounterKey);
});

it('cannot be named by what a long key becomes', () => {
  const made = counterKey('a'.repeat(2000));
  expect(counterKey(made)).not.toBe(made);
});
