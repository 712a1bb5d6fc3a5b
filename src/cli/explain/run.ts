// `explain --run`: the policies of the route decide about the request, one after the other as in a gateway, with counters of their
// own that nobody has charged yet. Nothing is sent to the upstream.
import { normalizeAnswer } from '../../policy/answer.js';
import { type Checked, fail, problemText } from '../../policy/checked.js';
import type { Consumer } from '../../policy/consumer.js';
import { PolicyCounters } from '../../policy/counters.js';
import { type HookName, isPolicy, type Policy, type PolicyLog } from '../../policy/define.js';
import { checkFetch, type Fetch, FetchError } from '../../policy/fetch.js';
import type { AttributeValue, InputDeclaration } from '../../policy/inputs.js';
import type { Limit } from '../../policy/limit.js';
import { type Charge, type Edit, normalizeVerdict, type Verdict } from '../../policy/normalize.js';
import { checkOptions } from '../../policy/options.js';
import { FakeCounters } from '../../policy/testing/counters.js';
import { editedQuery, limitedAnswer, sentMethod } from '../../policy/testing/outcome.js';
import {
  complete,
  type FullRequest,
  type MadeUpRequest,
  readInput,
} from '../../policy/testing/request.js';
import type { InstanceSpec, LinkSpec, LogLevel } from '../../workers/messages.js';
import type { Forwarded } from './plan.js';
import type { Secrets } from './secrets.js';

/** Secrets are hidden in all of it. */
export interface Run {
  /** In their order; those behind one that ends the request were not reached. */
  policies: PolicyRun[];
  /** Absent when a policy could not be set up: a gateway would refuse the configuration. */
  outcome?: RunOutcome;
}

export interface PolicyRun {
  name: string;
  /** Of shadow policies nothing comes. */
  mode: LinkSpec['mode'];
  reached: boolean;
  /** Of `decide`, and of `handle` where its turn has come. */
  micros?: number;
  verdict?: ShownVerdict;
  /** What it would have asked of upstreams; each attempt has failed. */
  fetches?: { upstream: string; method: string; target: string }[];
  /** `setup` is not a failure on a request: the configuration is refused. */
  failure?: { kind: 'setup' | 'threw' | 'timed-out' | 'bad-verdict'; error: string };
  log: { level: LogLevel; message: string; fields: unknown }[];
}

export interface ShownVerdict {
  kind: Verdict['kind'];
  status?: number;
  reason?: string;
  upstream?: string;
  method?: string;
  path?: string;
  consumer?: Consumer;
  attributes?: Readonly<Record<string, AttributeValue>>;
  query?: Edit[];
  request?: Edit[];
  response?: Edit[];
  headers?: [name: string, value: string][];
  /** Of the answer, or of the request that goes on. Of bytes only their number. */
  body?: string;
  charges?: ShownCharge[];
  /** Milliseconds. */
  replayFor?: number;
  tags?: string[];
}

export interface ShownCharge {
  limit: Limit;
  key: string;
  cost: number;
}

export type RunOutcome = {
  consumer?: Consumer;
  /** How its charges stand where nobody has been counted before; the last was refused, if one was. */
  charges: (ShownCharge & { allowed: boolean; remaining: number })[];
} & (
  | { kind: 'goes-on'; upstream?: { name: string; request: Forwarded } }
  | {
      kind: 'answered';
      /** As in the access log. */
      code: string;
      status: number;
      reason?: string;
      retryAfter?: string;
    }
);

export interface RunInput {
  links: readonly LinkSpec[];
  instances: readonly InstanceSpec[];
  request: MadeUpRequest;
  /** What the route sends upstream, and where; absent on routes that answer by themselves. */
  upstream: { name: string; request: Forwarded } | undefined;
  secrets: Secrets;
}

interface Ready {
  link: LinkSpec;
  instance: InstanceSpec;
  policy: Policy;
  options: unknown;
  inputs: readonly InputDeclaration[];
  state: unknown;
  counters: PolicyCounters;
  log: PolicyLog;
  shown: PolicyRun;
}

