// What the gateway would do with a verdict: the request that goes upstream, or the answer.
import type { Edit, Fields, Verdict } from '../normalize.js';
import type { Review } from '../normalizeReview.js';
import type { ChargeResult } from './counters.js';
import { type FullRequest, queryOf } from './request.js';
import type { FullResponse } from './response.js';

export interface SentRequest {
  /** Of `routeTo`; absent when the route's own stands. */
  readonly upstream?: string;
  readonly method: string;
  readonly path: string;
  /** Without `?`. */
  readonly query: string;
  /** By lower-case name; several lines are joined by `, `. */
  readonly headers: Readonly<Record<string, string>>;
  /** Absent when the client's own goes on. */
  readonly body?: string | Uint8Array;
}

export interface Answer {
  readonly status: number;
  /** By lower-case name; several lines are joined by `, `. */
  readonly headers: Readonly<Record<string, string>>;
  /** Absent when the gateway writes its own error body. */
  readonly body?: string | Uint8Array;
}

export function sentRequest(verdict: Verdict, request: FullRequest): SentRequest | undefined {
  if (verdict.kind !== 'allow' && verdict.kind !== 'route-to') return undefined;
  return {
    ...(verdict.kind === 'route-to' ? { upstream: verdict.upstream } : {}),
    method: sentMethod(request, verdict.method),
    path: verdict.path ?? request.path,
    query: verdict.query.length === 0 ? request.query : editedQuery(request.query, verdict.query),
    headers: joined(edited([...request.headers].flatMap(linesOf), verdict.request)),
    ...(verdict.body === undefined ? {} : { body: verdict.body }),
  };
}

/** A request to whose protocol its method belongs keeps it: HEAD, upgrades, gRPC, `OPTIONS *`. */
export function sentMethod(
  { method, path, headers }: FullRequest,
  edited: string | undefined,
): string {
  const upgrades =
    headers.has('upgrade') && headers.get('connection')?.some((line) => /\bupgrade\b/i.test(line));
  const isGrpc =
    method === 'POST' &&
    /^application\/grpc(?:$|[+; ])/i.test(headers.get('content-type')?.[0] ?? '');
  const keeps = method === 'HEAD' || method === 'CONNECT' || path === '*' || upgrades || isGrpc;
  return edited === undefined || keeps ? method : edited;
}

export function answerOf(verdict: Verdict): Answer | undefined {
  if (verdict.kind !== 'deny' && verdict.kind !== 'respond') return undefined;
  const { status, fields, body } = verdict;
  return { status, headers: joined(fields), ...(body === undefined ? {} : { body }) };
}

/** What becomes of a response. */
export function reviewed(review: Review, response: FullResponse): Answer {
  if (review.kind !== 'pass') {
    const { status, fields, body } = review;
    return { status, headers: joined(fields), ...(body === undefined ? {} : { body }) };
  }
  const headers = joined(edited([...response.headers].flatMap(linesOf), review.edits));
  const { status = response.status, body = response.body } = review;
  return { status, headers, body };
}

/** Of the gateway itself, when a limit is reached. */
export function limitedAnswer({ retryAfter, status }: ChargeResult): Answer {
  if (retryAfter === undefined) return { status, headers: {} };
  return {
    status,
    headers: { 'retry-after': `${Math.max(1, Math.ceil(retryAfter / 1000))}` },
  };
}

function edited(lines: Fields, edits: readonly Edit[]): Fields {
  let result = lines;
  for (const edit of edits) {
    if (edit.op !== 'add') result = result.filter(([name]) => name !== edit.name);
    if (edit.op !== 'remove') result = [...result, [edit.name, edit.value]];
  }
  return result;
}

export function editedQuery(query: string, edits: readonly Edit[]): string {
  return edited(queryOf(query), edits)
    .map((pair) => pair.map(encodeURIComponent).join('='))
    .join('&');
}

function linesOf([name, values]: readonly [string, readonly string[]]): [string, string][] {
  return values.map((value) => [name, value]);
}

function joined(fields: Fields): Record<string, string> {
  const headers = new Map<string, string>();
  for (const [name, value] of fields) {
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return Object.fromEntries(headers);
}
