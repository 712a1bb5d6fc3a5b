// The long-running task of one policy worker: takes descriptors from the channels of all I/O threads, runs the chains, gives
// the verdicts back. Started by piscina; ends when the control thread says so.
import { constants, getPriority, setPriority } from 'node:os';
import { setImmediate as laterThisTurn } from 'node:timers';
import type { MessagePort } from 'node:worker_threads';
import { loadAddon, type NativePolicyPort } from '../engine/addon.js';
import { useCounterSecret } from '../policy/counterKey.js';
import { isPolicy, type PolicyLog } from '../policy/define.js';
import { isFetchError } from '../policy/fetch.js';
import { checkOptions } from '../policy/options.js';
import { Chain, type Instance, Running } from './chain.js';
import { WorkerClock } from './clock.js';
import { coreCounters } from './counters.js';
import { FetchPort } from './fetches.js';
import { readReply } from './fetchWire.js';
import type {
  FromWorker,
  InstanceSpec,
  LogLevel,
  PolicySet,
  PumpTask,
  ToWorker,
} from './messages.js';
import { ReviewChain } from './review.js';
import { type PolicyEvent, Tally } from './tally.js';
import {
  type BatchReader,
  type Descriptor,
  noTerms,
  type Outcome,
  readBatch,
  VerdictBatch,
} from './wire.js';

/** Batches that are taken before timers, promises and messages have their turn. */
const batchesPerTurn = 32;

/** Steps by which the kernel prefers I/O threads where they share a processor with policies. */
const politeness = 3;

export default async function pump({
  engine,
  worker,
  counterSecret,
  set,
  control,
}: PumpTask): Promise<void> {
  useCounterSecret(counterSecret);
  // Of this thread alone, as Linux has it. A policy that computes must not hold up routes that have none.
  setPriority(Math.min(getPriority() + politeness, constants.priority.PRIORITY_LOW));
  const policies = new Policies(engine, (message) => control.postMessage(message));
  await policies.load(set);
  const channels = new Channels(
    engine,
    worker,
    (descriptor, port, clock) => policies.decide(descriptor, port, clock),
    (message) => policies.complain(message),
  );
  // A promise that a policy leaves behind may wait for a fetch, which ends with the policy's turn.
  process.on('unhandledRejection', (error) => {
    if (!isFetchError(error)) throw error;
    policies.complain(`a policy has left a fetch behind: ${error.message}`);
  });
  const ended = new Promise<void>((resolve) => {
    control.on('message', (message: ToWorker) => {
      if (message.kind === 'stop') resolve();
      else void answer(message, policies, control);
    });
  });
  control.postMessage({ kind: 'ready' } satisfies FromWorker);
  channels.run();
  await ended;
  channels.close();
  policies.unload();
  control.close();
}

async function answer(
  message: Exclude<ToWorker, { kind: 'stop' }>,
  policies: Policies,
  control: MessagePort,
): Promise<void> {
  const reply = (reply: FromWorker) => control.postMessage(reply);
  switch (message.kind) {
    case 'ping':
      return reply({ kind: 'pong', request: message.request, tally: policies.tally.take() });
    case 'keep':
      return policies.keepLast();
    case 'load': {
      const { request, set } = message;
      try {
        await policies.load(set);
        reply({ kind: 'loaded', request });
      } catch (error) {
        const policy = error instanceof SetupError ? error.policy : '';
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
        reply({ kind: 'refused', request, policy, message: text });
      }
    }
  }
}

class SetupError extends Error {
  override readonly name = 'SetupError';
  readonly policy: string;

