// `ctx.counters` for tests that give a policy its context themselves.
import { PolicyCounters } from '../../src/policy/counters.js';
import { FakeCounters } from '../../src/policy/testing/counters.js';

/** Of a policy of its own, at a time that stands still. */
export function fakeCounters(): PolicyCounters {
  const fakes = new FakeCounters();
  return new PolicyCounters(
    fakes.store('mine', () => 0),
    fakes.store('', () => 0),
  );
}
