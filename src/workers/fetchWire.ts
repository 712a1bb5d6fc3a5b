// Fetches as they cross the channel, in the frames that verdicts have. The core's side of the format is native/policy/fetch.h.
import { Packr, RESERVE_START_SPACE } from 'msgpackr';
import {
  FetchError,
  type FetchErrorCode,
  type FetchRequest,
  FetchResponse,
} from '../policy/fetch.js';

/** Which call of the I/O thread a fetch is for. */
export interface Call {
  readonly index: number;
  readonly generation: number;
}

const packr = new Packr({ useRecords: false });
const frameHead = 4;
const fetchKind = 5;

export function beginFrame({ index, generation }: Call, number: number, f: FetchRequest): Buffer {
  const { upstream, method, path, query = null, fields, body = null, timeout = null } = f;
  const request = [upstream, method, path, query, fields.flat(), body, timeout];
  return framed([index, generation, fetchKind, number, ...request]);
}

/** Nobody waits for that one any more. */
export function takeBackFrame({ index, generation }: Call, number: number): Buffer {
  return framed([index, generation, fetchKind, number]);
}

function framed(message: readonly unknown[]): Buffer {
  const frame = packr.pack(message, RESERVE_START_SPACE | frameHead);
  frame.writeUInt32LE(frame.length - frameHead, 0);
  return frame;
}

export interface FetchReply extends Call {
  readonly number: number;
  /** Of the fetch from that upstream. */
  outcome(upstream: string): FetchResponse | FetchError;
}

/** `values` as a batch has them: `[index, generation, null, number, …]`. */
export function readReply(values: readonly unknown[]): FetchReply {
  const [index, generation, , number, status, fields, body] = values as [
    number,
    number,
    null,
    number,
    number | string,
    readonly string[] | string,
    Uint8Array,
  ];
  return {
    index,
    generation,
    number,
    outcome: (upstream) =>
      typeof status === 'number'
        ? // A view of the batch, which is used again.
          new FetchResponse(status, headersOf(fields as readonly string[]), Uint8Array.from(body))
        : failure(upstream, status, fields as string),
  };
}

function headersOf(fields: readonly string[]): Headers {
  const headers = new Headers();
  for (let i = 0; i < fields.length; i += 2) {
    headers.append(fields[i] as string, fields[i + 1] as string);
  }
  return headers;
}

const codes: Readonly<Record<string, FetchErrorCode>> = {
  fetch_unknown_upstream: 'unknown_upstream',
  fetch_too_large: 'too_large',
  fetch_aborted: 'aborted',
  bad_path: 'bad_request',
  upstream_connect_timeout: 'timeout',
  upstream_first_byte_timeout: 'timeout',
  upstream_idle_timeout: 'timeout',
  request_timeout: 'timeout',
  upstream_bad_response: 'bad_response',
  upstream_head_too_large: 'bad_response',
  upstream_body_aborted: 'bad_response',
  upgrade_refused: 'bad_response',
};

const remedies: Readonly<Partial<Record<FetchErrorCode, string>>> = {
  unknown_upstream: 'name one that stands under upstreams',
  too_large: 'at most 128 KiB of it cross to a policy; ask for a part',
  unavailable: "the access log's line with the same request_id says more",
  timeout: "the fetch's own timeout, or those of the upstream, say how long it may take",
};

function failure(upstream: string, reason: string, sentence: string): FetchError {
  const code = codes[reason] ?? 'unavailable';
  const remedy = remedies[code];
  const advice = remedy === undefined ? '' : ` (${remedy})`;
  return new FetchError(code, `fetch from "${upstream}": ${sentence}${advice}`, reason);
}
