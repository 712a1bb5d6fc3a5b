// One route's policies, run in order on one request: the first that ends the request ends the chain. What a policy does wrong
// stays here: it becomes what its `onFailure` says.
import { normalizeAnswer } from '../policy/answer.js';
import { problemText } from '../policy/checked.js';
import type { Consumer } from '../policy/consumer.js';
import type { Counters } from '../policy/counters.js';
import type { DecideContext, HookName, Policy, PolicyLog } from '../policy/define.js';
import type { Fetch } from '../policy/fetch.js';
import type { AttributeValue } from '../policy/inputs.js';
import {
  type Charge,
  type Edit,
  normalizeVerdict,
  type Verdict,
  verdictLimits,
} from '../policy/normalize.js';
import type { VerdictDraft } from '../policy/verdict.js';
import { requestBodyValue, UnreadableBody } from './body.js';
import { Breaker } from './breaker.js';
import type { WorkerClock } from './clock.js';
import { aborted, CallFetches, type FetchPort, TurnFetches } from './fetches.js';
import type { ChainSpec, InputSource, LinkSpec } from './messages.js';
import type { PolicyEvent } from './tally.js';
import {
  type FailureKind,
  firstValue,
  type Outcome,
  type OutcomeMemo,
  type Terms,
} from './wire.js';

/** A policy that has been set up with its options. */
export interface Instance {
  readonly name: string;
  readonly policy: Policy;
  readonly options: unknown;
  readonly state: unknown;
  readonly log: PolicyLog;
  readonly counters: Counters;
  count(event: PolicyEvent): void;
}

/** An end without its terms, which the progress has. */
type End = Outcome extends infer Each
  ? Each extends Outcome
    ? Omit<Each, 'terms' | 'memo'>
    : never
  : never;

/** Written out key by key where requests come to it by the thousand: spreading an object costs as much as all the rest. */
function withTerms(end: End, { terms, state }: Progress): Outcome {
  // An end that the state does not have, such as a failure, is not what others come to.
  const memo = state.end === end ? state.memo : undefined;
  switch (end.kind) {
    case 'deny': {
      const { kind, status, reason, fields, body } = end;
      return { kind, terms, memo, status, reason, fields, body };
    }
    case 'answer': {
      const { kind, status, fields, body } = end;
      return { kind, terms, memo, status, fields, body };
    }
    default:
      return { ...end, terms, memo };
  }
}

interface Link {
  readonly instance: Instance;
  readonly spec: LinkSpec;
  readonly inputs: readonly (readonly [key: string, source: InputSource])[];
  readonly readsBody: boolean;
  readonly breaker: Breaker | undefined;
}

/**
 * What the links up to here have come to. As long as all of them returned frozen verdicts it is lasting: shared by the requests
 * that come to the same, never changed, and packed once. Otherwise it is one request's own.
 */
class State {
  consumer: Consumer | undefined = undefined;
  attributes: ReadonlyMap<string, Readonly<Record<string, AttributeValue>>> | undefined = undefined;
  upstream: string | undefined = undefined;
  method: string | undefined = undefined;
  path: string | undefined = undefined;
  charges: readonly Charge[] = [];
  tags: readonly string[] = [];
  query: readonly Edit[] = [];
  request: readonly Edit[] = [];
  response: readonly Edit[] = [];
  /** In place of the request's. */
  body: string | Uint8Array | undefined = undefined;
  /** Milliseconds: of the link that allows the least. Infinite before the first. */
  replayFor = Number.POSITIVE_INFINITY;
  staleIfError = Number.POSITIVE_INFINITY;
  /** The last link has ended the request. */
  end: End | undefined = undefined;
  /** Only when it is lasting. */
  memo: OutcomeMemo | undefined = undefined;
  /** By the frozen verdict of the next link, only when it is lasting. */
  #next: WeakMap<VerdictDraft, State> | undefined = undefined;

  static lasting(): State {
    const state = new State();
    state.memo = {};
    return state;
  }

  next(draft: VerdictDraft): State | undefined {
    return this.#next?.get(draft);
  }

  remember(draft: VerdictDraft, next: State): void {
    if (this.memo === undefined) return;
    this.#next ??= new WeakMap();
    this.#next.set(draft, next);
    next.memo = {};
  }