  constructor(policy: string, cause: unknown) {
    super(`policy ${policy} cannot be set up: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
    this.policy = policy;
  }
}

/** The policies of this worker, set up, and the chains over them. */
class Policies {
  readonly tally = new Tally();
  readonly #engine: number;
  readonly #post: (message: FromWorker) => void;
  readonly #instances = new Map<number, Instance>();
  readonly #unloaded = new Map<number, AbortController>();
  readonly #chains = new Map<number, Chain | ReviewChain>();
  #last: PolicySet = { instances: [], chains: [] };

  constructor(engine: number, post: (message: FromWorker) => void) {
    this.#engine = engine;
    this.#post = post;
  }

  /** All or nothing; what is there already stays as it is, with its state. */
  async load(set: PolicySet): Promise<void> {
    const fresh = set.instances.filter(({ id }) => !this.#instances.has(id));
    const made = await Promise.all(fresh.map((spec) => this.#setUp(spec)));
    for (const [i, instance] of made.entries()) {
      this.#instances.set((fresh[i] as InstanceSpec).id, instance);
    }
    for (const chain of set.chains) {
      if (this.#chains.has(chain.id)) continue;
      const Made = chain.hook === 'respond' ? ReviewChain : Chain;
      this.#chains.set(chain.id, new Made(chain, this.#instances));
    }
    this.#last = set;
  }

  keepLast(): void {
    const chains = new Set(this.#last.chains.map(({ id }) => id));
    for (const id of this.#chains.keys()) if (!chains.has(id)) this.#chains.delete(id);
    const instances = new Set(this.#last.instances.map(({ id }) => id));
    for (const id of this.#instances.keys()) {
      if (instances.has(id)) continue;
      this.#instances.delete(id);
      this.#unloaded.get(id)?.abort(new Error('the policy is unloaded'));
      this.#unloaded.delete(id);
    }
  }

  unload(): void {
    this.#last = { instances: [], chains: [] };
    this.keepLast();
  }

  /** About what no policy can be named for. */
  complain(message: string): void {
    this.#post({ kind: 'log', level: 'error', policy: '', message, fields: {} });
  }

  decide(descriptor: Descriptor, port: FetchPort, clock: WorkerClock): Outcome | Running {
    const chain = this.#chains.get(descriptor.chain);
    if (chain === undefined)
      return { kind: 'failed', terms: noTerms, failure: 'unknown-chain', policy: '' };
    return chain.run(descriptor.values, port, clock);
  }

  async #setUp({ id, name, file, options, consumers = [] }: InstanceSpec): Promise<Instance> {
    const unloaded = new AbortController();
    try {
      const policy: unknown = ((await import(file)) as { default?: unknown }).default;
      if (!isPolicy(policy)) throw new TypeError('its default export is not a policy');
      const checked = await checkOptions(policy, options);
      if (!checked.ok) throw new TypeError(checked.issues.map(({ message }) => message).join('; '));
      const log = this.#logOf(name);
      const { signal } = unloaded;
      const counters = coreCounters(this.#engine, name);
      signal.addEventListener('abort', () => counters.close());
      const state = await policy.setup({
        options: checked.options,
        name,
        log,
        consumers,
        counters,
        signal,
      });
      this.#unloaded.set(id, unloaded);
      const count = (event: PolicyEvent) => this.tally.add(name, event);
      return { name, policy, options: checked.options, state, log, counters, count };
    } catch (error) {
      unloaded.abort(new Error('the policy could not be set up'));
      throw new SetupError(name, error);
    }
  }

  #logOf(policy: string): PolicyLog {
    const line =
      (level: LogLevel) =>
      (message: string, fields: Readonly<Record<string, unknown>> = {}) =>
        this.#post({ kind: 'log', level, policy, message, fields: plain(fields) });
    return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
  }
}

/** What cannot cross to the log's thread becomes text. */
function plain(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [
      key,
      typeof value === 'function' || typeof value === 'symbol' || typeof value === 'object'
        ? String(value)
        : value,
    ]),
  );
}

/** This worker's ends of the channels, and the verdicts that have not found room in them yet. */
class Channels {
  readonly #port: NativePolicyPort;
  readonly #decide: Policies['decide'];
  readonly #clock = new WorkerClock();
  readonly #complain: (message: string) => void;
  /** Holds the largest message in its frame. */
  readonly #batch: Buffer;
  /** By I/O thread, as `#readers` are. */
  readonly #verdicts: VerdictBatch[];
  readonly #readers: BatchReader[];
  #flushing = false;
  #closed = false;

  constructor(
    engine: number,
    worker: number,
    decide: Policies['decide'],
    complain: (message: string) => void,
  ) {
    const addon = loadAddon();
    this.#decide = decide;
    this.#complain = complain;
    this.#batch = Buffer.alloc(addon.largestPolicyMessage + 4);
    this.#port = new addon.PolicyPort(engine, worker, () => this.run());
    this.#verdicts = Array.from(
      { length: this.#port.threads() },
      () => new VerdictBatch(this.#batch.length),
    );
    this.#readers = this.#verdicts.map((_, thread) => this.#readerOf(thread));
  }

  /** Until nothing is there: then the bell calls it again. */
  readonly run = (): void => {
    if (this.#closed) return;
    for (let batches = 0; batches < batchesPerTurn; ) {
      let idle = true;
      for (let thread = 0; thread < this.#verdicts.length; thread += 1) {
        const length = this.#port.take(thread, this.#batch);
        if (length === 0) continue;
        idle = false;
        batches += 1;
        this.#clock.read();
        readBatch(this.#batch, length, this.#readers[thread] as BatchReader);
      }
      this.#flush();
      if (idle && this.#port.sleep()) return;
    }
    laterThisTurn(this.run);
  };

  close(): void {
    this.#closed = true;
    this.#port.close();
  }

  #readerOf(thread: number): BatchReader {
    const running = new Map<number, { generation: number; chain: Running }>();
    const fetches = new FetchPort((frame) => {
      this.#flushSoon();
      return (this.#verdicts[thread] as VerdictBatch).putFrame(frame);
    });
    return {
      fetched: (values) => fetches.receive(readReply(values)),
      ask: (descriptor) => {
        const outcome = this.#decide(descriptor, fetches, this.#clock);
        if (!(outcome instanceof Running)) {
          this.#put(thread, descriptor, outcome);
          return;
        }
        const { index, generation } = descriptor;
        running.set(index, { generation, chain: outcome });
        void outcome.outcome.then((late) => {
          if (running.get(index)?.generation === generation) running.delete(index);
          this.#put(thread, descriptor, late);
          this.#flushSoon();
        });
      },
      cancel: (index, generation) => {
        const found = running.get(index);
        if (found?.generation === generation) found.chain.cancel();
      },
    };
  }

  /** Verdicts that are decided in one turn go out together. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    laterThisTurn(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #put(thread: number, { index, generation }: Descriptor, outcome: Outcome): void {
    const verdicts = this.#verdicts[thread] as VerdictBatch;
    const tooLarge = verdicts.put(index, generation, outcome);
    if (tooLarge === 0) return;
    this.#complain(`a verdict of ${tooLarge} bytes is too large for the core`);
    verdicts.put(index, generation, {
      kind: 'failed',
      terms: noTerms,
      failure: 'threw',
      policy: '',
    });
  }

  /** What finds no room stays; the bell rings when there is some. */
  #flush(): void {
    if (this.#closed) return;
    for (let thread = 0; thread < this.#verdicts.length; thread += 1) {
      const verdicts = this.#verdicts[thread] as VerdictBatch;
      if (verdicts.isEmpty) continue;
      const taken = this.#port.give(thread, verdicts.bytes);
      if (taken < 0) throw new Error('the core refused a batch of verdicts');
      verdicts.drop(taken);
    }
  }
}
