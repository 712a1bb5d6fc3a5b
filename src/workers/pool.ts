// The policy workers as the control thread sees them: starts them, gives each configuration to all of them, replaces those that
// die, hang or grow too large. Threads and their ends are piscina's business.
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { Piscina } from 'piscina';
import type { Logger } from '../observe/log.js';
import { newCounterSecret } from '../policy/counterKey.js';
import type { FromWorker, PolicySet, PumpTask, ToWorker } from './messages.js';
import type { Tally } from './tally.js';

export interface PolicyPoolOptions {
  /** The engine's number. */
  engine: number;
  /** 1..256 */
  workers: number;
  /** Of each worker, in MiB. */
  maxHeapMib: number;
  /** What happens to policies in any of the workers is added here, half a second late at most. */
  tally: Tally;
  log: Logger;
}

/** A worker could not set a policy up; the message has the stack in the author's own source. */
export class PolicyRefused extends Error {
  override readonly name = 'PolicyRefused';
  readonly policy: string;

  constructor(policy: string, message: string) {
    super(message);
    this.policy = policy;
  }
}

const pingMillis = 500;
/** Without an answer for this long, and for the longest time that a policy may take, a worker counts as hung. */
const hungMillis = 2000;
/** A thread that loads its modules and sets policies up answers nobody; not to be there after this time is hung as well. */
const startMillis = 60_000;
/** Between two starts of a worker that does not come up; doubled each time up to the second. */
const restartMillis = { first: 50, most: 5000 };

export class PolicyPool {
  readonly #options: PolicyPoolOptions;
  readonly #threads: Piscina<PumpTask, void>;
  readonly #workers: PolicyWorker[];

  constructor(options: PolicyPoolOptions) {
    this.#options = options;
    this.#threads = new Piscina<PumpTask, void>({
      filename: fileURLToPath(new URL('./pump.js', import.meta.url)),
      minThreads: options.workers,
      maxThreads: options.workers,
      concurrentTasksPerWorker: 1,
      // A pump waits in its event loop, where bells and messages reach it.
      atomics: 'disabled',
      recordTiming: false,
      execArgv: ['--enable-source-maps'],
      resourceLimits: { maxOldGenerationSizeMb: options.maxHeapMib },
    });
    // A worker that dies ends its task as well, which is where it is noticed.
    this.#threads.on('error', () => {});
    const counterSecret = newCounterSecret();
    this.#workers = Array.from(
      { length: options.workers },
      (_, index) => new PolicyWorker(index, options, this.#threads, counterSecret),
    );
  }

  /** Replacements since the start. */
  get restarts(): number {
    return this.#workers.reduce((sum, { restarts }) => sum + restarts, 0);
  }

  /**
   * Every worker sets up what is new in `set`; what it had goes on until `keep`. Rejects with PolicyRefused when one of them
   * cannot: then the set before stays in force.
   */
  async load(set: PolicySet, longestTimeout: number): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.load(set, longestTimeout)));
  }

  /** The set last loaded is in force everywhere: what only earlier ones had may go. */
  keep(): void {
    for (const worker of this.#workers) worker.keep();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.stop()));
    await this.#threads.destroy();
    this.#options.log.debug('policy workers stopped');
  }
}

interface Waiting {
  resolve(): void;
  reject(error: Error): void;
}

/** One place for a worker thread, and whichever thread is in it. */
class PolicyWorker {
  readonly #index: number;
  readonly #options: PolicyPoolOptions;
  readonly #threads: Piscina<PumpTask, void>;
  readonly #counterSecret: Uint8Array;
  #life: { port: MessagePort; abort: AbortController } | undefined;
  #running: Promise<void> | undefined;
  #set: PolicySet | undefined;
  #longestTimeout = 0;
  #stopped = false;
  #request = 0;
  readonly #waiting = new Map<number, Waiting>();
  /** Of the first start; later ones nobody waits for. */
  #ready: Waiting | undefined;
  /** Pings since it was last heard. Not by the clock: a control thread that was held up itself has heard nobody. */
  #silence = 0;
  /** The thread has begun to work: if it dies, that is no reason to keep everybody waiting for the next one. */
  #cameUp = false;
  restarts = 0;

  constructor(
    index: number,
    options: PolicyPoolOptions,
    threads: Piscina<PumpTask, void>,
    counterSecret: Uint8Array,
  ) {
    this.#index = index;
    this.#options = options;
    this.#threads = threads;
    this.#counterSecret = counterSecret;
  }