  /** To be changed: itself, unless others share it. */
  own(): State {
    return this.memo === undefined ? this : this.copy();
  }

  copy(): State {
    const copy = new State();
    copy.consumer = this.consumer;
    copy.attributes = this.attributes;
    copy.upstream = this.upstream;
    copy.method = this.method;
    copy.path = this.path;
    copy.charges = this.charges;
    copy.tags = this.tags;
    copy.query = this.query;
    copy.request = this.request;
    copy.response = this.response;
    copy.body = this.body;
    copy.replayFor = this.replayFor;
    copy.staleIfError = this.staleIfError;
    return copy;
  }
}

/** One request on its way through the chain. */
class Progress implements Underway {
  state: State;
  /** Microseconds of each link that had its turn. */
  readonly times: number[] = [];
  readonly values: readonly unknown[];
  readonly #port: FetchPort;
  readonly #clock: WorkerClock;
  #fetches: CallFetches | undefined = undefined;
  cancelled = false;
  context: Context | undefined = undefined;
  /** When the link under way began. */
  #began: number;

  constructor(values: readonly unknown[], state: State, port: FetchPort, clock: WorkerClock) {
    this.values = values;
    this.state = state;
    this.#port = port;
    this.#clock = clock;
    this.#began = clock.last;
  }

  get fetches(): CallFetches {
    const [index, generation] = this.values as [number, number];
    this.#fetches ??= new CallFetches(this.#port, { index, generation });
    return this.#fetches;
  }

  stepEnded(): void {
    this.times.push(this.#turnEnded());
  }

  /** The handler's time is its policy's, which may have decided before. */
  handlerEnded(place: number): void {
    this.times[place] = (this.times[place] ?? 0) + this.#turnEnded();
  }

  #turnEnded(): number {
    const now = this.#clock.read();
    const micros = Math.round((now - this.#began) * 1000);
    this.#began = now;
    this.context?.end('the policy has decided');
    return micros;
  }

  get terms(): Terms {
    const { consumer, charges, replayFor, staleIfError, tags } = this.state;
    return {
      consumer: consumer?.id,
      charges,
      replayFor: Number.isFinite(replayFor) ? replayFor : 0,
      staleIfError: Number.isFinite(staleIfError) ? staleIfError : 0,
      tags,
      times: this.times,
    };
  }
}

/** What a chain is doing for one message. */
export interface Underway {
  /** Nobody waits any more. */
  cancelled: boolean;
  /** Of the link under way. */
  context: Context | undefined;
  /** Made when a policy fetches: most never do. */
  readonly fetches: CallFetches;
}

/** A chain one of whose policies takes its time. */
export class Running {
  /** Never rejects. */
  readonly outcome: Promise<Outcome>;
  readonly #progress: Underway;

  constructor(outcome: Promise<Outcome>, progress: Underway) {
    this.outcome = outcome;
    this.#progress = progress;
  }

  /** The client has gone: the policy under way is told, and no other one begins. */
  cancel(): void {
    this.#progress.cancelled = true;
    this.#progress.context?.abort(new Error('the client has gone'));
  }
}

export class Chain {
  readonly #links: readonly Link[];
  /** The place of the link that answers, when all have let the request go on; -1: none does. */
  readonly #handler: number;
  readonly #start = State.lasting();

  /** `instances` holds every instance that the links name. */
  constructor(spec: ChainSpec, instances: ReadonlyMap<number, Instance>) {
    this.#links = spec.links.map((link) => {
      const instance = instances.get(link.instance);
      if (instance === undefined) throw new Error(`chain ${spec.id}: no instance ${link.instance}`);
      return {
        instance,
        spec: link,
        inputs: Object.entries(link.inputs).map(([key, source]) => [key, sourceOf(source)]),
        readsBody: Object.values(link.inputs).some(({ from }) => from === 'body'),
        breaker: link.breaker === false ? undefined : new Breaker(link.breaker),
      };
    });
    this.#handler = this.#links.findIndex(
      ({ instance, spec }) => instance.policy.handle !== undefined && spec.mode === 'enforce',
    );
  }

  /**
   * `values` as a descriptor has them; `port` to where they came from; `clock` was read lately, at the end of what came before.
   * Running only where a policy returned a promise. Never throws.
   */
  run(values: readonly unknown[], port: FetchPort, clock: WorkerClock): Outcome | Running {
    const progress = new Progress(values, this.#start, port, clock);
    const outcome = this.#from(0, progress);
    return outcome instanceof Promise ? new Running(outcome, progress) : outcome;
  }

  #from(first: number, progress: Progress): Outcome | Promise<Outcome> {
    for (let i = first; i < this.#links.length; i += 1) {
      const link = this.#links[i] as Link;
      if (link.instance.policy.decide === undefined) {
        progress.stepEnded();
        continue;
      }
      const ended = this.#step(link, 'decide', progress);
      if (ended instanceof Promise) {
        return ended.then((outcome) => {
          progress.stepEnded();
          if (outcome !== undefined) return withTerms(outcome, progress);
          return progress.cancelled ? withTerms(abandoned, progress) : this.#from(i + 1, progress);
        });
      }
      progress.stepEnded();
      if (ended !== undefined) return withTerms(ended, progress);
    }
    return this.#handler < 0 ? goesOn(progress) : this.#handle(this.#handler, progress);
  }

  #handle(place: number, progress: Progress): Outcome | Promise<Outcome> {
    const finish = (ended: End | undefined): Outcome => {
      progress.handlerEnded(place);
      return ended === undefined ? goesOn(progress) : withTerms(ended, progress);
    };
    const ended = this.#step(this.#links[place] as Link, 'handle', progress);
    return ended instanceof Promise ? ended.then(finish) : finish(ended);
  }

  /** Undefined: the next link has its turn, or after a handler the route's own action. */
  #step(
    link: Link,
    hook: HookName,
    progress: Progress,
  ): End | undefined | Promise<End | undefined> {
    if (link.breaker?.isOpen() === true) return failed(link, 'breaker-open', progress);
    const context = new Context(link.instance, progress);
    progress.context = context;
    const take = hook === 'decide' ? takeVerdict : takeAnswer;
    let draft: unknown;
    try {
      const { policy, options, state } = link.instance;
      const inputs = inputsOf(link, progress);
      draft = policy[hook]?.({ inputs, options, state, ctx: context });
    } catch (error) {
      return error instanceof UnreadableBody
        ? unreadable(link, error, progress)
        : threw(link, error, progress);
    }
    if (!isPromise(draft)) return take(link, draft, progress);
    return within(draft, link.spec.timeout, context).then(
      (value) => {
        if (progress.cancelled) return abandoned;
        if (value !== late) return take(link, value, progress);
        link.instance.log.warn('the policy did not decide in time', { timeout: link.spec.timeout });
        return failed(link, 'timed-out', progress);
      },
      (error: unknown) => threw(link, error, progress),
    );
  }
}

