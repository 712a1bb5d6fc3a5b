// What rate-limit keeps of keys that come again: the same verdict, frozen from the second time on, and never more than a bound.
import { expect, test } from 'vitest';
import { RecentVerdicts } from '../../src/policies/rate-limit/recent.js';

test('a key that comes again has one frozen verdict, and each key its own', () => {
  const recent = new RecentVerdicts();
  const of = (key: string) => recent.find(key) ?? recent.add(key, { tags: [key] });
  expect(Object.isFrozen(of('a'))).toBe(false);
  const second = of('a');
  expect(Object.isFrozen(second)).toBe(true);
  expect(second).toEqual({ kind: 'allow', fields: { tags: ['a'] } });
  expect(of('a')).toBe(second);
  of('b');
  expect(of('b')).toMatchObject({ fields: { tags: ['b'] } });
});

test('a flood of keys takes no more than its bound, and those in use come back', () => {
  const recent = new RecentVerdicts();
  let made = 0;
  const come = (key: string) => {
    if (recent.find(key) !== undefined) return;
    recent.add(key, {});
    made += 1;
  };
  for (let i = 0; i < 10_000; i += 1) {
    come(`flood ${i}`);
    come('regular');
  }
  // Twice after each time that everything was let go.
  expect(made).toBeLessThan(10_000 + 2 * 12);
});
