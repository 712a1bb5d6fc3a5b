// One route's policies that look at responses, run one after the other on one response. What a policy does wrong stays here, as in
// chain.ts.
import { problemText } from '../policy/checked.js';
import type { Edit } from '../policy/normalize.js';
import { normalizeReview, type Review } from '../policy/normalizeReview.js';
import type { ReviewDraft } from '../policy/verdict.js';
import { responseBodyValue, UnreadableBody } from './body.js';
import { Breaker } from './breaker.js';
import {
  Context,
  countFailure,
  type Instance,
  isPromise,
  joined,
  late,
  Running,
  stackOf,
  type Underway,
  within,
} from './chain.js';
import type { WorkerClock } from './clock.js';
import { CallFetches, type FetchPort } from './fetches.js';
import type { ChainSpec, InputSource, LinkSpec } from './messages.js';
import { type FailureKind, firstValue, noTerms, type Outcome } from './wire.js';

interface Link {
  readonly instance: Instance;
  readonly spec: LinkSpec;
  readonly inputs: readonly (readonly [key: string, source: InputSource])[];
  readonly breaker: Breaker | undefined;
}

/** One response on its way through the chain. */
class Progress implements Underway {
  cancelled = false;
  context: Context | undefined = undefined;
  readonly values: readonly unknown[];
  readonly times: number[] = [];
  /** Undefined: as the upstream has sent it. */
  status: number | undefined = undefined;
  body: string | Uint8Array | undefined = undefined;
  edits: readonly Edit[] = [];
  readonly #port: FetchPort;
  readonly #clock: WorkerClock;
  #fetches: CallFetches | undefined = undefined;
  #began: number;

  constructor(values: readonly unknown[], port: FetchPort, clock: WorkerClock) {
    this.values = values;
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
    const now = this.#clock.read();
    this.times.push(Math.round((now - this.#began) * 1000));
    this.#began = now;
    this.context?.end('the policy has seen the response');
  }

  get terms() {
    return { ...noTerms, times: this.times };
  }
}

export class ReviewChain {
  readonly #links: readonly Link[];

  /** `instances` holds every instance that the links name; each has a `respond`. */
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

  /** As Chain.run. */
  run(values: readonly unknown[], port: FetchPort, clock: WorkerClock): Outcome | Running {
    const progress = new Progress(values, port, clock);
    const outcome = this.#from(0, progress);
    return outcome instanceof Promise ? new Running(outcome, progress) : outcome;
  }

  #from(first: number, progress: Progress): Outcome | Promise<Outcome> {
    for (let i = first; i < this.#links.length; i += 1) {
      const ended = this.#step(this.#links[i] as Link, progress);
      if (ended instanceof Promise) {
        return ended.then((outcome) => {
          progress.stepEnded();
          if (outcome !== undefined) return outcome;
          return progress.cancelled ? abandoned : this.#from(i + 1, progress);
        });
      }
      progress.stepEnded();
      if (ended !== undefined) return ended;
    }
    const { status, edits: response, body, terms } = progress;
    return { kind: 'pass', terms, status, response, body };
  }

  /** Undefined: the next link has its turn. */
  #step(link: Link, progress: Progress): Outcome | undefined | Promise<Outcome | undefined> {
    if (link.breaker?.isOpen() === true) return failed(link, 'breaker-open', progress);
    const context = new Context(link.instance, progress);
    progress.context = context;
    let draft: ReviewDraft | Promise<ReviewDraft>;
    try {
      const { policy, options, state } = link.instance;
      const inputs = inputsOf(link, progress);
      draft = policy.respond?.({ inputs, options, state, ctx: context });
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
        link.instance.log.warn('the policy did not review in time', { timeout: link.spec.timeout });
        return failed(link, 'timed-out', progress);
      },
      (error: unknown) => threw(link, error, progress),
    );
  }
}

/** Of a chain that nobody waits for; the core knows nothing of it any more. */
const abandoned: Outcome = { kind: 'failed', terms: noTerms, failure: 'threw', policy: '' };

function inputsOf(link: Link, progress: Progress): Readonly<Record<string, unknown>> {
  const inputs: Record<string, unknown> = {};
  for (const [key, source] of link.inputs) inputs[key] = inputOf(source, progress);
  return inputs;
}

function inputOf(source: InputSource, { values, status, body }: Progress): unknown {
  switch (source.from) {
    case 'request':
      return values[firstValue + source.index] ?? undefined;
    case 'status':
      return status ?? values[firstValue + source.index];
    case 'consumer-id': {
      const id = values[firstValue + source.index] as string | null;
      return id === null ? undefined : { id };
    }
    case 'response-body': {
      const own = (values[firstValue + source.index] ?? undefined) as Uint8Array | undefined;
      const bytes = body === undefined ? own : Buffer.from(body);
      return responseBodyValue(bytes, source);
    }
    case 'body':
    case 'consumer':
    case 'attribute':
      throw new Error(`an input of decide, ${source.from}, in a chain of respond`);
  }
}

/** Carries out what a policy returned; undefined when the chain goes on. */
function take(link: Link, draft: ReviewDraft, progress: Progress): Outcome | undefined {
  const checked = normalizeReview(draft);
  if (!checked.ok) {
    return threw(link, new TypeError(`bad review: ${problemText(checked)}`), progress);
  }
  link.breaker?.succeeded();
  const review = checked.value;
  if (link.spec.mode === 'shadow') {
    if (review.kind !== 'pass') link.instance.log.info('shadow review', { verdict: review.kind });
    link.instance.count(review.kind === 'pass' ? 'shadow_passed' : 'shadow_ended');
    return undefined;
  }
  return apply(review, progress);
}

function apply(review: Review, progress: Progress): Outcome | undefined {
  const { terms } = progress;
  switch (review.kind) {
    case 'pass':
      progress.status = review.status ?? progress.status;
      progress.body = review.body ?? progress.body;
      progress.edits = joined(progress.edits, review.edits);
      return undefined;
    case 'respond': {
      const { status, fields, body } = review;
      return { kind: 'answer', terms, status, fields, body };
    }
    case 'deny': {
      const { status, reason, fields, body } = review;
      return { kind: 'deny', terms, status, reason, fields, body };
    }
  }
}

function threw(link: Link, error: unknown, progress: Progress): Outcome | undefined {
  // Being told that the client has gone, it does well to give up.
  if (progress.cancelled) return abandoned;
  link.instance.log.error('the policy failed', { error: stackOf(error) });
  return failed(link, 'threw', progress);
}

/** The upstream's fault, so that no policy has failed. One in shadow mode does not see such responses. */
function unreadable(link: Link, error: UnreadableBody, { terms }: Progress): Outcome | undefined {
  if (link.spec.mode === 'shadow') return undefined;
  const reason = `The policy ${link.instance.name} cannot read the response: ${error.message}.`;
  return { kind: 'deny', terms, status: 502, reason, fields: [], body: undefined };
}

function failed(link: Link, failure: FailureKind, { terms }: Progress): Outcome | undefined {
  const { instance, spec } = link;
  countFailure(link, failure);
  if (spec.mode === 'shadow' || spec.onFailure === 'allow') return undefined;
  return { kind: 'failed', terms, failure, policy: instance.name };
}