function goesOn({ state, terms }: Progress): Outcome {
  const { upstream, method, path, query, request, response, body, memo } = state;
  return { kind: 'go-on', terms, upstream, method, path, query, request, response, body, memo };
}

/** Of a chain that nobody waits for; the core knows nothing of it any more. */
const abandoned: End = { kind: 'failed', failure: 'threw', policy: '' };

export class Context implements DecideContext {
  readonly log: PolicyLog;
  readonly counters: Counters;
  readonly #underway: Underway;
  // Made when somebody asks for them: most policies never do.
  #controller: AbortController | undefined;
  #fetches: TurnFetches | undefined;
  /** Why nothing is fetched any more. */
  #over: string | undefined;

  constructor({ log, counters }: Instance, underway: Underway) {
    this.log = log;
    this.counters = counters;
    this.#underway = underway;
  }

  get fetch(): Fetch {
    return (upstream, init) => {
      const response = this.#fetch(upstream, init);
      // A policy that leaves it behind does not learn how it ends, and that is no error of the worker's.
      response.catch(() => {});
      return response;
    };
  }

  async #fetch(...[upstream, init]: Parameters<Fetch>): ReturnType<Fetch> {
    if (this.#over !== undefined) throw aborted(upstream, this.#over);
    this.#fetches ??= new TurnFetches(this.#underway.fetches);
    return await this.#fetches.begin(upstream, init);
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
    this.end(reason.message);
  }

  /** Idempotent. */
  end(why: string): void {
    this.#over ??= why;
    this.#fetches?.end(why);
  }
}

