// Loads the addon and types what it exports. The one file that knows where the binary may be.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import {
  type BoundListener,
  type CoreOptions,
  type CoreTables,
  type EndpointStatus,
  EngineError,
  type VerdictPurge,
} from './types.js';

/** The class `Engine` of the addon: see native/proxy/engine.h. Errors are thrown with a `code`. */
export interface NativeEngine {
  apply(snapshot: Uint8Array): BoundListener[];
  drain(): void;
  drained(): boolean;
  stop(): void;
  reopenLogs(): void;
  purgeVerdicts(by: VerdictPurge['by'], name: string): number;
  threadCount(): number;
  accessLogDropped(): number;
  endpoints(): EndpointStatus[];
  id(): number;
  /** Each of the buffers is the core's own memory, written by the thread while it is read here. */
  counterBuffer(thread: number): ArrayBuffer;
  chunkCount(thread: number): number;
  chunkBuffer(thread: number, index: number): ArrayBuffer;
}

export interface ExplainRequest {
  /** By name; empty: the first listener. */
  listener: string;
  method: string;
  /** Without port. */
  host: string;
  /** Path, and query behind `?`. */
  target: string;
  fields: (readonly [name: string, value: string])[];
  /** The client's IP address. */
  client: string;
}

export interface ExplainCandidate {
  route: string;
  /** Fulfils every predicate. */
  matched: boolean;
  /** `selected`, or what it lost by. */
  reason: string;
  /** listener, host, path, method, header, query, client, precedence; empty for the winner. */
  predicate: string;
}

export interface ExplainResult {
  listener: string;
  /** Host, path and query as they are matched: normalised by the listener's rules. */
  host: string;
  path: string;
  query: string;
  /** The reason code of a request that reaches no route; empty when one was found. */
  refusal: string;
  refusalDetail: string;
  /** The winner; empty when there is none. */
  route: string;
  params: Record<string, string>;
  tail: string;
  /** In order of precedence. */
  candidates: ExplainCandidate[];
  /** Places in the listener's list of certificates: of those that a client may get which asks for the host. */
  certificates: number[];
}

/** The class `PolicyPort` of the addon: see native/addon/policy_port_object.h. `thread` is that of an I/O thread. */
export interface NativePolicyPort {
  threads(): number;
  /** Descriptors, each behind its 4-byte length; 0 when there are none. */
  take(thread: number, into: Uint8Array): number;
  /** How many bytes of the batch were taken, whole frames; -1 when it is malformed. */
  give(thread: number, batch: Uint8Array): number;
  /** True: nothing is there, and the bell rings when something is. */
  sleep(): boolean;
  close(): void;
}

/** The class `LimitCounters` of the addon: see native/addon/limit_counters_object.h, also for what stands in `numbers`. */
export interface NativeLimitCounters {
  charge(keys: readonly string[], numbers: Float64Array): number;
  peek(key: string, numbers: Float64Array): number;
  refund(keys: readonly string[], numbers: Float64Array): void;
  /** For release(); 0 when it was refused. */
  acquire(key: string, numbers: Float64Array): number;
  release(permit: number): boolean;
  close(): void;
}

export interface Addon extends CoreTables {
  Engine: new (options: CoreOptions) => NativeEngine;
  PolicyPort: new (engine: number, worker: number, onBell: () => void) => NativePolicyPort;
  /** Of one owner's keys; of those that charges of verdicts have, when it is empty. */
  LimitCounters: new (
    engine: number,
    owner: string,
  ) => NativeLimitCounters;
  largestPolicyMessage: number;
  explain(snapshot: Uint8Array, request: ExplainRequest): ExplainResult;
  checkSnapshot(snapshot: Uint8Array): void;
}

const packageRoot = new URL('../../', import.meta.url);

/** Where the binary may be, best first: a build of one's own, a developers' build, one that came with the package. */
export function addonPlaces(root: URL = packageRoot): string[] {
  const name = `tidegate-${process.platform}-${process.arch}.node`;
  return [
    'build/Release/tidegate.node',
    'build/cmake/release/tidegate.node',
    'build/cmake/debug/tidegate.node',
    `prebuilds/${name}`,
  ].map((place) => fileURLToPath(new URL(place, root)));
}

let loaded: Addon | undefined;

/**
 * The addon; loaded at the first call, which may name other places. Throws `core_missing`, which names every place and what went
 * wrong there.
 */
export function loadAddon(places: readonly string[] = addonPlaces()): Addon {
  loaded ??= loadFrom(places);
  return loaded;
}

/** The addon from the first of `places` that holds one. */
export function loadFrom(places: readonly string[]): Addon {
  const require = createRequire(import.meta.url);
  const failures: string[] = [];
  for (const place of places) {
    try {
      return require(place) as Addon;
    } catch (error) {
      failures.push(`  ${place}: ${reasonOf(error)}`);
    }
  }
  throw new EngineError(
    'core_missing',
    `the native core could not be loaded\n${failures.join('\n')}\n${remedy()}`,
  );
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ('code' in error && error.code === 'MODULE_NOT_FOUND') return 'no such file';
  return error.message.split('\n')[0] ?? error.message;
}

function remedy(): string {
  if (process.platform !== 'linux') {
    return `Tidegate runs on Linux; this is ${process.platform}`;
  }
  return 'Build it with `npm run build` in a clone, or `npm rebuild tidegate` where it is installed; that needs python3, make and g++ (Debian: apt-get install python3 make g++).';
}

/** Which route a request takes and why, by the core's own router. Throws `snapshot_invalid` or `request_invalid`. */
export function explain(snapshot: Uint8Array, request: ExplainRequest): ExplainResult {
  return withEngineErrors(() => loadAddon().explain(snapshot, request));
}

/** Throws `snapshot_invalid` for what the core would refuse. */
export function checkSnapshot(snapshot: Uint8Array): void {
  withEngineErrors(() => loadAddon().checkSnapshot(snapshot));
}

/** Turns errors that the addon throws, marked by their code, into EngineError. */
export function withEngineErrors<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw toEngineError(error);
  }
}

function toEngineError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof EngineError || !('code' in error)) return error;
  return new EngineError(error.code as EngineError['code'], error.message, { cause: error });
}
