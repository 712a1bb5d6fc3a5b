// The policy workers of a gateway: started when the first configuration with policies comes, told of each one before the core
// adopts it, and of the old one's end when no request can still ask for it.
import type { Logger } from '../observe/log.js';
import type { PolicySet } from '../workers/messages.js';
import type { PolicyPool } from '../workers/pool.js';
import { Tally } from '../workers/tally.js';
import type { Core } from './types.js';

/** Policies that the configuration names cannot run; the message says why. */
export class PoliciesRefused extends Error {
  override readonly name = 'PoliciesRefused';
}

/** Beyond the longest time that a decision may take. */
const graceMillis = 1000;

/** Of the process: a reload does not change it. */
export interface WorkerOptions {
  /** How many there are to be, once there is anything to run. */
  readonly count: number;
  /** Of each worker's JavaScript heap, in bytes. */
  readonly memory: number;
}

export class Policies {
  readonly #core: Core;
  readonly #workers: WorkerOptions;
  readonly #log: Logger;
  #pool: PolicyPool | undefined;
  /** Of the configuration that the core has. */
  #inForce: PolicySet = { instances: [], chains: [] };
  #keeping: NodeJS.Timeout | undefined;

  constructor(core: Core, workers: WorkerOptions, log: Logger) {
    this.#core = core;
    this.#workers = workers;
    this.#log = log;
  }

  /** Running now. */
  get workers(): number {
    return this.#pool === undefined ? 0 : this.#workers.count;
  }

  /** What has happened to policies since the start. */
  readonly tally = new Tally();

  /** Replacements of workers since the start. */
  get restarts(): number {
    return this.#pool?.restarts ?? 0;
  }

  /**
   * Every worker has set up what is new, beside what is in force; adopted() or abandon() follows. Rejects with PoliciesRefused,
   * and then there is nothing to abandon.
   */
  async load(set: PolicySet): Promise<void> {
    if (this.#pool === undefined && set.chains.length === 0) return;
    clearTimeout(this.#keeping);
    const pool = this.#pool ?? (await this.#start());
    try {
      await pool.load(set, longestTimeout(set));
      this.#pool = pool;
    } catch (error) {
      if (this.#pool === undefined) await pool.stop();
      else await this.abandon();
      throw new PoliciesRefused(error instanceof Error ? error.message : String(error), {
        cause: error,
      });
    }
  }

  /** The core has refused the configuration: a worker that is replaced from now on begins with what is in force. */
  async abandon(): Promise<void> {
    await this.#pool?.load(this.#inForce, longestTimeout(this.#inForce));
  }

  /** The core has adopted the configuration that the set last loaded is of. */
  adopted(set: PolicySet): void {
    this.#inForce = set;
    this.#keeping = setTimeout(() => this.#pool?.keep(), longestTimeout(set) + graceMillis);
    this.#keeping.unref();
  }

  async stop(): Promise<void> {
    clearTimeout(this.#keeping);
    await this.#pool?.stop();
    this.#pool = undefined;
  }

  async #start(): Promise<PolicyPool> {
    const { engine } = this.#core;
    if (engine === undefined) throw new PoliciesRefused('the bare host runs no policies');
    if (this.#workers.count === 0) {
      throw new PoliciesRefused(
        'there is no policy worker: start with --policy-workers 1 or more, or leave it out',
      );
    }
    // Gateways without policies need neither piscina nor its threads.
    const { PolicyPool } = await import('../workers/pool.js');
    return new PolicyPool({
      engine,
      workers: this.#workers.count,
      maxHeapMib: Math.floor(this.#workers.memory / 2 ** 20),
      tally: this.tally,
      log: this.#log,
    });
  }
}

/** A policy that answers may have decided before, and has its time again. */
function longestTimeout({ chains }: PolicySet): number {
  const ofChain = chains.map(({ links }) => {
    const timeouts = links.map(({ timeout }) => timeout);
    return timeouts.reduce((sum, timeout) => sum + timeout, Math.max(0, ...timeouts));
  });
  return Math.max(0, ...ofChain);
}
