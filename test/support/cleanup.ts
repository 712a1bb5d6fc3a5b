// What a test file has started is ended with it: clients first, so that gateways can show that nothing leaks, origins last.
import { afterAll } from 'vitest';

const order = ['client', 'gateway', 'origin', 'folder'] as const;
type Kind = (typeof order)[number];

const started = new Map<Kind, Set<() => unknown>>(order.map((kind) => [kind, new Set()]));

/** Calls `end` at the end of the test file, unless the result is called before. */
export function endLater(kind: Kind, end: () => unknown): () => void {
  const ends = started.get(kind);
  ends?.add(end);
  return () => ends?.delete(end);
}

afterAll(async () => {
  const failures: unknown[] = [];
  for (const ends of started.values()) {
    const results = await Promise.allSettled([...ends].map(async (end) => end()));
    ends.clear();
    for (const result of results) {
      if (result.status === 'rejected') failures.push(result.reason);
    }
  }
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) throw new AggregateError(failures, failures.map(String).join('\n'));
});
