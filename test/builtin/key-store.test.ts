// The store of API keys: more keys than it remembers, over and over, and guesses in between.
import { expect, test } from 'vitest';
import { KeyStore } from '../../src/policies/api-key/store.js';
import { sha256Hex } from '../../src/policy/sha256.js';

test('every key is found each time it comes, and nothing else ever', () => {
  const store = new KeyStore();
  const keys = Array.from({ length: 2500 }, (_, i) => `key number ${i}`);
  for (const [i, key] of keys.entries()) {
    expect(store.add(sha256Hex(key), { id: `c${i}` })).toBe(true);
  }
  for (let round = 0; round < 3; round += 1) {
    for (const [i, key] of keys.entries()) {
      expect(store.find(key)?.consumer.id).toBe(`c${i}`);
      expect(store.find(key)).toBe(store.find(key));
      expect(store.find(`${key} `)).toBeUndefined();
      expect(store.find(sha256Hex(key))).toBeUndefined();
    }
  }
});