/** Never rejects for what a policy does. */
export async function runPolicies(input: RunInput): Promise<Run> {
  const { links, instances, secrets } = input;
  const unloaded = new AbortController();
  const counters = new FakeCounters();
  const policies: PolicyRun[] = [];
  const ready: Ready[] = [];
  try {
    for (const link of links) {
      const instance = instances.find(({ id }) => id === link.instance);
      if (instance === undefined) throw new Error(`there is no instance ${link.instance}`);
      const shown: PolicyRun = { name: instance.name, mode: link.mode, reached: false, log: [] };
      policies.push(shown);
      try {
        const made = await setUpPolicy(instance, counters, shown, secrets, unloaded.signal);
        ready.push({ ...made, link, instance, shown });
      } catch (error) {
        shown.failure = { kind: 'setup', error: secrets.hide(ownStack(error)) };
      }
    }
    if (policies.some(({ failure }) => failure !== undefined)) return { policies };
    return { policies, outcome: await decideAll(ready, counters, input) };
  } finally {
    unloaded.abort(new Error('the explanation is complete'));
  }
}

export function hasFailed({ policies }: Run): boolean {
  return policies.some(({ failure }) => failure !== undefined);
}

async function setUpPolicy(
  { name, file, options: given, consumers = [] }: InstanceSpec,
  fake: FakeCounters,
  shown: PolicyRun,
  secrets: Secrets,
  signal: AbortSignal,
): Promise<Omit<Ready, 'link' | 'instance' | 'shown'>> {
  const policy: unknown = ((await import(file)) as { default?: unknown }).default;
  if (!isPolicy(policy)) throw new TypeError('its default export is not a policy');
  const checked = await checkOptions(policy, given);
  if (!checked.ok) throw new TypeError(checked.issues.map(({ message }) => message).join('; '));
  const { options } = checked;
  const log = logInto(shown, secrets);
  const counters = new PolicyCounters(fake.store(name, Date.now), fake.store('', Date.now));
  const state = await policy.setup({ options, name, log, consumers, counters, signal });
  return { policy, options, inputs: policy.inputs(options), state, counters, log };
}

/** What the chain has come to so far. */
interface Progress {
  request: FullRequest;
  charges: Charge[];
  query: Edit[];
  method: string | undefined;
  path: string | undefined;
  upstream: string | undefined;
}

async function decideAll(
  ready: readonly Ready[],
  counters: FakeCounters,
  input: RunInput,
): Promise<RunOutcome> {
  const { secrets } = input;
  const progress: Progress = {
    request: complete(input.request),
    charges: [],
    query: [],
    method: undefined,
    path: undefined,
    upstream: undefined,
  };
  let answer: Answered | undefined;
  for (const each of ready) {
    if (each.policy.decide !== undefined) answer = await askOne('decide', each, progress, secrets);
    if (answer !== undefined) break;
  }
  const handler = ready.find(({ policy }) => policy.handle !== undefined);
  if (answer === undefined && handler !== undefined) {
    answer = await askOne('handle', handler, progress, secrets);
  }
  const { consumer } = progress.request.made;
  const failed = answer?.code === 'policy_failed' || answer?.code === 'policy_timeout';
  const made = failed ? [] : counters.chargeAll(progress.charges, Date.now());
  const refused = made.find(({ allowed }) => !allowed);
  const common = {
    ...(consumer === undefined ? {} : { consumer: secrets.within(consumer) as Consumer }),
    charges: made.map(({ limit, key, cost, allowed, remaining }) => {
      return { limit, key: secrets.hide(key), cost, allowed, remaining };
    }),
  };
  if (refused !== undefined) {
    const { status, headers } = limitedAnswer(refused);
    const { 'retry-after': retryAfter } = headers;
    return {
      ...common,
      kind: 'answered',
      code: 'policy_limited',
      status,
      ...(refused.reason === undefined ? {} : { reason: secrets.hide(refused.reason) }),
      ...(retryAfter === undefined ? {} : { retryAfter }),
    };
  }
  if (answer !== undefined) return { ...common, kind: 'answered', ...answer };
  const upstream = sentUpstream(progress, input);
  return { ...common, kind: 'goes-on', ...(upstream === undefined ? {} : { upstream }) };
}

interface Answered {
  code: string;
  status: number;
  reason?: string;
}

