// `ctx.fetch` of a policy under test: its requests are checked as a gateway checks them, and a function of the test's own is the
// upstreams.
import {
  checkFetch,
  type Fetch,
  FetchError,
  type FetchRequest,
  FetchResponse,
  fetchLimits,
  isFetchResponse,
} from '../fetch.js';
import { completeResponse, type MadeUpResponse } from './response.js';

/** What a policy asks of an upstream. */
export interface FetchedRequest {
  readonly method: string;
  readonly path: string;
  /** Without `?`; empty when there is none. */
  readonly query: string;
  /** By lower-case name; several lines are joined by `, `. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

/** Throw a FetchError for what the gateway could not do. */
export type MadeUpUpstreams = (
  upstream: string,
  request: FetchedRequest,
) => MadeUpResponse | FetchResponse | Promise<MadeUpResponse | FetchResponse>;

/** `signal` is the policy's own. */
export function fetchFrom(upstreams: MadeUpUpstreams | undefined, signal: AbortSignal): Fetch {
  return async (upstream, init) => {
    const request = checkFetch(upstream, init);
    if (upstreams === undefined) {
      throw new TypeError(
        `the policy fetches from "${upstream}", but testPolicy was given no upstreams (fetch: (upstream, request) => ({ body: 'ok' }))`,
      );
    }
    const signals = init?.signal === undefined ? [signal] : [signal, init.signal];
    const made = await untilAborted(upstream, signals, async () =>
      upstreams(upstream, seenBy(request)),
    );
    const response = isFetchResponse(made) ? made : responseOf(made);
    if (response.bytes().length <= fetchLimits.body) return response;
    throw new FetchError(
      'too_large',
      `fetch from "${upstream}": the response has more than ${fetchLimits.body} bytes`,
      'fetch_too_large',
    );
  };
}

async function untilAborted<T>(
  upstream: string,
  signals: readonly AbortSignal[],
  ask: () => Promise<T>,
): Promise<T> {
  const over = AbortSignal.any([...signals]);
  const why = new FetchError('aborted', `fetch from "${upstream}" was taken back: a signal fired`);
  if (over.aborted) throw why;
  const { promise, reject } = deferred();
  const onAbort = () => reject(why);
  over.addEventListener('abort', onAbort);
  try {
    return await Promise.race([ask(), promise]);
  } finally {
    over.removeEventListener('abort', onAbort);
  }
}

function deferred(): { promise: Promise<never>; reject(reason: Error): void } {
  let reject: (reason: Error) => void = () => {};
  const promise = new Promise<never>((_, fail) => {
    reject = fail;
  });
  return { promise, reject };
}

function seenBy({ method, path, query = '', fields, body }: FetchRequest): FetchedRequest {
  const headers = new Map<string, string>();
  for (const [name, value] of fields) {
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return {
    method,
    path,
    query,
    headers: Object.fromEntries(headers),
    ...(body === undefined ? {} : { body }),
  };
}

function responseOf(made: MadeUpResponse): FetchResponse {
  const { status, headers, body } = completeResponse(made);
  const lines = new Headers();
  for (const [name, values] of headers) for (const value of values) lines.append(name, value);
  return new FetchResponse(status, lines, body);
}
