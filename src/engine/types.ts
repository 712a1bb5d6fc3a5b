// The core as the control thread sees it: one interface, implemented by the addon (in this process) and by the bare host
// (a child process), which the integration tests can put in each other's place.

/** `EngineError.code`: what the core refused, by kind. */
export type EngineErrorCode =
  | 'snapshot_invalid'
  | 'bind_failed'
  | 'access_log_failed'
  | 'thread_start_failed'
  | 'request_invalid'
  | 'core_missing'
  | 'core_stopped'
  | 'core_died';

/** The core refused something, or is gone. Callers match on `code`; the message is for people. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly code: EngineErrorCode;

  constructor(code: EngineErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface CoreOptions {
  /** 1..256 */
  ioThreads: number;
  /** Thread i runs on `pinCpus[i % length]`; empty: not pinned. */
  pinCpus: number[];
  /** Client connections of the process. */
  maxConnections: number;
  /** 0..256 */
  policyWorkers: number;
  /** Places for counters of limits: a power of two from 1024 to 16 Mi. */
  limitCounters: number;
  /** Bytes for kept verdicts, of each I/O thread; 0 keeps none. */
  replayMemory: number;
}

export interface BoundListener {
  name: string;
  /** As configured. */
  bind: string;
  /** With the real port: `127.0.0.1:41234`, `[::1]:41234` or `unix:/path`. */
  address: string;
}

/** One endpoint of the snapshot in force, as all I/O threads see it together. */
export interface EndpointStatus {
  upstream: string;
  address: string;
  up: boolean;
  /** Exchanges under way. */
  active: number;
  /** Milliseconds until it is tried again; 0 when up. */
  downForMillis: number;
}

/** Which kept verdicts go: of all chains with a policy, of a consumer, or with a tag. */
export interface VerdictPurge {
  by: 'everything' | 'policy' | 'consumer' | 'tag';
  /** Empty for everything. */
  name: string;
}

/** What the numbers of `ThreadStats.counters` mean, in their order; compiled into the core. */
export interface CoreTables {
  counters: readonly CounterInfo[];
  reasons: readonly ReasonInfo[];
  /** Upper bounds of the duration histogram in microseconds; one more bucket holds what is longer. */
  durationBounds: readonly number[];
}

export interface CounterInfo {
  name: string;
  gauge: boolean;
  text: string;
}

export interface ReasonInfo {
  code: string;
  /** What the gateway answers with; 0 where it answers nothing. */
  status: number;
  text: string;
}

/** The numbers of one I/O thread: memory that it writes (addon), or a copy of that (bare host). */
export interface ThreadStats {
  /** The counters of `CoreTables`, then one number a reason. */
  counters: BigUint64Array;
  /** `slotsPerChunk` slots of `slotNumbers` numbers each; slot i is in chunk `floor(i / slotsPerChunk)`. */
  chunks: readonly BigUint64Array[];
}

export interface CoreStats {
  threads: readonly ThreadStats[];
  /** Access log lines that were lost after an I/O thread had handed them over. */
  accessLogLost: number;
}

export const slotsPerChunk = 64;
export const slotNumbers = 32;

/** Where each number of a slot stands: the layout of the core's SlotCounters. */
export const slotIndex = {
  active: 0,
  durationMicros: 2,
  bytesOut: 3,
  /** One more than there are bounds; together the exchanges that have ended. */
  durations: 4,
  bytesIn: 19,
  /** 1xx, 2xx, 3xx, 4xx, 5xx. */
  statusClasses: [20, 1, 21, 22, 23],
  failures: 24,
  retries: 25,
  connects: 26,
  asked: 27,
  refused: 28,
} as const;

/** Calls are made one after the other, by the control thread. After stop() they reject with `core_stopped`. */
export interface Core {
  /** For people: which implementation, and from where. */
  readonly description: string;
  /** By which policy workers of this process find the core; undefined where they cannot reach it. */
  readonly engine: number | undefined;
  readonly threadCount: number;
  readonly tables: CoreTables;

  /** Resolves when the core is gone: with nothing after stop(), with the error when it ended by itself. */
  readonly ended: Promise<EngineError | undefined>;

  /** Adopts a snapshot, all or nothing: after a rejection the one in force is as it was. Returns all of its listeners. */
  apply(snapshot: Uint8Array): Promise<BoundListener[]>;

  /** Stops accepting, closes idle connections, and answers the rest with `Connection: close`. */
  drain(): Promise<void>;

  /** No client connection is left. */
  drained(): Promise<boolean>;

  /** Closes everything and ends the I/O threads. Idempotent. */
  stop(): Promise<void>;

  /** Opens the access log's path again. */
  reopenLogs(): Promise<void>;

  /** Drops kept verdicts; resolves to how many went. */
  purgeVerdicts(purge: VerdictPurge): Promise<number>;

  stats(): Promise<CoreStats>;

  endpoints(): Promise<EndpointStatus[]>;
}
