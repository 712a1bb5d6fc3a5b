// Compiles a checked configuration into the snapshot that the core decodes, and keeps where each part of it came from.
import type { Config, Problem } from '../config/index.js';
import type { Finding, Source } from '../config/source.js';
import { problemAt } from '../config/source.js';
import type { PolicySet } from '../workers/messages.js';
import { coreFinding } from './coreProblem.js';
import { encodeSnapshot } from './encode.js';
import { type CertificateFacts, expiryFindings, type RevocationListFacts } from './expiry.js';
import { fetchRoutes } from './fetches.js';
import { compileListener } from './listeners.js';
import { type MetricSlots, maxMetricSlots } from './metricSlots.js';
import { type CompiledPolicies, compilePolicies, type PolicyCatalog } from './policies.js';
import { ModuleCatalog, PolicyNumbers } from './policyModules.js';
import { type Resolve, resolveBySystem, resolveEndpoints } from './resolve.js';
import { compileRoute } from './routes.js';
import type { Snapshot } from './snapshot.js';
import { readTls, type TlsFiles } from './tls.js';
import { compileUpstream } from './upstreams.js';

export {
  type CertificateFacts,
  expiryFindings,
  nextExpiryCheck,
  type RevocationListFacts,
} from './expiry.js';
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
  certificates: CertificateFacts[];
  revocationLists: RevocationListFacts[];
  /**
   * Certificates, keys, revocation lists and ticket keys: what is looked at whether or not `--watch` is on. A digest of what was in
   * each, by absolute path.
   */
  certificateFiles: ReadonlyMap<string, string>;
  warnings: Problem[];
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
  const tls = readTls(config, source.file);
  findings.push(...tls.findings);
  const files = catalog.sources;
  if (findings.length > 0) return refused(findings, source, files);
  const snapshot = build(config, version, addresses, slots, policies, tls);
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
    policies: policies.set,
    files,
    ...ofSnapshot(snapshot, config, source),
    ...ofCertificates(tls, source),
  };
}

/** The same configuration with its certificates, keys and ticket keys as they are now. */
export function renewCertificates(
  compiled: Compiled,
  config: Config,
  { version, source }: { version: number; source: Source },
): CompileResult {
  const tls = readTls(config, source.file);
  if (tls.findings.length > 0) return refused(tls.findings, source, compiled.files);
  const listeners = compiled.snapshot.listeners.map((listener) => {
    const its = tls.listeners.get(listener.name);
    return its === undefined ? listener : { ...listener, tls: its };
  });
  const upstreams = compiled.snapshot.upstreams.map((upstream) => {
    const its = tls.upstreams.get(upstream.name);
    return its === undefined ? upstream : { ...upstream, tls: its };
  });
  const { authorities } = tls;
  return {
    ...compiled,
    ...ofSnapshot(
      { ...compiled.snapshot, version, listeners, upstreams, authorities },
      config,
      source,
    ),
    ...ofCertificates(tls, source),
  };
}

function ofSnapshot(snapshot: Snapshot, config: Config, source: Source) {
  return {
    bytes: encodeSnapshot(snapshot),
    snapshot,
    names: namesOf(snapshot),
    coreProblem: (message: string) => problemAt(source, coreFinding(message, config, snapshot)),
  };
}

function ofCertificates(tls: TlsFiles, source: Source) {
  const findings = [...tls.warnings, ...expiryFindings(tls)];
  return {
    certificates: tls.certificates,
    revocationLists: tls.revocationLists,
    certificateFiles: tls.files,
    warnings: findings.map((finding) => problemAt(source, finding)),
  };
}

function build(
  config: Config,
  version: number,
  addresses: ReadonlyMap<string, string>,
  slots: MetricSlots,
  policies: CompiledPolicies,
  tls: TlsFiles,
): Snapshot {
  const listeners = config.listeners.flatMap((listener) =>
    compileListener(listener, tls.listeners.get(listener.name)),
  );
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
    authorities: tls.authorities,
    chains: policies.snapshot,
    upstreams: config.upstreams.map((upstream) =>
      compileUpstream(
        upstream,
        addresses,
        slots,
        policies.snapshot.length > 0,
        tls.upstreams.get(upstream.name),
      ),
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