export const late = Symbol('late');

/** What comes after the time is up reaches nobody. */
export function within<Draft>(
  draft: Promise<Draft>,
  millis: number,
  context: Context,
): Promise<Draft | typeof late> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      resolve(late);
      context.abort(new Error(`the policy's time of ${millis} ms is up`));
    }, millis);
    draft.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

export function isPromise<Draft>(draft: Draft | Promise<Draft>): draft is Promise<Draft> {
  return typeof (draft as { then?: unknown } | undefined)?.then === 'function';
}

function inputsOf(link: Link, progress: Progress): Readonly<Record<string, unknown>> {
  const inputs: Record<string, unknown> = {};
  for (const [key, source] of link.inputs) {
    inputs[key] = inputOf(source, progress);
  }
  return inputs;
}

/** The same with texts of this thread's own: V8 compares those of a message letter by letter. */
function sourceOf(source: InputSource): InputSource {
  switch (source.from) {
    case 'request':
      return { ...source, from: 'request' };
    case 'body':
      return { ...source, from: 'body' };
    case 'consumer':
      return { ...source, from: 'consumer' };
    case 'attribute':
      return { ...source, from: 'attribute' };
    default:
      return source;
  }
}

function inputOf(source: InputSource, { values, state }: Progress): unknown {
  switch (source.from) {
    case 'request':
      return values[firstValue + source.index] ?? undefined;
    case 'body': {
      const own = (values[firstValue + source.index] ?? undefined) as Uint8Array | undefined;
      const { body = own } = state;
      const bytes = typeof body === 'string' ? Buffer.from(body) : body;
      return requestBodyValue(bytes, source);
    }
    case 'consumer':
      return state.consumer;
    case 'attribute':
      return state.attributes?.get(source.policy)?.[source.name];
    case 'consumer-id':
    case 'status':
    case 'response-body':
      throw new Error(`an input of respond, ${source.from}, in a chain of decide`);
  }
}

/** Carries a verdict out; undefined when the chain goes on. */
function takeVerdict(link: Link, draft: unknown, progress: Progress): End | undefined {
  const before = progress.state;
  const known = before.next(draft as VerdictDraft);
  if (known !== undefined) {
    link.breaker?.succeeded();
    progress.state = known;
    return known.end;
  }
  const checked = normalizeVerdict(draft);
  if (!checked.ok) return misbehaved(link, `bad verdict: ${problemText(checked)}`, progress);
  const verdict = checked.value;
  const charges = joined(before.charges, verdict.charges);
  const tags = joined(before.tags, verdict.tags);
  const tooMuch = beyondLimits(charges, tags) ?? strangeBody(verdict, link);
  if (tooMuch !== undefined) return misbehaved(link, tooMuch, progress);
  link.breaker?.succeeded();
  const state = before.own();
  progress.state = state;
  state.replayFor = Math.min(state.replayFor, verdict.replayFor);
  state.staleIfError = Math.min(state.staleIfError, verdict.staleIfError);
  if (link.spec.mode === 'shadow') {
    // Each one counts, so that none is remembered.
    if (verdict.kind !== 'allow')
      link.instance.log.info('shadow verdict', { verdict: verdict.kind });
    link.instance.count(verdict.kind === 'allow' ? 'shadow_passed' : 'shadow_ended');
    return undefined;
  }
  state.charges = charges;
  state.tags = tags;
  apply(verdict, link.instance.name, state);
  if (Object.isFrozen(draft) && state.body === undefined)
    before.remember(draft as VerdictDraft, state);
  return state.end;
}

/** The same for what a handler returned, which is for its request alone. */
function takeAnswer(link: Link, answer: unknown, progress: Progress): End | undefined {
  const checked = normalizeAnswer(answer);
  if (!checked.ok) return misbehaved(link, `bad answer: ${problemText(checked)}`, progress);
  const state = progress.state.own();
  const charges = joined(state.charges, checked.value.charges);
  const tags = joined(state.tags, checked.value.tags);
  const tooMuch = beyondLimits(charges, tags);
  if (tooMuch !== undefined) return misbehaved(link, tooMuch, progress);
  link.breaker?.succeeded();
  progress.state = state;
  state.replayFor = 0;
  state.charges = charges;
  state.tags = tags;
  apply(checked.value, link.instance.name, state);
  return state.end;
}

