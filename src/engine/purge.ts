// Which kept verdicts go, as the admin server is asked for it.
import type { VerdictPurge } from './types.js';

const kinds = ['policy', 'consumer', 'tag'] as const;

/** One of `policy`, `consumer` and `tag` with a name, or nothing for all; undefined for everything else. */
export function readPurge(query: URLSearchParams): VerdictPurge | undefined {
  const [first, ...more] = [...query];
  if (first === undefined) return { by: 'everything', name: '' };
  const [key, name] = first;
  const by = kinds.find((kind) => kind === key);
  return by === undefined || name === '' || more.length > 0 ? undefined : { by, name };
}