/** The answer when the request ends here. */
async function askOne(
  hook: HookName,
  { link, instance, policy, options, inputs, state, counters, log, shown }: Ready,
  progress: Progress,
  secrets: Secrets,
): Promise<Answered | undefined> {
  shown.reached = true;
  const enforced = link.mode === 'enforce';
  const unread = unreadable(inputs, progress.request);
  if (unread !== undefined) {
    if (!enforced) return undefined;
    return { ...unread, reason: `The policy ${instance.name} cannot read it: ${unread.reason}.` };
  }
  const values = Object.fromEntries(
    inputs.map((input) => [input.key, readInput(input, progress.request)]),
  );
  const over = new AbortController();
  const fetch = notSent(shown, secrets);
  const ctx = { log, counters, signal: over.signal, now: Date.now, fetch };
  const began = performance.now();
  const decided = await askPolicy(
    () => policy[hook]?.({ inputs: values, options, state, ctx }),
    link.timeout,
    over,
  );
  shown.micros = (shown.micros ?? 0) + Math.round((performance.now() - began) * 1000);
  const check = hook === 'decide' ? checkedVerdict : normalizeAnswer;
  const checked = 'draft' in decided ? check(decided.draft, inputs) : undefined;
  if ('failure' in decided || checked?.ok !== true) {
    shown.failure =
      'failure' in decided
        ? { kind: decided.failure, error: secrets.hide(decided.error) }
        : {
            kind: 'bad-verdict',
            error: secrets.hide(checked?.ok === false ? problemText(checked) : ''),
          };
    if (!enforced || link.onFailure === 'allow') return undefined;
    const code = shown.failure.kind === 'timed-out' ? 'policy_timeout' : 'policy_failed';
    return { code, status: 500 };
  }
  const verdict = checked.value;
  shown.verdict = shownVerdict(verdict, secrets);
  return enforced ? take(verdict, instance.name, progress, shown.verdict) : undefined;
}

/** Explaining sends nothing to upstreams: what the policy does then is what it does when they are down. */
function notSent(shown: PolicyRun, secrets: Secrets): Fetch {
  return async (upstream, init) => {
    const { method, path, query } = checkFetch(upstream, init);
    shown.fetches ??= [];
    const target = secrets.hide(query === undefined ? path : `${path}?${query}`);
    shown.fetches.push({ upstream, method, target });
    throw new FetchError(
      'unavailable',
      `fetch from "${upstream}": nothing is sent to upstreams while explaining`,
    );
  };
}

/** Also what only a policy that reads the body may say. */
function checkedVerdict(draft: unknown, inputs: readonly InputDeclaration[]): Checked<Verdict> {
  const checked = normalizeVerdict(draft);
  if (!checked.ok) return checked;
  const { value } = checked;
  const onward = value.kind === 'allow' || value.kind === 'route-to';
  if (!onward || value.body === undefined) return checked;
  if (inputs.some(({ kind }) => kind === 'body')) return checked;
  const remedy = 'declare body() as an input';
  return fail('request.body', 'none of a policy that does not read the body', value.body, remedy);
}

function take(
  verdict: Verdict,
  policy: string,
  progress: Progress,
  { reason }: ShownVerdict,
): Answered | undefined {
  progress.charges.push(...verdict.charges);
  const { made } = progress.request;
  const { consumer = made.consumer, attributes } = verdict;
  progress.request = {
    ...progress.request,
    made: {
      ...made,
      ...(consumer === undefined ? {} : { consumer }),
      ...(attributes === undefined
        ? {}
        : { attributes: { ...made.attributes, [policy]: attributes } }),
    },
  };
  switch (verdict.kind) {
    case 'deny': {
      const because = reason === undefined ? {} : { reason };
      return { code: 'policy_denied', status: verdict.status, ...because };
    }
    case 'respond':
      return { code: 'policy_answered', status: verdict.status };
    case 'route-to':
      progress.upstream = verdict.upstream;
      break;
    case 'allow':
      break;
  }
  progress.method = verdict.method ?? progress.method;
  progress.path = verdict.path ?? progress.path;
  progress.query.push(...verdict.query);
  const { body } = verdict;
  if (body !== undefined) progress.request = { ...progress.request, body: Buffer.from(body) };
  return undefined;
}

/** A policy's method and path stand in place of those that the route makes. */
function sentUpstream(
  { request: asked, method: wanted, path, query, upstream }: Progress,
  input: RunInput,
): { name: string; request: Forwarded } | undefined {
  const { upstream: own, secrets } = input;
  if (own === undefined) return undefined;
  const [ownPath = '', ownQuery] = splitTarget(own.request.target);
  const edited = query.length === 0 ? ownQuery : editedQuery(ownQuery ?? '', query);
  const mark = edited === undefined || (edited === '' && query.length > 0) ? '' : `?${edited}`;
  const target = secrets.hide(`${path ?? ownPath}${mark}`);
  const method = sentMethod(asked, wanted);
  return { name: upstream ?? own.name, request: { ...own.request, method, target } };
}

