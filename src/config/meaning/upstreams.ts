// Upstreams: each endpoint once, and a route that leads to it.
import type { ConfigPath } from '../problem.js';
import type { UpstreamSettings } from '../schema/index.js';
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
    checkTls(upstream, ['upstreams', index], report);
    if (upstream.protocol === 'auto' && upstream.tls === undefined) {
      report({
        code: 'missing_key',
        path: ['upstreams', index, 'protocol'],
        message:
          'expected the key "tls" beside protocol: auto, which is agreed on in its handshake',
        hint: 'in the clear there is http1, and http2 by prior knowledge',
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

function checkTls(
  { tls, endpoints }: UpstreamSettings,
  path: ConfigPath,
  report: MeaningContext['report'],
): void {
  if (tls === undefined) return;
  for (const [given, missing] of [
    ['cert', 'key'],
    ['key', 'cert'],
  ] as const) {
    if (tls[given] === undefined || tls[missing] !== undefined) continue;
    report({
      code: 'missing_key',
      path: [...path, 'tls'],
      message: `expected the key "${missing}" beside "${given}"`,
    });
  }
  const nameless = endpoints.findIndex(({ address }) => address.target.kind === 'unix');
  if (tls.verify && tls.serverName === undefined && nameless >= 0) {
    report({
      code: 'missing_key',
      path: [...path, 'tls'],
      message: `expected the key "serverName", because endpoints[${nameless}] has no name that its certificate could be verified with`,
    });
  }
}
