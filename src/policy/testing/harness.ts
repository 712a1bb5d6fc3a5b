// Runs a policy on made-up requests, with a clock and counters of the test's own and no gateway.
import type { z } from 'zod';
import { describeValue, valueAt } from '../../config/value.js';
import { normalizeAnswer } from '../answer.js';
import { describe, problemText } from '../checked.js';
import { type Counters, PolicyCounters } from '../counters.js';
import {
  type DecideContext,
  type HookName,
  isPolicy,
  type OptionsSchema,
  type Policy,
  type PolicyLog,
} from '../define.js';
import type { Credentials, KnownConsumer } from '../knownConsumer.js';
import { normalizeVerdict, type Verdict } from '../normalize.js';
import { normalizeReview, type Review } from '../normalizeReview.js';
import { checkOptions, type OptionsIssue } from '../options.js';
import { FakeClock } from './clock.js';
import { type ChargeResult, FakeCounters } from './counters.js';
import { fetchFrom, type MadeUpUpstreams } from './fetch.js';
import {
  type Answer,
  answerOf,
  limitedAnswer,
  reviewed,
  type SentRequest,
  sentRequest,
} from './outcome.js';
import { complete, type FullRequest, type MadeUpRequest, readInput } from './request.js';
import { completeResponse, type MadeUpResponse, readResponseInput } from './response.js';

export interface HarnessSettings<Options> {
  /** As `with:` in the configuration. */
  readonly options?: Options;
  /** The policy's name in the configuration; `test` by default. */
  readonly name?: string;
  /** Those of the configuration, as `setup` gets them; for a policy with `consumers: true`. */
  readonly consumers?: readonly MadeUpConsumer[];
  /** Where the clock starts: milliseconds since 1970, or a date. By default 2026-01-01T00:00:00Z. */
  readonly now?: number | Date | string;
  /** The upstreams that `ctx.fetch` asks. */
  readonly fetch?: MadeUpUpstreams;
}

/** A consumer has no credentials but those that are given. */
export type MadeUpConsumer = Omit<KnownConsumer, 'credentials'> & {
  readonly credentials?: Partial<Credentials>;
};

