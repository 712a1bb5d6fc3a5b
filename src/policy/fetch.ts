// `ctx.fetch`: what policies ask of upstreams, and what they get. Checked here as strictly as the core checks it again.
import { describe } from './checked.js';
import { hasControl, isToken, trimField, whyRefused } from './fields.js';
import { checkDuration, type Duration } from './limit.js';
import type { Fields } from './normalize.js';

/** All of it may be left out: `GET /`, with the time limits of the upstream. */
export interface FetchInit {
  /** `GET` by default. CONNECT and TRACE are refused. */
  readonly method?: string | undefined;
  /** Percent-encoded, without query and dot segments; `/` by default. */
  readonly path?: string | undefined;
  /** A text such as `a=1&b=2`, or names and values, which are encoded. */
  readonly query?:
    | string
    | URLSearchParams
    | Readonly<Record<string, string | readonly string[]>>
    | undefined;
  /** At most 64 lines and 64 KiB. Host, the length and what concerns one connection are the gateway's own. */
  readonly headers?: Headers | Readonly<Record<string, string | readonly string[]>> | undefined;
  /** At most 128 KiB. */
  readonly body?: string | Uint8Array | undefined;
  /** Of the whole exchange, retries included; up to an hour. By default the policy's own time limit is the only one. */
  readonly timeout?: Duration | undefined;
  /** Takes the fetch back. It is taken back as well when `ctx.signal` fires and when the policy has decided. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Asks an upstream of the configuration, through the gateway's own balancer, pools, retries and time limits. Whatever the upstream
 * answers is a response, 503 too. Rejects with a FetchError.
 */
export type Fetch = (upstream: string, init?: FetchInit) => Promise<FetchResponse>;

/** What went wrong, for code that has to tell. */
export const fetchErrorCodes = [
  /** The arguments make no request. */
  'bad_request',
  'unknown_upstream',
  /** A policy chain has 8 fetches under way, or has begun 64. */
  'too_many',
  /** A body has more than 128 KiB. */
  'too_large',
  /** No endpoint could be reached, or it closed the connection. */
  'unavailable',
  'timeout',
  /** What the endpoint sent is no response, or broke off. */
  'bad_response',
  /** By a signal, or because the policy has decided. */
  'aborted',
] as const;
export type FetchErrorCode = (typeof fetchErrorCodes)[number];

export class FetchError extends Error {
  override readonly name = 'FetchError';
  readonly code: FetchErrorCode;
  /** Where the gateway failed, its word for it, as in the access log: `upstream_connect_failed`. */
  readonly reason: string | undefined;

  constructor(code: FetchErrorCode, message: string, reason?: string) {
    super(message);
    this.code = code;
    this.reason = reason;
    Object.defineProperty(this, errorBrand, { value: true });
  }
}

/** By name rather than by module, as policies are: bundles have an SDK of their own. */
const errorBrand: unique symbol = Symbol.for('tidegate.fetch-error') as never;
const responseBrand: unique symbol = Symbol.for('tidegate.fetch-response') as never;

export function isFetchError(value: unknown): value is FetchError {
  return value instanceof Error && errorBrand in value;
}

/** The whole of it is there, so that nothing waits. A handler may return it as its answer. */
export class FetchResponse {
  readonly [responseBrand] = true;
  readonly status: number;
  /** Those of one connection, and the length, are not among them. Compressed bodies are not decompressed. */
  readonly headers: Headers;
  readonly #body: Uint8Array;

  constructor(status: number, headers: Headers, body: Uint8Array) {
    this.status = status;
    this.headers = headers;
    this.#body = body;
  }

  /** Whether the status is 200–299. */
  get ok(): boolean {
    return this.status >= 200 && this.status <= 299;
  }

  bytes(): Uint8Array {
    return this.#body;
  }

