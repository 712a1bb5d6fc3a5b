// One route's policies, run in order on one request: the first that ends the request ends the chain. What a policy does wrong
// stays here: it becomes what its `onFailure` says.
import { problemText } from '../policy/checked.js';
import type { Consumer } from '../policy/consumer.js';
import type { DecideContext, Policy, PolicyLog } from '../policy/define.js';
import type { AttributeValue } from '../policy/inputs.js';
import { type Edit, normalizeVerdict, type Verdict } from '../policy/normalize.js';
import type { VerdictDraft } from '../policy/verdict.js';
import { Breaker } from './breaker.js';
import type { ChainSpec, InputSource, LinkSpec } from './messages.js';
import { type FailureKind, firstValue, type Outcome } from './wire.js';

/** A policy that has been set up with its options. */
export interface Instance {
  readonly name: string;
  readonly policy: Policy;
  readonly options: unknown;
  readonly state: unknown;
  readonly log: PolicyLog;
}

interface Link {
  readonly instance: Instance;
  readonly spec: LinkSpec;
  readonly inputs: readonly (readonly [key: string, source: InputSource])[];
  readonly breaker: Breaker | undefined;
}

/** What the links of one request have come to so far. */
interface Progress {
  readonly values: readonly unknown[];
  consumer: Consumer | undefined;
  attributes: Map<string, Readonly<Record<string, AttributeValue>>> | undefined;
  upstream: string | undefined;
  readonly request: Edit[];
  readonly response: Edit[];
}

export class Chain {
  readonly #links: readonly Link[];

  /** `instances` holds every instance that the links name. */
  constructor(spec: ChainSpec, instances: ReadonlyMap<number, Instance>) {
    this.#links = spec.links.map((link) => {
      const instance = instances.get(link.instance);
      if (instance === undefined) throw new Error(`chain ${spec.id}: no instance ${link.instance}`);
      return {
        instance,
        spec: link,
        inputs: Object.entries(link.inputs),
        breaker: link.breaker === false ? undefined : new Breaker(link.breaker),
      };
    });
  }

  /** `values` as a descriptor has them. A promise only where a policy returned one. Never throws or rejects. */
  run(values: readonly unknown[]): Outcome | Promise<Outcome> {
    const progress: Progress = {
      values,
      consumer: undefined,
      attributes: undefined,
      upstream: undefined,
      request: [],
      response: [],
    };
    return this.#from(0, progress);
  }

  #from(first: number, progress: Progress): Outcome | Promise<Outcome> {
    for (let i = first; i < this.#links.length; i += 1) {
      const link = this.#links[i] as Link;
      const ended = this.#step(link, progress);
      if (ended instanceof Promise) {
        return ended.then((outcome) => outcome ?? this.#from(i + 1, progress));
      }
      if (ended !== undefined) return ended;
    }
    const { upstream, consumer, request, response } = progress;
    return { kind: 'go-on', upstream, consumer: consumer?.id, request, response };
  }

  /** Undefined: the next link has its turn. */
  #step(link: Link, progress: Progress): Outcome | undefined | Promise<Outcome | undefined> {
    if (link.breaker?.isOpen() === true) return failed(link, 'breaker-open');
    const context = new Context(link.instance.log);
    let draft: VerdictDraft | Promise<VerdictDraft>;
    try {
      const { policy, options, state } = link.instance;
      const inputs = inputsOf(link, progress);
      draft = policy.decide({ inputs, options, state, ctx: context });
    } catch (error) {
      return threw(link, error);
    }
    if (!isPromise(draft)) return take(link, draft, progress);
    return within(draft, link.spec.timeout, context).then(
      (value) => {
        if (value !== late) return take(link, value, progress);
        link.instance.log.warn('the policy did not decide in time', { timeout: link.spec.timeout });
        return failed(link, 'timed-out');
      },
      (error: unknown) => threw(link, error),
    );
  }
}

class Context implements DecideContext {
  readonly log: PolicyLog;
  // Made when somebody asks for it: most policies never do.
  #controller: AbortController | undefined;

