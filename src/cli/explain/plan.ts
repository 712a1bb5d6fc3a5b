// The steps that a route takes with a request, in the order in which the core takes them.

import { countPrefixes } from '../../compile/access.js';
import type { SnapshotAccess } from '../../compile/snapshot.js';
import {
  type Config,
  formatDuration,
  formatSize,
  type ListenerSettings,
  type PolicySettings,
  type RouteSettings,
  type Unlimited,
  type UpstreamSettings,
  unlimited,
} from '../../config/index.js';
import type { Template } from '../../config/template.js';
import { renderText, type TextValues } from './values.js';

export interface PlanStep {
  phase: 'request' | 'upstream' | 'response';
  step: string;
  detail: string;
}

export interface Forwarded {
  method: string;
  target: string;
  host: string;
}

export interface Plan {
  steps: PlanStep[];
  /** What the endpoint gets; absent on routes that answer by themselves. */
  forwarded?: Forwarded;
  upstream?: UpstreamSettings;
}

interface PlanInput {
  config: Config;
  listener: ListenerSettings;
  route: RouteSettings;
  values: TextValues;
  /** The Host that the client sent, with its port. */
  originalHost: string;
  /** By policy that decides, what it reads of a request. */
  inputs: ReadonlyMap<string, readonly string[]>;
  /** By policy that sees responses, what it reads of one; in the order in which they do. */
  responseInputs: ReadonlyMap<string, readonly string[]>;
  /** The policy that answers in place of the route. */
  answerer: string | undefined;
  /** Those policies of the configuration that the core carries out by itself. */
  accesses: readonly SnapshotAccess[];
}

export function planOf(input: PlanInput): Plan {
  const { config, route } = input;
  const upstream = config.upstreams.find(({ name }) => name === route.upstream);
  return upstream === undefined ? answerPlan(input) : proxyPlan(input, upstream);
}

function proxyPlan(input: PlanInput, upstream: UpstreamSettings): Plan {
  const { route, listener, values } = input;
  const forwarded = forwardedRequest(input, upstream);
  const { timeouts } = route;
  const firstByte = timeouts.firstByte ?? upstream.timeouts.firstByte;
  const idle = timeouts.idle ?? upstream.timeouts.idle;
  const tunnel = timeouts.tunnel ?? upstream.timeouts.tunnel;
  const attempts = route.retries.attempts ?? upstream.retries.attempts;
  const steps: PlanStep[] = [
    ...bodyLimit(listener, route),
    ...(timeouts.request === unlimited
      ? []
      : [request('time limit', formatDuration(timeouts.request))]),
    ...policySteps(input),
    ...rewriteSteps(input, forwarded),
    ...forwardingSteps(listener),
    ...editSteps('request', route.headers.request, values),
    {
      phase: 'upstream',
      step: 'choose an endpoint',
      detail: `${upstream.balance} of ${upstream.endpoints.length}`,
    },
    {
      phase: 'upstream',
      step: 'time limits',
      detail: `connect ${formatDuration(upstream.timeouts.connect)}, first byte ${time(firstByte)}, idle ${time(idle)}, tunnel ${time(tunnel)}`,
    },
    {
      phase: 'upstream',
      step: 'retries',
      detail: attempts === 0 ? 'none' : `${attempts} on another endpoint`,
    },
    ...reviewSteps(input),
    ...serverStep(listener),
    ...hstsStep(listener),
    ...editSteps('response', route.headers.response, values),
  ];
  return { steps, forwarded, upstream };
}

function answerPlan(input: PlanInput): Plan {
  const { route, listener, values } = input;
  const { redirect, respond } = route;
  const steps: PlanStep[] = [...bodyLimit(listener, route), ...policySteps(input)];
  if (redirect !== undefined) {
    steps.push({
      phase: 'response',
      step: 'redirect',
      detail: `${redirect.status} to ${renderText(redirect.location, values, 'uri')}`,
    });
  }
  if (respond !== undefined) {
    const body =
      respond.body === undefined ? 'no body' : JSON.stringify(renderText(respond.body, values));
    steps.push({ phase: 'response', step: 'respond', detail: `${respond.status} with ${body}` });
    steps.push(...fieldSteps('response', 'set', respond.headers, values));
  }
  steps.push(...editSteps('response', route.headers.response, values));
  const saysItself = steps.some(({ detail }) => /^strict-transport-security: /i.test(detail));
  if (!saysItself) steps.push(...hstsStep(listener));
  return { steps };
}

/** They decide first: what follows is for requests that they let go on. */
function policySteps({ config, route, inputs, answerer, accesses }: PlanInput): PlanStep[] {
  return (route.policies ?? []).flatMap((name) => {
    const policy = config.policies.find((each) => each.name === name);
    if (policy === undefined) return [];
    const access = accesses.find((each) => each.name === name);
    if (access !== undefined) return [request(`policy ${name}`, accessText(access))];
    const read = inputs.get(name);
    if (read === undefined) return [];
    const does = name === answerer ? 'answers in place of the route' : 'decides';
    return [
      request(`policy ${name}`, policyText(policy, does)),
      request('reads', read.join(', ') || 'nothing'),
    ];
  });
}