function apply(verdict: Verdict, policy: string, state: State): void {
  state.consumer = verdict.consumer ?? state.consumer;
  switch (verdict.kind) {
    case 'deny': {
      const { status, reason, fields, body } = verdict;
      state.end = { kind: 'deny', status, reason, fields, body };
      return;
    }
    case 'respond': {
      const { status, fields, body } = verdict;
      state.end = { kind: 'answer', status, fields, body };
      return;
    }
    case 'route-to':
      state.upstream = verdict.upstream;
      break;
    case 'allow':
      break;
  }
  if (verdict.attributes !== undefined) {
    state.attributes = new Map([...(state.attributes ?? []), [policy, verdict.attributes]]);
  }
  state.method = verdict.method ?? state.method;
  state.path = verdict.path ?? state.path;
  state.query = joined(state.query, verdict.query);
  state.request = joined(state.request, verdict.request);
  state.response = joined(state.response, verdict.response);
  state.body = verdict.body ?? state.body;
}

/** Most lists are empty. */
export function joined<T>(first: readonly T[], second: readonly T[]): readonly T[] {
  if (second.length === 0) return first;
  return first.length === 0 ? second : [...first, ...second];
}

function beyondLimits(charges: readonly Charge[], tags: readonly string[]): string | undefined {
  if (charges.length > verdictLimits.charges) {
    return `the policies of the route make ${charges.length} charges, at most ${verdictLimits.charges} are carried out`;
  }
  if (tags.length > verdictLimits.tags) {
    return `the policies of the route give ${tags.length} tags, at most ${verdictLimits.tags} are kept`;
  }
  return undefined;
}

/** Without reading it, nobody has waited for the client's to come. */
function strangeBody(verdict: Verdict, { readsBody }: Link): string | undefined {
  const onward = verdict.kind === 'allow' || verdict.kind === 'route-to';
  if (!onward || verdict.body === undefined || readsBody) return undefined;
  return 'bad verdict: request.body is for policies that read the body (declare body() as an input)';
}

function misbehaved(link: Link, message: string, progress: Progress): End | undefined {
  return threw(link, new TypeError(message), progress);
}

function threw(link: Link, error: unknown, progress: Progress): End | undefined {
  // Being told that the client has gone, it does well to give up.
  if (progress.cancelled) return abandoned;
  const { log } = link.instance;
  log.error('the policy failed', { error: stackOf(error) });
  return failed(link, 'threw', progress);
}

/** The request's fault, so that no policy has failed. One in shadow mode does not see such requests. */
function unreadable(link: Link, error: UnreadableBody, progress: Progress): End | undefined {
  progress.state = progress.state.own();
  progress.state.replayFor = 0;
  if (link.spec.mode === 'shadow') return undefined;
  const reason = `The policy ${link.instance.name} cannot read it: ${error.message}.`;
  return { kind: 'deny', status: 400, reason, fields: [], body: undefined };
}

/** As far as the author's own code goes: what called it is of no use to anybody who reads it. */
export function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const lines = (error.stack ?? error.message).split('\n');
  const own = lines.findIndex((line) =>
    /^ +at (?:async )?(?:Chain|ReviewChain)\.#step /.test(line),
  );
  return lines.slice(0, own < 0 ? undefined : own).join('\n');
}

/** Of the policy, and of its breaker. */
export function countFailure(
  { instance, spec, breaker }: Pick<Link, 'instance' | 'spec' | 'breaker'>,
  failure: FailureKind,
): void {
  if (failure !== 'breaker-open') instance.count('failed');
  if (failure !== 'breaker-open' && breaker?.failed() === true) {
    instance.count('breaker_opened');
    instance.log.error('the policy keeps failing and is not run for a while', {
      openFor: (spec.breaker as { openFor: number }).openFor,
    });
  }
}

function failed(link: Link, failure: FailureKind, progress: Progress): End | undefined {
  const { instance, spec } = link;
  countFailure(link, failure);
  // What came of a failure is not to be repeated.
  progress.state = progress.state.own();
  progress.state.replayFor = 0;
  if (spec.mode === 'shadow' || spec.onFailure === 'allow') return undefined;
  return { kind: 'failed', failure, policy: instance.name };
}