export interface LogLine {
  readonly level: keyof PolicyLog;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface Outcome {
  readonly verdict: Verdict;
  /** In order; the last is the one that was refused, if one was. */
  readonly charges: readonly ChargeResult[];
  /** What goes to the upstream, edits applied; absent when the request ends at the gateway. */
  readonly upstream?: SentRequest;
  /** What the client gets when the request ends at the gateway: the verdict's, or 429 of a limit. */
  readonly answer?: Answer;
  /** Ends the exchange: gives back what concurrency limits hold. Once counts. */
  end(): void;
}

export interface ResponseOutcome {
  readonly review: Review;
  /** What the client gets: the upstream's, edits applied, or the policy's own. */
  readonly response: Answer;
}

export interface Harness {
  readonly clock: FakeClock;
  /** What the policy sees as `ctx.counters`. */
  readonly counters: Counters;
  /** What the policy has logged. */
  readonly log: readonly LogLine[];
  decide(request?: MadeUpRequest): Promise<Outcome>;
  /** What the policy answers to a request that all policies have let go on. */
  handle(request?: MadeUpRequest): Promise<Outcome>;
  /** The hook of that name, on a response that an upstream would have sent to the request. */
  respond(response?: MadeUpResponse, request?: MadeUpRequest): Promise<ResponseOutcome>;
  /** As when the policy is unloaded: fires the signal that `setup` got, and gives back what it holds of its counters. */
  close(): void;
}

/** Checks the options and runs `setup`. Rejects with an explanation when either fails. */
export async function testPolicy<Schema extends OptionsSchema>(
  policy: Policy<Schema>,
  settings: HarnessSettings<z.input<Schema>> = {},
): Promise<Harness> {
  if (!isPolicy(policy)) {
    throw new TypeError(
      `testPolicy expected what definePolicy returns but received ${describe(policy)}`,
    );
  }
  const checked = await checkOptions(policy, settings.options);
  if (!checked.ok) throw new TypeError(optionsText(checked.issues, settings.options));
  const { options } = checked;
  const inputs = policy.inputs(options);
  const clock = new FakeClock(startOf(settings.now));
  const lines: LogLine[] = [];
  const log = logInto(lines);
  const unloaded = new AbortController();
  const { name = 'test' } = settings;
  const fake = new FakeCounters();
  const now = () => clock.now();
  const counters = new PolicyCounters(fake.store(name, now), fake.store('', now));
  const { signal } = unloaded;
  const consumers = consumersOf(policy, settings.consumers);
  const state = await policy.setup({ options, name, log, signal, counters, consumers });

  const contextOf = (made: MadeUpRequest): DecideContext => {
    const signal = made.signal ?? new AbortController().signal;
    return { log, signal, counters, now, fetch: fetchFrom(settings.fetch, signal) };
  };

  const run = async (hook: HookName, made: MadeUpRequest): Promise<Outcome> => {
    const ask = policy[hook];
    if (ask === undefined) throw new TypeError(`the policy has no ${hook}`);
    const request = complete(made);
    const ctx = contextOf(made);
    const values = declaredOnly(hook, inputs, (input) => readInput(input, request));
    const given = await ask({ inputs: values, options, state, ctx });
    const verdict = hook === 'decide' ? normalizeVerdict(given) : normalizeAnswer(given);
    if (verdict.ok) return outcomeOf(verdict.value, request, fake, clock.now());
    const wanted = hook === 'decide' ? 'verdict' : 'answer';
    throw new TypeError(`${hook} returned what is no ${wanted}: ${problemText(verdict)}`);
  };

  return {
    clock,
    counters,
    log: lines,
    decide: (made = {}) => run('decide', made),
    handle: (made = {}) => run('handle', made),
    async respond(made = {}, request = {}) {
      const declared = policy.responseInputs(options);
      if (policy.respond === undefined || declared === undefined) {
        throw new TypeError(
          'the policy sees no response: it has no respond, or none with such options',
        );
      }
      const asked = complete(request);
      const response = completeResponse(made);
      const values = declaredOnly('respond', declared, (input) =>
        readResponseInput(input, response, asked),
      );
      const ctx = contextOf(request);
      const review = normalizeReview(await policy.respond({ inputs: values, options, state, ctx }));
      if (!review.ok) throw new TypeError(`respond returned what is none: ${problemText(review)}`);
      return { review: review.value, response: reviewed(review.value, response) };
    },
    close() {
      unloaded.abort();
      counters.close();
    },
  };
}

function consumersOf(policy: Policy, made: readonly MadeUpConsumer[] = []): KnownConsumer[] {
  if (made.length > 0 && !policy.consumers) {
    throw new TypeError(
      'testPolicy was given consumers, but the policy does not ask for them (consumers: true in definePolicy)',
    );
  }
  return made.map((consumer) => ({
    ...consumer,
    credentials: { apiKeys: [], jwt: [], ...consumer.credentials },
  }));
}

function outcomeOf(
  verdict: Verdict,
  request: FullRequest,
  counters: FakeCounters,
  now: number,
): Outcome {
  const charges = counters.chargeAll(verdict.charges, now);
  const refused = charges.find(({ allowed }) => !allowed);
  const upstream = refused === undefined ? sentRequest(verdict, request) : undefined;
  const answer = refused === undefined ? answerOf(verdict) : limitedAnswer(refused);
  let held = refused === undefined ? charges : [];
  return {
    verdict,
    charges,
    ...(upstream === undefined ? {} : { upstream }),
    ...(answer === undefined ? {} : { answer }),
    end() {
      for (const charge of held) counters.release(charge);
      held = [];
    },
  };
}

/** Reading what is not declared is a mistake that a gateway cannot see: it would be undefined for every request. */
function declaredOnly<Declaration extends { readonly key: string }>(
  hook: string,
  inputs: readonly Declaration[],
  read: (input: Declaration) => unknown,
): Readonly<Record<string, unknown>> {
  const values = Object.fromEntries(inputs.map((input) => [input.key, read(input)]));
  return new Proxy(values, {
    get(target, key) {
      if (typeof key === 'symbol' || Object.hasOwn(target, key)) return Reflect.get(target, key);
      const declared = Object.keys(target);
      throw new TypeError(
        `${hook} reads inputs.${key}, which the policy does not declare (its inputs: ${declared.join(', ') || 'none'})`,
      );
    },
  });
}

function optionsText(issues: readonly OptionsIssue[], options: unknown): string {
  const lines = issues.map(({ code, path, message, hint }) => {
    const received = describeValue(valueAt(options, path), undefined);
    const text = code === 'wrong_value' ? `${message} but received ${received}` : message;
    const place = code === 'wrong_value' && path.length > 0 ? `${path.join('.')}: ` : '';
    return `  ${place}${text}${hint === undefined ? '' : ` (${hint})`}`;
  });
  return `the options do not fit the policy\n${lines.join('\n')}`;
}

function startOf(now: number | Date | string = '2026-01-01T00:00:00Z'): number {
  const millis = typeof now === 'number' ? now : new Date(now).getTime();
  if (Number.isFinite(millis)) return Math.trunc(millis);
  throw new TypeError(`testPolicy expected a date for now but received ${describe(now)}`);
}

function logInto(lines: LogLine[]): PolicyLog {
  const at =
    (level: keyof PolicyLog) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) => {
      lines.push({ level, message, fields });
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
