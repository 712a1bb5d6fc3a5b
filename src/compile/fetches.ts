// What policies may fetch from: each upstream has a route of its own for that, which no client's request takes and which the core
// makes of the upstream. Its name is what access log and metrics show.
import type { Config } from '../config/index.js';
import type { Finding } from '../config/source.js';
import type { SnapshotUpstream } from './snapshot.js';

const prefix = 'fetch:';

function fetchRouteName(upstream: string): string {
  return `${prefix}${upstream}`;
}

/** The metric slots of these routes, by their names. */
export function fetchRoutes(
  upstreams: readonly SnapshotUpstream[],
): { name: string; slot: number }[] {
  return upstreams.flatMap(({ name, fetchSlot: slot }) =>
    slot === undefined ? [] : [{ name: fetchRouteName(name), slot }],
  );
}

/** Log and metrics could not tell them apart. */
export function fetchNameFindings({ routes, upstreams }: Config): Finding[] {
  const taken = new Set(upstreams.map(({ name }) => fetchRouteName(name)));
  return routes.flatMap(({ name }, index): Finding[] =>
    taken.has(name)
      ? [
          {
            code: 'duplicate_name',
            path: ['routes', index, 'name'],
            message: `expected another name: ${name} is what log and metrics call the fetches of policies from ${name.slice(prefix.length)}`,
          },
        ]
      : [],
  );
}