  /** As UTF-8. */
  text(): string {
    const { buffer, byteOffset, byteLength } = this.#body;
    return Buffer.from(buffer, byteOffset, byteLength).toString();
  }

  /** Throws a SyntaxError when it is none. */
  json(): unknown {
    return JSON.parse(this.text());
  }
}

export function isFetchResponse(value: unknown): value is FetchResponse {
  return typeof value === 'object' && value !== null && responseBrand in value;
}

export const fetchLimits = {
  /** Of one call: all policies of a route together. */
  atOnce: 8,
  inAll: 64,
  fields: 64,
  /** Names and values together, in bytes. */
  fieldBytes: 64 * 1024,
  /** Path and query together, in bytes. */
  target: 16 * 1024,
  method: 32,
  /** Of a name of an upstream, in bytes. */
  name: 256,
  /** Both ways, in bytes. */
  body: 128 * 1024,
  timeout: 3_600_000,
} as const;

/** A request that the core takes. */
export interface FetchRequest {
  readonly upstream: string;
  readonly method: string;
  readonly path: string;
  readonly query: string | undefined;
  readonly fields: Fields;
  readonly body: string | Uint8Array | undefined;
  /** Milliseconds. */
  readonly timeout: number | undefined;
}

export const initKeys = ['method', 'path', 'query', 'headers', 'body', 'timeout', 'signal'];

/** Throws a FetchError. */
export function checkFetch(upstream: unknown, init: unknown = {}): FetchRequest {
  if (typeof upstream !== 'string' || upstream === '' || hasControl(upstream)) {
    return refuse(upstream, 'upstream', 'the name of an upstream', upstream);
  }
  if (Buffer.byteLength(upstream) > fetchLimits.name) {
    return refuse(upstream, 'upstream', `at most ${fetchLimits.name} bytes`, upstream);
  }
  if (typeof init !== 'object' || init === null || Array.isArray(init)) {
    return refuse(upstream, 'init', 'an object such as { path: "/" }', init);
  }
  for (const key of Object.keys(init)) {
    if (!initKeys.includes(key)) refuse(upstream, key, `only ${initKeys.join(', ')}`, key);
  }
  const { method = 'GET', path = '/', query, headers, body, timeout } = init as LooseInit;
  const checked = {
    upstream,
    method: methodOf(upstream, method),
    path: pathOf(upstream, path),
    query: queryOf(upstream, query),
    fields: fieldsOf(upstream, headers),
    body: bodyOf(upstream, body),
    timeout: timeoutOf(upstream, timeout),
  };
  if (checked.path.length + (checked.query?.length ?? 0) > fetchLimits.target) {
    return refuse(upstream, 'path', 'at most 16 KiB of path and query', checked.path);
  }
  return checked;
}

type LooseInit = { readonly [Key in keyof FetchInit]: unknown };

const commonMethods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']);

/** The common methods in any case, as browsers take them. */
function methodOf(upstream: string, method: unknown): string {
  const upper = typeof method === 'string' ? method.toUpperCase() : '';
  if (commonMethods.has(upper)) return upper;
  const fits = isToken(method) && method.length <= fetchLimits.method;
  if (fits && upper !== 'CONNECT' && upper !== 'TRACE') return method;
  return refuse(upstream, 'method', 'a method such as GET', method);
}

const pathText = /^\/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*$/;
const dotSegment = /\/\.{1,2}(?:\/|$)/;

function pathOf(upstream: string, path: unknown): string {
  if (typeof path === 'string' && pathText.test(path) && !dotSegment.test(path)) return path;
  return refuse(
    upstream,
    'path',
    'a percent-encoded path that begins with / and has no query and no dot segments',
    path,
    typeof path === 'string' && path.includes('?')
      ? 'what stands behind the ? goes into query'
      : 'encodeURIComponent makes a segment of any text but . and ..',
  );
}

function queryOf(upstream: string, query: unknown): string | undefined {
  if (query === undefined || query === '') return undefined;
  if (typeof query === 'string') {
    if (/^[!"$-~]*$/.test(query)) return query;
    return refuse(upstream, 'query', 'percent-encoded text without #', query, 'give an object');
  }
  if (query instanceof URLSearchParams) return query.toString() || undefined;
  if (typeof query !== 'object' || query === null) {
    return refuse(upstream, 'query', 'a text or an object', query);
  }
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((each: unknown): [string, string] =>
      typeof each === 'string' ? [name, each] : refuse(upstream, `query.${name}`, 'a text', each),
    ),
  );
  return new URLSearchParams(pairs).toString() || undefined;
}

function fieldsOf(upstream: string, headers: unknown): Fields {
  if (headers === undefined) return [];
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) {
    return refuse(upstream, 'headers', 'an object of names and values', headers);
  }
  const given = headers instanceof Headers ? [...headers] : Object.entries(headers);
  let size = 0;
  const fields = given.flatMap(([name, value]: [string, unknown]) => {
    const at = `headers.${name}`;
    if (!isToken(name)) refuse(upstream, at, 'the name of a header', name);
    const lower = name.toLowerCase();
    const why = whyRefused(lower);
    if (why !== undefined) refuse(upstream, at, 'a header that a policy may set', name, why);
    return (Array.isArray(value) ? value : [value]).map((each: unknown): [string, string] => {
      if (typeof each !== 'string' || hasControl(each)) {
        return refuse(upstream, at, 'a text without line breaks and other controls', each);
      }
      size += lower.length + Buffer.byteLength(each);
      return [lower, trimField(each)];
    });
  });
  if (fields.length > fetchLimits.fields || size > fetchLimits.fieldBytes) {
    return refuse(upstream, 'headers', 'at most 64 lines and 64 KiB', headers);
  }
  return fields;
}

function bodyOf(upstream: string, body: unknown): string | Uint8Array | undefined {
  if (body === undefined) return undefined;
  if (typeof body !== 'string' && !(body instanceof Uint8Array)) {
    const remedy = 'JSON.stringify it, and say so in content-type';
    return refuse(upstream, 'body', 'a text or a Uint8Array', body, remedy);
  }
  const size = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
  if (size <= fetchLimits.body) return body;
  const message = `body: expected at most ${fetchLimits.body} bytes but received ${size}`;
  throw new FetchError('too_large', `fetch from ${upstream}: ${message}`);
}

function timeoutOf(upstream: string, timeout: unknown): number | undefined {
  if (timeout === undefined) return undefined;
  const checked = checkDuration(timeout, 'timeout');
  if (checked.ok && checked.value > 0 && checked.value <= fetchLimits.timeout) return checked.value;
  return refuse(upstream, 'timeout', 'a duration of 1 ms to 1 h', timeout);
}

function refuse(
  upstream: unknown,
  at: string,
  expected: string,
  received: unknown,
  remedy?: string,
): never {
  const place = typeof upstream === 'string' ? ` from ${JSON.stringify(upstream)}` : '';
  const advice = remedy === undefined ? '' : ` (${remedy})`;
  throw new FetchError(
    'bad_request',
    `fetch${place}: ${at}: expected ${expected} but received ${describe(received)}${advice}`,
  );
}

/** A Latin-1 text as Node.js has it, whose bytes are UTF-8 more often than not: as the text that has these bytes. */
function textOfBytes(value: string): string {
  const bytes = Buffer.from(value, 'latin1');
  const text = bytes.toString();
  return text.includes('\ufffd') ? value : text;
}

/** The header lines of a response that a policy may pass on. */
export function passedOn({ headers }: FetchResponse): Record<string, string[]> {
  const lines: Record<string, string[]> = {};
  for (const [name, value] of headers) {
    if (whyRefused(name) !== undefined) continue;
    lines[name] = [...(lines[name] ?? []), textOfBytes(value)];
  }
  return lines;
}
