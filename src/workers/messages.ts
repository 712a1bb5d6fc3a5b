// What the control thread and a policy worker say to each other: plain data over a MessagePort. No request passes here.
import type { MessagePort } from 'node:worker_threads';
import type { BodyForm, Longer } from '../policy/inputs.js';
import type { KnownConsumer } from '../policy/knownConsumer.js';
import type { TallyEntry } from './tally.js';

/** One configured policy, as a worker sets it up: a module and its options. */
export interface InstanceSpec {
  /** Equal for equal module contents, name, options and consumers. */
  id: number;
  /** In the configuration. */
  name: string;
  /** What every worker imports: the path of the bundle, or the URL of a built-in policy. */
  file: string;
  /** `with:` of the configuration, which the policy's own schema has accepted. */
  options: unknown;
  /** For a policy that asks for them: one list for all of a set, which crosses to a worker once. */
  consumers?: readonly KnownConsumer[];
}

/** Where a policy's input comes from. */
export type InputSource =
  /** The place in the descriptor's values. */
  | { from: 'request'; index: number }
  /** Also a place in the descriptor's values. `limit` in bytes. */
  | { from: 'body'; index: number; as: BodyForm; limit: number; longer: Longer }
  /** What an earlier policy of the chain has found out. */
  | { from: 'consumer' }
  | { from: 'attribute'; policy: string; name: string }
  /** Of `respond`, each at a place in the descriptor's values: who the request is from, by id, and what else is of the response. */
  | { from: 'consumer-id'; index: number }
  | { from: 'status'; index: number }
  | { from: 'response-body'; index: number; as: BodyForm; limit: number; longer: Longer };

export interface BreakerSpec {
  /** Consecutive ones. */
  failures: number;
  /** Milliseconds. */
  openFor: number;
}

/** One policy of a chain. */
export interface LinkSpec {
  instance: number;
  inputs: Readonly<Record<string, InputSource>>;
  /** Milliseconds. */
  timeout: number;
  onFailure: 'deny' | 'allow';
  mode: 'enforce' | 'shadow';
  breaker: BreakerSpec | false;
  /** It answers in place of the route's action; absent where it only decides. */
  answers?: true;
}

/** The policies of a route, in the order in which they have their turn; `id` is what descriptors name. */
export interface ChainSpec {
  id: number;
  /** Which of their functions is called. */
  hook: 'decide' | 'respond';
  links: readonly LinkSpec[];
}

/** Everything that a worker has to know for a configuration. */
export interface PolicySet {
  instances: readonly InstanceSpec[];
  chains: readonly ChainSpec[];
}

/** Of the worker's start, as piscina hands it over. */
export interface PumpTask {
  /** The engine's number. */
  engine: number;
  worker: number;
  /** Of all workers, also of those that are started later (useCounterSecret). */
  counterSecret: Uint8Array;
  set: PolicySet;
  control: MessagePort;
}

export type ToWorker =
  /** Adds what is new. Chains of the set before stay until `keep`. */
  | { kind: 'load'; request: number; set: PolicySet }
  /** Every chain and instance that is not in the set last loaded goes. */
  | { kind: 'keep' }
  | { kind: 'ping'; request: number }
  | { kind: 'stop' };

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export type FromWorker =
  /** The channels are open and the first set is loaded. */
  | { kind: 'ready' }
  | { kind: 'loaded'; request: number }
  /** The set before it stays in force. */
  | { kind: 'refused'; request: number; policy: string; message: string }
  /** `tally`: since the last one. */
  | { kind: 'pong'; request: number; tally: readonly TallyEntry[] }
  | {
      kind: 'log';
      level: LogLevel;
      policy: string;
      message: string;
      fields: Readonly<Record<string, unknown>>;
    };
