// Upstreams: each endpoint once, and a route that leads to it.
import { quote, valueAt } from '../value.js';
import type { MeaningContext } from './index.js';

export function checkUpstreams({ draft, value, report }: MeaningContext): void {
  const routes = valueAt(value, ['routes']);
  const used = new Set(
    (Array.isArray(routes) ? routes : []).map((route) => valueAt(route, ['upstream'])),
  );
  for (const [index, upstream] of draft.upstreams.entries()) {
    if (upstream === undefined) continue;
    const seen = new Map<string, number>();
    for (const [position, { address }] of upstream.endpoints.entries()) {
      const first = seen.get(address.written);
      if (first === undefined) {
        seen.set(address.written, position);
        continue;
      }
      report({
        code: 'duplicate_value',
        path: ['upstreams', index, 'endpoints', position],
        message: `expected each endpoint once but ${quote(address.written)} is endpoints[${first}] already`,
        hint: 'a larger share is its weight',
      });
    }
    // Policies lead where they like.
    if (!used.has(upstream.name) && draft.policies.length === 0) {
      report({
        code: 'unused_upstream',
        severity: 'warning',
        path: ['upstreams', index, 'name'],
        message: `no route leads to the upstream ${quote(upstream.name)}`,
      });
    }
  }
}
