// Compiles a checked configuration into the snapshot that the core decodes, and keeps where each part of it came from.
import type { Config, Problem } from '../config/index.js';
import type { Finding, Source } from '../config/source.js';
import { problemAt } from '../config/source.js';
import type { PolicySet } from '../workers/messages.js';
import { coreFinding } from './coreProblem.js';
import { encodeSnapshot } from './encode.js';
import { fetchRoutes } from './fetches.js';
import { compileListener } from './listeners.js';
import { type MetricSlots, maxMetricSlots } from './metricSlots.js';
import { type CompiledPolicies, compilePolicies, type PolicyCatalog } from './policies.js';
import { ModuleCatalog, PolicyNumbers } from './policyModules.js';
import { type Resolve, resolveBySystem, resolveEndpoints } from './resolve.js';
import { compileRoute } from './routes.js';
import type { Snapshot } from './snapshot.js';
import { compileUpstream } from './upstreams.js';

export { fetchRoutes } from './fetches.js';
export { MetricSlots } from './metricSlots.js';
export type { LoadedPolicy, PolicyCatalog, PolicyFault, PolicyLoad } from './policies.js';
export { PolicyNumbers } from './policyModules.js';
export type { Resolve } from './resolve.js';
export type { Snapshot } from './snapshot.js';

export interface CompileOptions {
  /** Grows with each configuration that is adopted. */
  version: number;
  /** Kept by the caller over reloads. */
  slots: MetricSlots;
  /** Kept by the caller over reloads, where there are any. */
  policies?: PolicyNumbers;
  /** Default: the modules that the policies name, found from the source's file. */
  catalog?: PolicyCatalog;
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
  /** What the policy workers have to know. */
  policies: PolicySet;
  /** The files of policies, absolute: what `--watch` looks at beside those of the configuration. */
  files: string[];
  /** Gives a message of the core (`routes[3].match.paths[0]: …`) its place in the configuration. */
  coreProblem(message: string): Problem;
}

export type CompileResult = Compiled | { ok: false; problems: Problem[]; files: string[] };

export async function compileSnapshot(
  config: Config,
  options: CompileOptions,
): Promise<CompileResult> {
  const { version, slots, source = noSource } = options;
  const { addresses, findings } = await resolveEndpoints(
    config,
    options.resolve ?? resolveBySystem,
  );
  const { policies: numbers = new PolicyNumbers() } = options;
  const { catalog = new ModuleCatalog(source.file, numbers) } = options;
  const { compiled: policies, findings: ofPolicies } = await compilePolicies(
    config,
    catalog,
    numbers,
  );
  findings.push(...ofPolicies);
  const files = catalog.sources;
  if (findings.length > 0) return refused(findings, source, files);
  const snapshot = build(config, version, addresses, slots, policies);
  if (slots.exhausted) {
    const message = `expected at most ${maxMetricSlots} routes, upstreams and endpoints since the start of the process`;
    return refused(
      [{ code: 'too_many_things', path: [], message, hint: 'a restart begins anew' }],
      source,
      files,
    );
  }
  return {
    ok: true,
    bytes: encodeSnapshot(snapshot),
    snapshot,
    names: namesOf(snapshot),
    policies: policies.set,
    files,
    coreProblem: (message) => problemAt(source, coreFinding(message, config, snapshot)),
  };
}

function build(
  config: Config,
  version: number,
  addresses: ReadonlyMap<string, string>,
  slots: MetricSlots,
  policies: CompiledPolicies,
): Snapshot {
  const listeners = config.listeners.flatMap(compileListener);
  const listenerIndices = new Map<string, number[]>();
  for (const [index, { name }] of listeners.entries()) {
    listenerIndices.set(name, [...(listenerIndices.get(name) ?? []), index]);
  }
  const upstreamIndex = new Map(config.upstreams.map((upstream, index) => [upstream.name, index]));
  const context = {
    listeners: listenerIndices,
    upstreamIndex,
    upstreams: config.upstreams,
    slots,
    policies,
  };
  const { accessLog } = config;
  const snapshot: Omit<Snapshot, 'access'> = {
    version,
    accessLog:
      accessLog === false
        ? { format: 'off', path: '' }
        : { format: accessLog.format, path: accessLog.output === 'stdout' ? '' : accessLog.output },
    listeners,
    chains: policies.snapshot,
    upstreams: config.upstreams.map((upstream) =>
      compileUpstream(upstream, addresses, slots, policies.snapshot.length > 0),
    ),
    routes: config.routes.map((route) => compileRoute(route, context)),
  };
  return { ...snapshot, access: policies.access(slots) };
}

function namesOf({ routes, upstreams }: Snapshot): SnapshotNames {
  return {
    routes: [
      ...routes.map(({ match, metricSlot }) => ({ name: match.name, slot: metricSlot })),
      ...fetchRoutes(upstreams),
    ],
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

function refused(findings: Finding[], source: Source, files: string[]): CompileResult {
  return { ok: false, problems: findings.map((finding) => problemAt(source, finding)), files };
}