  constructor(log: PolicyLog) {
    this.log = log;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }

  now(): number {
    return Date.now();
  }

  abort(reason: Error): void {
    this.#controller?.abort(reason);
  }
}

const late = Symbol('late');

/** What comes after the time is up reaches nobody. */
function within(
  draft: Promise<VerdictDraft>,
  millis: number,
  context: Context,
): Promise<VerdictDraft | typeof late> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      resolve(late);
      context.abort(new Error(`the policy's time of ${millis} ms is up`));
    }, millis);
    draft.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

function isPromise(draft: VerdictDraft | Promise<VerdictDraft>): draft is Promise<VerdictDraft> {
  return typeof (draft as { then?: unknown } | undefined)?.then === 'function';
}

function inputsOf(link: Link, progress: Progress): Readonly<Record<string, unknown>> {
  const inputs: Record<string, unknown> = {};
  for (const [key, source] of link.inputs) {
    inputs[key] =
      source.from === 'request'
        ? (progress.values[firstValue + source.index] ?? undefined)
        : source.from === 'consumer'
          ? progress.consumer
          : progress.attributes?.get(source.policy)?.[source.name];
  }
  return inputs;
}

/** Carries a verdict out; undefined when the chain goes on. */
function take(link: Link, draft: unknown, progress: Progress): Outcome | undefined {
  const checked = normalizeVerdict(draft);
  if (!checked.ok) return threw(link, new TypeError(`bad verdict: ${problemText(checked)}`));
  const verdict = checked.value;
  const missing = notCarriedOut(verdict);
  if (missing !== undefined) return threw(link, new TypeError(missing));
  link.breaker?.succeeded();
  if (link.spec.mode === 'shadow') {
    if (verdict.kind !== 'allow')
      link.instance.log.info('shadow verdict', { verdict: verdict.kind });
    return undefined;
  }
  switch (verdict.kind) {
    case 'route-to':
      progress.upstream = verdict.upstream;
      break;
    case 'allow':
      break;
    case 'deny':
      return { ...verdict, kind: 'deny' };
    case 'respond':
      return { ...verdict, kind: 'answer' };
  }
  progress.consumer = verdict.consumer ?? progress.consumer;
  if (verdict.attributes !== undefined) {
    progress.attributes ??= new Map();
    progress.attributes.set(link.instance.name, verdict.attributes);
  }
  progress.request.push(...verdict.request);
  progress.response.push(...verdict.response);
  return undefined;
}

/** A verdict must not be carried out by halves. */
function notCarriedOut(verdict: Verdict): string | undefined {
  const asks = (what: string) =>
    `the verdict asks for ${what}, which this version does not carry out`;
  if (verdict.charges.length > 0) return asks('charges');
  if (verdict.kind !== 'allow' && verdict.kind !== 'route-to') return undefined;
  if (verdict.path !== undefined) return asks('another path');
  return verdict.query.length > 0 ? asks('edits of the query') : undefined;
}

function threw(link: Link, error: unknown): Outcome | undefined {
  const { log } = link.instance;
  log.error('the policy failed', { error: stackOf(error) });
  return failed(link, 'threw');
}

/** As far as the author's own code goes: what called it is of no use to anybody who reads it. */
function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const lines = (error.stack ?? error.message).split('\n');
  const own = lines.findIndex((line) => /^ +at (?:async )?Chain\.#step /.test(line));
  return lines.slice(0, own < 0 ? undefined : own).join('\n');
}

function failed(link: Link, failure: FailureKind): Outcome | undefined {
  const { instance, spec, breaker } = link;
  if (failure !== 'breaker-open' && breaker?.failed() === true) {
    instance.log.error('the policy keeps failing and is not run for a while', {
      openFor: (spec.breaker as { openFor: number }).openFor,
    });
  }
  if (spec.mode === 'shadow' || spec.onFailure === 'allow') return undefined;
  return { kind: 'failed', failure, policy: instance.name };
}
