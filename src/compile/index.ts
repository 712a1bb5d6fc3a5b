// Compiles a checked configuration into the snapshot that the core decodes, and keeps where each part of it came from.
import type { Config, Problem } from '../config/index.js';
import type { Finding, Source } from '../config/source.js';
import { problemAt } from '../config/source.js';
import { coreFinding } from './coreProblem.js';
import { encodeSnapshot } from './encode.js';
import { compileListener } from './listeners.js';
import { type MetricSlots, maxMetricSlots } from './metricSlots.js';
import { type Resolve, resolveBySystem, resolveEndpoints } from './resolve.js';
import { compileRoute } from './routes.js';
import type { Snapshot } from './snapshot.js';
import { compileUpstream } from './upstreams.js';

export { MetricSlots } from './metricSlots.js';
export type { Resolve } from './resolve.js';
export type { Snapshot } from './snapshot.js';

export interface CompileOptions {
  /** Grows with each configuration that is adopted. */
  version: number;
  /** Kept by the caller over reloads. */
  slots: MetricSlots;
  /** Places for problems; without it they have only paths. */
  source?: Source;
  /** Default: the system's resolver. */
  resolve?: Resolve;
}

/** Which metric slot belongs to which name, of this snapshot alone. */
export interface SnapshotNames {
  routes: { name: string; slot: number }[];
  upstreams: { name: string; slot: number }[];
  endpoints: { upstream: string; address: string; slot: number }[];
}

export interface Compiled {
  ok: true;
  bytes: Uint8Array;
  snapshot: Snapshot;
  names: SnapshotNames;
  /** Gives a message of the core (`routes[3].match.paths[0]: …`) its place in the configuration. */
  coreProblem(message: string): Problem;
}

export type CompileResult = Compiled | { ok: false; problems: Problem[] };

export async function compileSnapshot(
  config: Config,
  options: CompileOptions,
): Promise<CompileResult> {
  const { version, slots, source = noSource } = options;
  const { addresses, findings } = await resolveEndpoints(
    config,
    options.resolve ?? resolveBySystem,
  );
  if (findings.length > 0) return refused(findings, source);
  const snapshot = build(config, version, addresses, slots);
  if (slots.exhausted) {
    const message = `expected at most ${maxMetricSlots} routes, upstreams and endpoints since the start of the process`;
    return refused(
      [{ code: 'too_many_things', path: [], message, hint: 'a restart begins anew' }],
      source,
    );
  }
  return {
    ok: true,
    bytes: encodeSnapshot(snapshot),
    snapshot,
    names: namesOf(snapshot),
    coreProblem: (message) => problemAt(source, coreFinding(message, config, snapshot)),
  };
}

function build(
  config: Config,
  version: number,
  addresses: ReadonlyMap<string, string>,
  slots: MetricSlots,
): Snapshot {
  const listeners = config.listeners.flatMap(compileListener);
  const listenerIndices = new Map<string, number[]>();
  for (const [index, { name }] of listeners.entries()) {
    listenerIndices.set(name, [...(listenerIndices.get(name) ?? []), index]);
  }
  const upstreamIndex = new Map(config.upstreams.map((upstream, index) => [upstream.name, index]));
  const context = { listeners: listenerIndices, upstreamIndex, upstreams: config.upstreams, slots };
  const { accessLog } = config;
  return {
    version,
    accessLog:
      accessLog === false
        ? { format: 'off', path: '' }
        : { format: accessLog.format, path: accessLog.output === 'stdout' ? '' : accessLog.output },
    listeners,
    upstreams: config.upstreams.map((upstream) => compileUpstream(upstream, addresses, slots)),
    routes: config.routes.map((route) => compileRoute(route, context)),
  };
}

function namesOf({ routes, upstreams }: Snapshot): SnapshotNames {
  return {
    routes: routes.map(({ match, metricSlot }) => ({ name: match.name, slot: metricSlot })),
    upstreams: upstreams.map(({ name, metricSlot }) => ({ name, slot: metricSlot })),
    endpoints: upstreams.flatMap(({ name, endpoints }) =>
      endpoints.map(({ address, metricSlot }) => ({ upstream: name, address, slot: metricSlot })),
    ),
  };
}

const noSource: Source = {
  file: 'configuration',
  files: [],
  value: undefined,
  locate: () => undefined,
  origin: () => undefined,
};

function refused(findings: Finding[], source: Source): CompileResult {
  return { ok: false, problems: findings.map((finding) => problemAt(source, finding)) };
}
