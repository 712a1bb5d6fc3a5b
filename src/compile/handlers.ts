// Policies that answer requests themselves (`handle`): where they may stand.
import type { Config, RouteSettings } from '../config/index.js';
import type { Finding } from '../config/source.js';
import type { LoadedPolicy } from './policies.js';

type Loaded = ReadonlyMap<string, LoadedPolicy>;

const handles = (loaded: Loaded, name: string) =>
  loaded.get(name)?.hooks?.includes('handle') === true;

/** A second one would never have its turn. */
export function handlerFindings(
  { policies = [] }: RouteSettings,
  route: number,
  loaded: Loaded,
): Finding[] {
  const first = policies.find((name) => handles(loaded, name));
  return policies.flatMap((name, index): Finding[] =>
    name === first || !handles(loaded, name)
      ? []
      : [
          {
            code: 'policy_handler',
            path: ['routes', route, 'policies', index],
            message: `expected one policy that answers (handle) but ${first} stands before ${name}`,
            hint: 'one route has one answer: leave one of them out',
          },
        ],
  );
}

/** An answer that nobody gets is no decision that could be counted. */
export function shadowFindings({ policies }: Config, loaded: Loaded): Finding[] {
  return policies.flatMap(({ name, mode }, index): Finding[] =>
    mode === 'enforce' || !handles(loaded, name)
      ? []
      : [
          {
            code: 'policy_handler',
            path: ['policies', index, 'mode'],
            message: `expected mode: enforce but ${name} answers requests (handle), which cannot be done in shadow`,
            hint: 'take it off its routes instead, or split what decides from what answers',
          },
        ],
  );
}
