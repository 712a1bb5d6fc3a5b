// The core inside this process: the addon's Engine behind the interface Core.
import { type Addon, loadAddon, type NativeEngine, withEngineErrors } from './addon.js';
import type {
  BoundListener,
  Core,
  CoreOptions,
  CoreStats,
  CoreTables,
  EndpointStatus,
  EngineError,
  ThreadStats,
  VerdictPurge,
} from './types.js';

/** Starts the I/O threads. Rejects with `core_missing` or `thread_start_failed`. */
export async function startAddonCore(options: CoreOptions): Promise<Core> {
  const addon = loadAddon();
  return new AddonCore(
    addon,
    withEngineErrors(() => new addon.Engine(options)),
  );
}

interface ThreadViews extends ThreadStats {
  chunks: BigUint64Array[];
}

class AddonCore implements Core {
  readonly description = 'in this process';
  readonly engine: number;
  readonly threadCount: number;
  readonly tables: CoreTables;
  readonly ended: Promise<EngineError | undefined>;
  readonly #native: NativeEngine;
  /** Views over the core's memory; they stay valid for good, so that only new chunks need a native call. */
  readonly #threads: ThreadViews[];
  #reportEnd: (error: undefined) => void = () => {};

  constructor(addon: Addon, engine: NativeEngine) {
    this.#native = engine;
    this.tables = addon;
    this.engine = engine.id();
    this.threadCount = engine.threadCount();
    this.#threads = Array.from({ length: this.threadCount }, (_, thread) => ({
      counters: new BigUint64Array(engine.counterBuffer(thread)),
      chunks: [],
    }));
    this.ended = new Promise((resolve) => {
      this.#reportEnd = resolve;
    });
  }

  async apply(snapshot: Uint8Array): Promise<BoundListener[]> {
    const listeners = withEngineErrors(() => this.#native.apply(snapshot));
    this.#addChunks();
    return listeners;
  }

  async drain(): Promise<void> {
    withEngineErrors(() => this.#native.drain());
  }

  async drained(): Promise<boolean> {
    return withEngineErrors(() => this.#native.drained());
  }

  async stop(): Promise<void> {
    this.#native.stop();
    this.#reportEnd(undefined);
  }

  async reopenLogs(): Promise<void> {
    withEngineErrors(() => this.#native.reopenLogs());
  }

  async purgeVerdicts({ by, name }: VerdictPurge): Promise<number> {
    return withEngineErrors(() => this.#native.purgeVerdicts(by, name));
  }

  async stats(): Promise<CoreStats> {
    const accessLogLost = withEngineErrors(() => this.#native.accessLogDropped());
    return { threads: this.#threads, accessLogLost };
  }

  async endpoints(): Promise<EndpointStatus[]> {
    return withEngineErrors(() => this.#native.endpoints());
  }

  #addChunks(): void {
    for (const [thread, { chunks }] of this.#threads.entries()) {
      const count = this.#native.chunkCount(thread);
      for (let i = chunks.length; i < count; i += 1) {
        chunks.push(new BigUint64Array(this.#native.chunkBuffer(thread, i)));
      }
    }
  }
}
