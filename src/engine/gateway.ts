// One running gateway: a core, the configuration in force, the admin server. Starts, reloads, drains and stops them as one.
import { relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type AdminAnswer,
  AdminError,
  type AdminServer,
  jsonAnswer,
  problemAnswer,
  startAdmin,
} from '../admin/server.js';
import {
  type Compiled,
  compileSnapshot,
  expiryFindings,
  fetchRoutes,
  MetricSlots,
  nextExpiryCheck,
  PolicyNumbers,
  renewCertificates,
} from '../compile/index.js';
import { parseBind } from '../config/address.js';
import { type Config, loadConfig, type Problem, renderProblems } from '../config/index.js';
import { problemAt, type Source } from '../config/source.js';
import type { Logger } from '../observe/log.js';
import { type MetricSlotNames, Metrics } from '../observe/metrics.js';
import type { GatewayFacts } from '../observe/metricTable.js';
import { startCore } from './core.js';
import { FileWatch } from './fileWatch.js';
import { applyOverrides, needsRestart, type Overrides } from './overrides.js';
import { Policies, PoliciesRefused } from './policies.js';
import { readPurge } from './purge.js';
import { connectionsWithin, coreOptions } from './resources.js';
import { type BoundListener, type Core, type CoreOptions, EngineError } from './types.js';

export interface GatewayOptions {
  configFile: string;
  overrides: Overrides;
  log: Logger;
  /** Of Tidegate. */
  version: string;
}

/** The configuration is wrong; every problem has been logged. */
export class ConfigRefused extends Error {
  override readonly name = 'ConfigRefused';
}

/** How often a draining gateway asks whether a client is left. */
const drainPollMillis = 20;

interface Prepared {
  config: Config;
  source: Source;
  compiled: Compiled;
  files: string[];
}

export class Gateway {
  readonly core: Core;
  readonly coreOptions: CoreOptions;
  readonly #options: GatewayOptions;
  readonly #kept: Kept;
  readonly #policies: Policies;
  readonly #watch: FileWatch;
  readonly #certificateWatch: FileWatch;
  #expiryCheck: NodeJS.Timeout | undefined;
  /** What the process was started with; the part that no reload can change is in force until the end. */
  readonly #startConfig: Config;
  #current: Prepared;
  #listeners: BoundListener[] = [];
  #admin: AdminServer | undefined;
  #state: 'starting' | 'ready' | 'draining' | 'stopped' = 'starting';
  #reloading: Promise<boolean> | undefined;
  #reloadAgain = false;
  readonly #reloads = { adopted: 0, refused: 0 };
  #adoptedAt = 0;
  #lastReloadAdopted = true;

  /**
   * Resolves when the listeners are bound. Rejects with ConfigRefused, EngineError or AdminError, and then nothing is left
   * running.
   */
  static async start(options: GatewayOptions): Promise<Gateway> {
    const kept: Kept = { slots: new MetricSlots(), policies: new PolicyNumbers() };
    const prepared = await prepare(options, kept, 1);
    if (!prepared.ok) throw new ConfigRefused('the configuration was refused');
    options.log.level = prepared.config.log.level;
    const settings = coreOptions(prepared.config.process);
    warnOfFileLimit(settings, options.log);
    const gateway = new Gateway(options, kept, prepared, await startCore(settings), settings);
    try {
      await gateway.#open();
    } catch (error) {
      await gateway.stop();
      throw error;
    }
    return gateway;
  }