  async load(set: PolicySet, longestTimeout: number): Promise<void> {
    const before = this.#set;
    this.#longestTimeout = Math.max(longestTimeout, this.#longestTimeout);
    if (this.#running === undefined) {
      this.#set = set;
      await new Promise<void>((resolve, reject) => {
        this.#ready = { resolve, reject };
        this.#running = this.#live();
      });
      return;
    }
    // A thread that is started meanwhile begins with it.
    this.#set = set;
    const life = this.#life;
    if (life === undefined) return;
    const request = this.#nextRequest();
    try {
      await new Promise<void>((resolve, reject) => {
        this.#waiting.set(request, { resolve, reject });
        this.#send({ kind: 'load', request, set });
      });
    } catch (error) {
      this.#set = before;
      throw error;
    }
  }

  keep(): void {
    this.#send({ kind: 'keep' });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    const life = this.#life;
    if (life === undefined) return;
    this.#send({ kind: 'stop' });
    const grace = new AbortController();
    const late = delay(hungMillis, undefined, { signal: grace.signal }).then(
      () => life.abort.abort(),
      () => {},
    );
    await Promise.race([this.#running, late]);
    grace.abort();
    await this.#running;
  }

  /** Thread after thread until stop(). */
  async #live(): Promise<void> {
    let wait = restartMillis.first;
    while (!this.#stopped) {
      this.#cameUp = false;
      const error = await this.#run();
      if (this.#stopped) return;
      if (this.#ready !== undefined) {
        this.#fail(this.#ready, error);
        this.#running = undefined;
        return;
      }
      this.#options.log.error(
        { worker: this.#index, err: error },
        'a policy worker ended and is replaced',
      );
      this.restarts += 1;
      wait = this.#cameUp ? restartMillis.first : Math.min(wait * 2, restartMillis.most);
      await delay(wait);
    }
  }

  /** One thread from its start to its end; resolves to why it ended. */
  async #run(): Promise<Error> {
    const { port1, port2 } = new MessageChannel();
    const abort = new AbortController();
    this.#life = { port: port1, abort };
    this.#silence = 0;
    port1.on('message', (message: FromWorker) => this.#receive(message));
    const pings = setInterval(() => this.#ping(), pingMillis);
    pings.unref();
    const task = {
      engine: this.#options.engine,
      worker: this.#index,
      counterSecret: this.#counterSecret,
      set: this.#set ?? { instances: [], chains: [] },
      control: port2,
    };
    try {
      await this.#threads.run(task, { transferList: [port2], signal: abort.signal });
      return new Error('it has returned');
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    } finally {
      clearInterval(pings);
      port1.close();
      this.#life = undefined;
      // A thread that was given a set begins with it when it is replaced.
      for (const { resolve } of this.#waiting.values()) resolve();
      this.#waiting.clear();
    }
  }

  #receive(message: FromWorker): void {
    this.#silence = 0;
    switch (message.kind) {
      case 'ready':
        this.#cameUp = true;
        this.#ready?.resolve();
        this.#ready = undefined;
        return;
      case 'loaded':
        this.#settle(message.request, (waiting) => waiting.resolve());
        return;
      case 'refused':
        this.#settle(message.request, (waiting) =>
          waiting.reject(new PolicyRefused(message.policy, message.message)),
        );
        return;
      case 'log':
        this.#options.log[message.level](
          { policy: message.policy, ...message.fields },
          message.message,
        );
        return;
      case 'pong':
        for (const { policy, event, count } of message.tally) {
          this.#options.tally.add(policy, event, count);
        }
        return;
    }
  }

  #settle(request: number, how: (waiting: Waiting) => void): void {
    const waiting = this.#waiting.get(request);
    this.#waiting.delete(request);
    if (waiting !== undefined) how(waiting);
  }

  #fail(waiting: Waiting, error: Error): void {
    this.#ready = undefined;
    const policy = 'policy' in error && typeof error.policy === 'string' ? error.policy : '';
    waiting.reject(new PolicyRefused(policy, error.message));
  }

  #ping(): void {
    const limit = this.#cameUp ? Math.max(hungMillis, 2 * this.#longestTimeout) : startMillis;
    if (this.#silence * pingMillis > limit) {
      this.#life?.abort.abort(new Error(`it has not answered for ${limit} ms`));
      return;
    }
    this.#silence += 1;
    this.#send({ kind: 'ping', request: this.#nextRequest() });
  }

  #nextRequest(): number {
    this.#request += 1;
    return this.#request;
  }

  #send(message: ToWorker): void {
    this.#life?.port.postMessage(message);
  }
}