function reviewSteps({ config, responseInputs }: PlanInput): PlanStep[] {
  return [...responseInputs].flatMap(([name, read]): PlanStep[] => {
    const policy = config.policies.find((each) => each.name === name);
    if (policy === undefined) return [];
    const detail = policyText(policy, 'sees the response');
    return [
      { phase: 'response', step: `policy ${name}`, detail },
      { phase: 'response', step: 'reads', detail: read.join(', ') || 'nothing' },
    ];
  });
}

function policyText({ use, timeout, onFailure, mode }: PolicySettings, does: string): string {
  const shadow = mode === 'shadow' ? ', in shadow mode' : '';
  return `${use} ${does} within ${formatDuration(timeout)}, on failure ${onFailure}${shadow}`;
}

function accessText({ others, status, shadow, prefixes }: SnapshotAccess): string {
  const { allowed, denied } = countPrefixes(prefixes);
  const networks = [
    ...(allowed > 0 || !others ? [`allows ${allowed}`] : []),
    ...(denied > 0 ? [`denies ${denied}`] : []),
  ].join(' and ');
  const rest = others ? 'all others pass' : 'all others are denied';
  return `ip-access in the core ${networks} networks, ${rest}, ${status}${shadow ? ', in shadow mode' : ''}`;
}

function request(step: string, detail: string): PlanStep {
  return { phase: 'request', step, detail };
}

function time(limit: number | Unlimited): string {
  return limit === unlimited ? limit : formatDuration(limit);
}

function bodyLimit(listener: ListenerSettings, route: RouteSettings): PlanStep[] {
  const limits = [listener.limits.body, route.limits.body].filter((limit) => limit !== unlimited);
  return limits.length === 0 ? [] : [request('body limit', formatSize(Math.min(...limits)))];
}

function forwardedRequest(
  { route, values, originalHost }: PlanInput,
  upstream: UpstreamSettings,
): Forwarded {
  const { rewrite } = route;
  let path = values.path;
  let query = values.hasQuery ? `?${values.query}` : '';
  if (rewrite.stripPrefix !== undefined) path = stripped(path, rewrite.stripPrefix);
  if (rewrite.path !== undefined) {
    const text = renderText(rewrite.path, values, 'uri');
    const mark = text.indexOf('?');
    path = mark === -1 ? text : text.slice(0, mark);
    if (mark !== -1) query = text.slice(mark);
  }
  const host =
    rewrite.host === undefined ? hostFor(upstream, originalHost) : renderText(rewrite.host, values);
  return { method: values.method, target: path + query, host };
}

/** By whole segments. */
function stripped(path: string, prefix: string): string {
  if (path === prefix) return '/';
  return path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : path;
}

function hostFor({ hostHeader }: UpstreamSettings, originalHost: string): string {
  switch (hostHeader.kind) {
    case 'literal':
      return hostHeader.value;
    case 'endpoint':
      return '{endpoint.address}';
    case 'preserve':
      return originalHost === '' ? 'localhost' : originalHost;
  }
}

function rewriteSteps(
  { route, values, originalHost }: PlanInput,
  forwarded: Forwarded,
): PlanStep[] {
  const { stripPrefix, path, host } = route.rewrite;
  const before = values.path + (values.hasQuery ? `?${values.query}` : '');
  const how = stripPrefix === undefined ? path?.source : `without ${stripPrefix}`;
  return [
    ...(how === undefined
      ? []
      : [request('rewrite path', `${before} → ${forwarded.target} (${how})`)]),
    ...(host === undefined && forwarded.host === originalHost
      ? []
      : [request('set Host', forwarded.host)]),
  ];
}

function forwardingSteps({ forwarding, requestId }: ListenerSettings): PlanStep[] {
  const fields = [
    `x-forwarded-* ${forwarding.xForwarded}`,
    `forwarded ${forwarding.forwarded}`,
    forwarding.via === false ? 'no via' : `via ${forwarding.via}`,
    requestId === false ? 'no request id' : `${requestId.header} (kept from: ${requestId.accept})`,
    ...(forwarding.clientCert ? ["client-cert of the client's verified certificate"] : []),
  ];
  return [request('forwarding fields', fields.join(', '))];
}

function serverStep({ server }: ListenerSettings): PlanStep[] {
  return server === 'pass' ? [] : [{ phase: 'response', step: 'Server field', detail: server }];
}

function hstsStep({ hsts, protocol }: ListenerSettings): PlanStep[] {
  if (hsts === '' || protocol !== 'https') return [];
  return [{ phase: 'response', step: 'set header', detail: `strict-transport-security: ${hsts}` }];
}

type Phase = 'request' | 'response';
type Fields = Record<string, Template | Template[]> | undefined;

/** `remove`, then `set`, then `add`. */
function editSteps(
  phase: Phase,
  edits: RouteSettings['headers']['request'],
  values: TextValues,
): PlanStep[] {
  return [
    ...(edits.remove ?? []).map(
      (name): PlanStep => ({ phase, step: 'remove header', detail: name }),
    ),
    ...fieldSteps(phase, 'set', edits.set, values),
    ...fieldSteps(phase, 'add', edits.add, values),
  ];
}

function fieldSteps(
  phase: Phase,
  how: 'set' | 'add',
  fields: Fields,
  values: TextValues,
): PlanStep[] {
  return Object.entries(fields ?? {}).flatMap(([name, texts]) =>
    [texts].flat().map(
      (text): PlanStep => ({
        phase,
        step: `${how} header`,
        detail: `${name}: ${renderText(text, values)}`,
      }),
    ),
  );
}
