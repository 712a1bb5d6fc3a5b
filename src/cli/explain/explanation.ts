// Joins what the core says of a request with what the configuration says of the route: the content of `explain --json`.
import type { Compiled } from '../../compile/index.js';
import type { Config, ListenerSettings } from '../../config/index.js';
import type { Addon, ExplainCandidate, ExplainResult } from '../../engine/addon.js';
import type { ReasonInfo } from '../../engine/types.js';
import { answererOf, chainOf, inputTexts } from './chain.js';
import { type Forwarded, type PlanStep, planOf } from './plan.js';
import type { ExplainedRequest } from './request.js';
import type { Run } from './run.js';
import { clientWire, upstreamWire, type WireFact } from './wires.js';

export interface Explanation {
  listener: string;
  /** What its clients speak with it. */
  wire: WireFact[];
  /** Host, path and query as they are matched; target as it was sent. */
  request: {
    /** Of the listener. */
    scheme: 'http' | 'https';
    method: string;
    target: string;
    host: string;
    path: string;
    query: string;
    client: string;
  };
  /** Of a listener that sends every request to https: no route is looked for. */
  redirect?: { status: number; location: string };
  /** Absent when a route was found. */
  refusal?: { code: string; status: number; text: string };
  route?: {
    name: string;
    params: Record<string, string>;
    tail: string;
    plan: PlanStep[];
    /** Absent on routes that answer by themselves. */
    upstream?: {
      name: string;
      balance: string;
      /** What is spoken with its endpoints. */
      wire: WireFact[];
      endpoints: { address: string; weight: number }[];
      request: Forwarded;
    };
    /** With `--run`: what its policies have come to. */
    run?: Run;
  };
  /** Every route, in order of precedence. */
  candidates: ExplainCandidate[];
}

/** Refusals of a request by its path or method come before a redirect to https. */
const routingRefusals: readonly string[] = ['', 'route_not_found', 'method_not_allowed'];

/** `listener` is a name; empty: the first one of the URL's scheme, else the first one. Throws EngineError `request_invalid` or `snapshot_invalid`. */
export function explainRequest(
  addon: Pick<Addon, 'explain' | 'reasons'>,
  config: Config,
  compiled: Compiled,
  request: ExplainedRequest,
  listener: string,
): Explanation {
  const { method, host, target, headers, client } = request;
  const ofScheme = config.listeners.find(({ protocol }) => protocol === request.scheme);
  const result = addon.explain(compiled.bytes, {
    listener: listener === '' ? (ofScheme?.name ?? '') : listener,
    method,
    host,
    target,
    fields: headers,
    client,
  });
  const settings = config.listeners.find(({ name }) => name === result.listener);
  if (settings === undefined)
    throw new Error(`the core chose ${result.listener}, which the configuration does not have`);
  const { host: seenHost, path, query } = result;
  const seen = {
    scheme: settings.protocol,
    ...{ method, target, host: seenHost, path, query, client },
  };
  const wire = clientWire(settings, result.certificates);
  const { redirectToHttps } = settings;
  if (redirectToHttps !== false && routingRefusals.includes(result.refusal)) {
    const location = httpsLocation(result, target, redirectToHttps);
    return {
      listener: result.listener,
      wire,
      request: seen,
      redirect: { status: 308, location },
      candidates: [],
    };
  }
  return {
    listener: result.listener,
    wire,
    request: seen,
    ...(result.refusal === '' ? {} : { refusal: refusalOf(result, addon.reasons) }),
    ...(result.route === '' ? {} : { route: routeOf(result, config, settings, compiled, request) }),
    candidates: result.candidates,
  };
}

/** As the core is told in the snapshot (src/compile/listeners.ts). */
function httpsLocation(
  { host, path, query }: ExplainResult,
  target: string,
  port: true | number,
): string {
  const authority = port === true || port === 443 ? host : `${host}:${port}`;
  return `https://${authority}${path}${target.includes('?') ? `?${query}` : ''}`;
}

function refusalOf({ refusal, refusalDetail }: ExplainResult, reasons: readonly ReasonInfo[]) {
  const reason = reasons.find(({ code }) => code === refusal);
  const text = refusalDetail === '' ? (reason?.text ?? '') : refusalDetail;
  return { code: refusal, status: reason?.status ?? 0, text };
}

function routeOf(
  result: ExplainResult,
  config: Config,
  listener: ListenerSettings,
  compiled: Compiled,
  request: ExplainedRequest,
): NonNullable<Explanation['route']> {
  const route = config.routes.find(({ name }) => name === result.route);
  if (route === undefined)
    throw new Error(`the core chose ${result.route}, which the configuration does not have`);
  const values = {
    ...request,
    scheme: listener.protocol,
    host: result.host,
    path: result.path,
    query: result.query,
    hasQuery: request.target.includes('?'),
    tail: result.tail,
    route: route.name,
    upstream: route.upstream ?? '',
    params: result.params,
  };
  const originalHost = request.headers.find(([name]) => name.toLowerCase() === 'host')?.[1] ?? '';
  const chain = chainOf(compiled, route.name);
  const responseInputs = inputTexts(chainOf(compiled, route.name, 'review'));
  const { steps, forwarded, upstream } = planOf({
    config,
    listener,
    route,
    values,
    originalHost,
    inputs: inputTexts(chain),
    responseInputs,
    answerer: answererOf(chain),
    accesses: compiled.snapshot.access,
  });
  return {
    name: route.name,
    params: result.params,
    tail: result.tail,
    plan: steps,
    ...(upstream === undefined || forwarded === undefined
      ? {}
      : {
          upstream: {
            name: upstream.name,
            balance: upstream.balance,
            wire: upstreamWire(upstream),
            endpoints: upstream.endpoints.map(({ address, weight }) => ({
              address: address.written,
              weight,
            })),
            request: forwarded,
          },
        }),
  };
}