  private constructor(
    options: GatewayOptions,
    kept: Kept,
    prepared: Prepared,
    core: Core,
    settings: CoreOptions,
  ) {
    this.#options = options;
    this.#kept = kept;
    this.#current = prepared;
    this.#startConfig = prepared.config;
    this.core = core;
    this.coreOptions = settings;
    const workers = {
      count: settings.policyWorkers,
      memory: prepared.config.process.policyWorkerMemory,
    };
    this.#policies = new Policies(core, workers, options.log);
    this.#watch = new FileWatch(
      () => void this.reload('a file has changed'),
      (error) => options.log.warn({ err: error }, 'the configuration cannot be watched'),
    );
    this.#certificateWatch = new FileWatch(
      () => void this.#renewCertificates(),
      (error) => options.log.warn({ err: error }, 'the certificates cannot be watched'),
    );
  }

  get listeners(): readonly BoundListener[] {
    return this.#listeners;
  }

  /** With the real port; undefined when there is no admin server. */
  get adminAddress(): string | undefined {
    return this.#admin?.address;
  }

  /** Threads that run policies now: none before there are any. */
  get policyWorkers(): number {
    return this.#policies.workers;
  }

  get config(): Config {
    return this.#current.config;
  }

  /**
   * Reads the configuration again and adopts it whole or not at all; false when it was refused, with every error in the log.
   * Calls that come while one is at work are answered by one more that follows it.
   */
  reload(cause: string): Promise<boolean> {
    if (this.#reloading !== undefined) {
      this.#reloadAgain = true;
      return this.#reloading;
    }
    return this.#change(this.#reloadOnce(cause));
  }

  async reopenLogs(): Promise<void> {
    const { log } = this.#options;
    try {
      await this.core.reopenLogs();
      log.info('access log opened again');
    } catch (error) {
      log.error({ code: codeOf(error) }, messageOf(error));
    }
  }

  /** Stops accepting and waits until the clients are gone, `process.drainTimeout` is over, or stop() is called. */
  async drain(): Promise<void> {
    const { log } = this.#options;
    const { drainTimeout } = this.#current.config.process;
    log.info({ drainTimeout }, 'draining');
    this.#state = 'draining';
    this.#watch.close();
    this.#certificateWatch.close();
    const deadline = performance.now() + drainTimeout;
    await this.core.drain();
    while (!this.#isStopped() && !(await this.core.drained())) {
      if (performance.now() >= deadline) {
        log.warn('clients are left; their connections are closed now');
        return;
      }
      await delay(drainPollMillis);
    }
  }

  /** Closes everything that is left. Idempotent. */
  async stop(): Promise<void> {
    this.#state = 'stopped';
    this.#watch.close();
    this.#certificateWatch.close();
    clearTimeout(this.#expiryCheck);
    this.#admin?.close();
    await this.core.stop();
    await this.#policies.stop();
  }

  // A method and not a comparison in place: drain() has narrowed the state, and stop() changes it meanwhile.
  #isStopped(): boolean {
    return this.#state === 'stopped';
  }

  async #open(): Promise<void> {
    await this.#startAdmin();
    this.#listeners = await this.#apply(this.#current);
    this.#state = 'ready';
    this.#adoptedAt = Date.now() / 1000;
    this.#watchFiles(this.#current.files);
    this.#awaitExpiry();
  }

  /** An address that cannot be had ends the start; a missing uWebSockets.js does not: traffic does not need it. */
  async #startAdmin(): Promise<void> {
    const { admin } = this.#current.config;
    if (admin === false) return;
    const bind = parseBind(admin.bind);
    if (!bind.ok || bind.value.kind !== 'ip') throw new TypeError(`bad address ${admin.bind}`);
    const metrics = new Metrics({
      core: this.core,
      slots: () => slotNames(this.#current.compiled),
      facts: () => this.#facts(),
    });
    try {
      this.#admin = await startAdmin(bind.value, {
        '/healthz': { get: () => jsonAnswer(200, { status: 'alive' }) },
        '/readyz': {
          get: () => jsonAnswer(this.#state === 'ready' ? 200 : 503, { status: this.#state }),
        },
        '/metrics': { get: async () => ({ status: 200, ...(await metrics.expose()) }) },
        '/verdicts': { delete: (query) => this.#purge(query) },
      });
    } catch (error) {
      if (!(error instanceof AdminError) || error.code !== 'admin_missing') throw error;
      this.#options.log.error({ code: error.code }, `no admin server: ${error.message}`);
    }
  }

  /** Of the admin server: drops kept verdicts. */
  async #purge(query: URLSearchParams): Promise<AdminAnswer> {
    const purge = readPurge(query);
    if (purge === undefined) {
      return problemAnswer(400, 'expected ?policy=NAME, ?consumer=ID or ?tag=TAG, or no query');
    }
    const purged = await this.core.purgeVerdicts(purge);
    this.#options.log.info({ ...purge, purged }, 'kept verdicts purged');
    return jsonAnswer(200, { purged });
  }

  /** One change at a time; then the reload that was asked for meanwhile. */
  #change(first: Promise<boolean>): Promise<boolean> {
    this.#reloading = this.#untilSettled(first).finally(() => {
      this.#reloading = undefined;
    });
    return this.#reloading;
  }

  async #untilSettled(first: Promise<boolean>): Promise<boolean> {
    let adopted = await first;
    while (this.#reloadAgain) {
      this.#reloadAgain = false;
      adopted = await this.#reloadOnce('asked for again');
    }
    return adopted;
  }

  async #renewCertificates(): Promise<void> {
    while (this.#reloading !== undefined) await this.#reloading;
    await this.#change(this.#renewOnce());
  }

  /** New certificates alone: nothing else of the configuration is read again. */
  async #renewOnce(): Promise<boolean> {
    if (this.#state !== 'ready') return false;
    const { log } = this.#options;
    const { config, source, compiled } = this.#current;
    const version = compiled.snapshot.version + 1;
    const renewed = renewCertificates(compiled, config, { version, source });
    if (!renewed.ok) {
      logProblems(renewed.problems, log);
      log.error('certificates refused; those in force stay');
      return false;
    }
    try {
      this.#listeners = await this.core.apply(renewed.bytes);
    } catch (error) {
      if (error instanceof EngineError && error.code === 'snapshot_invalid') {
        logProblems([renewed.coreProblem(error.message)], log);
      } else log.error({ code: codeOf(error) }, messageOf(error));
      log.error('certificates refused; those in force stay');
      return false;
    }
    this.#current = { ...this.#current, compiled: renewed };
    this.#awaitExpiry();
    logProblems(renewed.warnings, log);
    const files = changedFiles(compiled.certificateFiles, renewed.certificateFiles);
    log.info({ version, files }, 'certificates adopted');
    return true;
  }

  /** Whoever adopts certificates has said what there is to say of them now. */
  #awaitExpiry(): void {
    clearTimeout(this.#expiryCheck);
    const delayMillis = nextExpiryCheck(this.#current.compiled);
    this.#expiryCheck = setTimeout(() => this.#warnOfExpiry(), delayMillis).unref();
  }

  #warnOfExpiry(): void {
    const { compiled, source } = this.#current;
    logProblems(
      expiryFindings(compiled).map((finding) => problemAt(source, finding)),
      this.#options.log,
    );
    this.#awaitExpiry();
  }

  async #reloadOnce(cause: string): Promise<boolean> {
    if (this.#state !== 'ready') return false;
    const { log } = this.#options;
    log.info({ cause }, 'reloading');
    const adopted = await this.#adopt();
    this.#reloads[adopted ? 'adopted' : 'refused'] += 1;
    this.#lastReloadAdopted = adopted;
    if (!adopted) log.error('configuration refused; the one in force stays');
    return adopted;
  }

  async #adopt(): Promise<boolean> {
    const { log } = this.#options;
    const version = this.#current.compiled.snapshot.version + 1;
    const next = await prepare(this.#options, this.#kept, version);
    // Looking up names takes time, in which the gateway may have begun to drain.
    if (this.#state !== 'ready') return false;
    if (!next.ok) {
      this.#watchFiles([...new Set([...this.#current.files, ...next.files])]);
      return false;
    }
    try {
      this.#listeners = await this.#apply(next);
    } catch (error) {
      if (!(error instanceof ConfigRefused)) log.error({ code: codeOf(error) }, messageOf(error));
      return false;
    }
    this.#current = next;
    this.#awaitExpiry();
    this.#adoptedAt = Date.now() / 1000;
    log.level = next.config.log.level;
    this.#watchFiles(next.files);
    for (const setting of needsRestart(this.#startConfig, next.config)) {
      log.warn({ setting }, 'this setting has changed; it takes effect at the next start');
    }
    log.info({ version, listeners: namesAndAddresses(this.#listeners) }, 'configuration adopted');
    return true;
  }

  /** Hands the snapshot to the core; where the core refuses it, logs the place in the user's file and throws ConfigRefused. */
  async #apply({ compiled }: Prepared): Promise<BoundListener[]> {
    try {
      await this.#policies.load(compiled.policies);
    } catch (error) {
      if (!(error instanceof PoliciesRefused)) throw error;
      this.#options.log.error({ code: 'policies_refused' }, error.message);
      throw new ConfigRefused('a policy cannot be run', { cause: error });
    }
    try {
      const listeners = await this.core.apply(compiled.bytes);
      this.#policies.adopted(compiled.policies);
      return listeners;
    } catch (error) {
      await this.#policies.abandon();
      if (!(error instanceof EngineError) || error.code !== 'snapshot_invalid') throw error;
      logProblems([compiled.coreProblem(error.message)], this.#options.log);
      throw new ConfigRefused('the core refused the configuration', { cause: error });
    }
  }

  #watchFiles(files: readonly string[]): void {
    const ready = this.#state === 'ready';
    this.#watch.set(this.#current.config.process.watch && ready ? files : []);
    this.#certificateWatch.set(ready ? [...this.#current.compiled.certificateFiles.keys()] : []);
  }

  #facts(): GatewayFacts {
    return {
      version: this.#options.version,
      draining: this.#state === 'draining',
      reloads: this.#reloads,
      adoptedAt: this.#adoptedAt,
      lastReloadAdopted: this.#lastReloadAdopted,
      policyEvents: this.#policies.tally.entries,
      policyWorkerRestarts: this.#policies.restarts,
      certificates: this.#current.compiled.certificates,
      revocationLists: this.#current.compiled.revocationLists,
    };
  }
}

/** What stays the same over reloads. */
interface Kept {
  slots: MetricSlots;
  policies: PolicyNumbers;
}

type PrepareResult = ({ ok: true } & Prepared) | { ok: false; files: string[] };

/** Loads and compiles; what is wrong is logged. */
async function prepare(
  { configFile, overrides, log }: GatewayOptions,
  { slots, policies }: Kept,
  version: number,
): Promise<PrepareResult> {
  const loaded = await loadConfig(configFile);
  logProblems(loaded.ok ? loaded.warnings : loaded.problems, log);
  if (!loaded.ok) return { ok: false, files: loaded.files };
  const config = applyOverrides(loaded.config, overrides);
  const { source } = loaded;
  const compiled = await compileSnapshot(config, { version, slots, policies, source });
  const files = [...loaded.files, ...compiled.files];
  if (compiled.ok) {
    logProblems(compiled.warnings, log);
    return { ok: true, config, source, compiled, files };
  }
  logProblems(compiled.problems, log);
  return { ok: false, files };
}

function logProblems(problems: readonly Problem[], log: Logger): void {
  for (const problem of problems) {
    const level = problem.severity === 'warning' ? 'warn' : 'error';
    log[level]({ code: problem.code }, renderProblems([problem]).trimEnd());
  }
}

function warnOfFileLimit({ maxConnections, ioThreads }: CoreOptions, log: Logger): void {
  const room = connectionsWithin(ioThreads);
  if (maxConnections <= room) return;
  log.warn(
    { maxConnections, room },
    'the limit of open files (ulimit -n) may stop accepting before maxConnections does',
  );
}

function slotNames({ snapshot }: Compiled): MetricSlotNames {
  return {
    routes: [
      ...snapshot.routes.map(({ match, metricSlot }) => ({ name: match.name, slot: metricSlot })),
      ...fetchRoutes(snapshot.upstreams),
    ],
    upstreams: snapshot.upstreams.map(({ name, metricSlot }) => ({ name, slot: metricSlot })),
    endpoints: snapshot.upstreams.flatMap(({ name, endpoints }) =>
      endpoints.map(({ address, metricSlot }) => ({ upstream: name, address, slot: metricSlot })),
    ),
    access: snapshot.access.map(({ name, shadow, metricSlot }) => ({
      policy: name,
      mode: shadow ? 'shadow' : 'enforce',
      slot: metricSlot,
    })),
  };
}

/** As people know them, those of which the content is another now. */
function changedFiles(
  before: ReadonlyMap<string, string>,
  now: ReadonlyMap<string, string>,
): string[] {
  return [...now]
    .filter(([file, digest]) => before.get(file) !== digest)
    .map(([file]) => relative(process.cwd(), file));
}

/** As the log and the ready message have them. */
export function namesAndAddresses(listeners: readonly BoundListener[]) {
  return listeners.map(({ name, address }) => ({ name, address }));
}

function codeOf(error: unknown): string {
  return error instanceof EngineError || error instanceof AdminError ? error.code : 'unexpected';
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
