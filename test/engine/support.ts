// What the tests of the core share: snapshots from plain settings, and the binaries.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { compileSnapshot, MetricSlots } from '../../src/compile/index.js';
import { type ConfigInput, configSchema } from '../../src/config/schema/index.js';
import { addonPlaces } from '../../src/engine/addon.js';

/** The bare host: TIDEGATE_HOST, or what `npm test` has built. */
export const hostPath =
  process.env['TIDEGATE_HOST'] ||
  fileURLToPath(new URL('../../build/Release/tidegate_host', import.meta.url));

/** The addon's binary, for tests that load it in a process of their own. */
export function addonPath(): string {
  const place = addonPlaces().find((path) => existsSync(path));
  if (place === undefined) throw new Error('the addon is not built: npm test builds it');
  return place;
}

const slots = new MetricSlots();
let version = 0;

/** Encodes a configuration; each call is a version of its own. The access log is off unless it is asked for. */
export async function snapshotOf(input: ConfigInput): Promise<Uint8Array> {
  version += 1;
  const compiled = await compileSnapshot(configSchema.parse({ accessLog: false, ...input }), {
    version,
    slots,
  });
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems));
  return compiled.bytes;
}

/** One listener on a free port, and one route that answers with `body`. */
export function answering(body: string, input: Partial<ConfigInput> = {}): ConfigInput {
  return {
    listeners: [{ name: 'public', bind: '127.0.0.1:0' }],
    routes: [{ name: 'all', match: { path: '/*' }, respond: { status: 200, body } }],
    ...input,
  };
}