function splitTarget(target: string): [path: string, query: string | undefined] {
  const at = target.indexOf('?');
  return at < 0 ? [target, undefined] : [target.slice(0, at), target.slice(at + 1)];
}

/** What the gateway answers in the policy's place. */
function unreadable(
  inputs: readonly InputDeclaration[],
  request: FullRequest,
): Required<Answered> | undefined {
  for (const input of inputs) {
    if (input.kind !== 'body') continue;
    if (request.body.length > input.limit && input.longer === 'fail') {
      const reason = `the body has more than ${input.limit} bytes`;
      return { code: 'policy_body_too_large', status: 413, reason };
    }
    try {
      readInput(input, request);
    } catch {
      return { code: 'policy_denied', status: 400, reason: 'the body is not JSON' };
    }
  }
  return undefined;
}

type Asked = { draft: unknown } | { failure: 'threw' | 'timed-out'; error: string };

async function askPolicy(
  decide: () => unknown,
  millis: number,
  over: AbortController,
): Promise<Asked> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Asked>((resolve) => {
    timer = setTimeout(() => {
      const error = `it did not decide within ${millis} ms`;
      resolve({ failure: 'timed-out', error });
      over.abort(new Error(error));
    }, millis);
  });
  try {
    return await Promise.race([Promise.resolve(decide()).then((draft) => ({ draft })), late]);
  } catch (error) {
    return { failure: 'threw', error: ownStack(error) };
  } finally {
    clearTimeout(timer);
  }
}

/** As far as the author's own code goes. */
function ownStack(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const lines = (error.stack ?? error.message).split('\n');
  const ours = /^ +at .*[\\/](?:cli[\\/]explain[\\/]run|policy[\\/]define)\.[jt]s:/;
  const first = lines.findIndex((line) => ours.test(line));
  return lines.slice(0, first < 0 ? undefined : first).join('\n');
}

function logInto(shown: PolicyRun, secrets: Secrets): PolicyLog {
  const at =
    (level: LogLevel) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) => {
      shown.log.push({ level, message: secrets.hide(message), fields: secrets.within(fields) });
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** What says nothing is left out. */
function shownVerdict(verdict: Verdict, secrets: Secrets): ShownVerdict {
  const { kind, consumer, attributes, charges, replayFor, tags } = verdict;
  const edits = (list: readonly Edit[]) =>
    list.map((edit) =>
      edit.op === 'remove' ? edit : { ...edit, value: secrets.value(edit.name, edit.value) },
    );
  const filled = <Key extends string, Value>(key: Key, list: Value[]) =>
    (list.length === 0 ? {} : { [key]: list }) as Partial<Record<Key, Value[]>>;
  const common = {
    ...(consumer === undefined ? {} : { consumer: secrets.within(consumer) as Consumer }),
    ...(attributes === undefined
      ? {}
      : { attributes: secrets.within(attributes) as NonNullable<typeof attributes> }),
    ...filled(
      'charges',
      charges.map(({ limit, key, cost }) => ({ limit, key: secrets.hide(key), cost })),
    ),
    ...(replayFor === 0 ? {} : { replayFor }),
    ...filled(
      'tags',
      tags.map((tag) => secrets.hide(tag)),
    ),
  };
  switch (verdict.kind) {
    case 'deny':
    case 'respond': {
      const { status, fields, body } = verdict;
      const reason = verdict.kind === 'deny' ? verdict.reason : undefined;
      return {
        kind,
        status,
        ...(reason === undefined ? {} : { reason: secrets.hide(reason) }),
        ...filled(
          'headers',
          fields.map(([name, value]): [string, string] => [name, secrets.value(name, value)]),
        ),
        ...(body === undefined || body.length === 0 ? {} : { body: bodyText(body, secrets) }),
        ...common,
      };
    }
    case 'allow':
    case 'route-to': {
      const { method, path, query, request, response, body } = verdict;
      return {
        kind,
        ...(verdict.kind === 'route-to' ? { upstream: verdict.upstream } : {}),
        ...(method === undefined ? {} : { method: secrets.hide(method) }),
        ...(path === undefined ? {} : { path: secrets.hide(path) }),
        ...filled('query', edits(query)),
        ...filled('request', edits(request)),
        ...filled('response', edits(response)),
        ...(body === undefined ? {} : { body: bodyText(body, secrets) }),
        ...common,
      };
    }
  }
}

function bodyText(body: string | Uint8Array, secrets: Secrets): string {
  return typeof body === 'string' ? secrets.hide(body) : `${body.length} bytes`;
}
