// Joins what the core says of a request with what the configuration says of the route: the content of `explain --json`.
import type { Compiled } from '../../compile/index.js';
import type { Config } from '../../config/index.js';
import type { Addon, ExplainCandidate, ExplainResult } from '../../engine/addon.js';
import type { ReasonInfo } from '../../engine/types.js';
import { answererOf, chainOf, inputTexts } from './chain.js';
import { type Forwarded, type PlanStep, planOf } from './plan.js';
import type { ExplainedRequest } from './request.js';
import type { Run } from './run.js';

export interface Explanation {
  listener: string;
  /** Host, path and query as they are matched; target as it was sent. */
  request: {
    method: string;
    target: string;
    host: string;
    path: string;
    query: string;
    client: string;
  };
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
      endpoints: { address: string; weight: number }[];
      request: Forwarded;
    };
    /** With `--run`: what its policies have come to. */
    run?: Run;
  };
  /** Every route, in order of precedence. */
  candidates: ExplainCandidate[];
}

/** `listener` is a name; empty: the first one. Throws EngineError `request_invalid` or `snapshot_invalid`. */
export function explainRequest(
  addon: Pick<Addon, 'explain' | 'reasons'>,
  config: Config,
  compiled: Compiled,
  request: ExplainedRequest,
  listener: string,
): Explanation {
  const { method, host, target, headers, client } = request;
  const result = addon.explain(compiled.bytes, {
    listener,
    method,
    host,
    target,
    fields: headers,
    client,
  });
  return {
    listener: result.listener,
    request: { method, target, host: result.host, path: result.path, query: result.query, client },
    ...(result.refusal === '' ? {} : { refusal: refusalOf(result, addon.reasons) }),
    ...(result.route === '' ? {} : { route: routeOf(result, config, compiled, request) }),
    candidates: result.candidates,
  };
}

function refusalOf({ refusal, refusalDetail }: ExplainResult, reasons: readonly ReasonInfo[]) {
  const reason = reasons.find(({ code }) => code === refusal);
  const text = refusalDetail === '' ? (reason?.text ?? '') : refusalDetail;
  return { code: refusal, status: reason?.status ?? 0, text };
}

function routeOf(
  result: ExplainResult,
  config: Config,
  compiled: Compiled,
  request: ExplainedRequest,
): NonNullable<Explanation['route']> {
  const route = config.routes.find(({ name }) => name === result.route);
  const listener = config.listeners.find(({ name }) => name === result.listener);
  if (route === undefined || listener === undefined)
    throw new Error(
      `the core chose ${result.route} of ${result.listener}, which the configuration does not have`,
    );
  const values = {
    ...request,
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
            endpoints: upstream.endpoints.map(({ address, weight }) => ({
              address: address.written,
              weight,
            })),
            request: forwarded,
          },
        }),
  };
}
