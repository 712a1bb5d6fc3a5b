// What a load generator is asked and what it answers, whichever it is.
import type { ClientWire } from '../wires.js';

export interface LoadRequest {
  port: number;
  connections: number;
  seconds: number;
  path: string;
  /** "{n}" in the path becomes 0..paths-1 in turn; 1 unless given. */
  paths?: number;
  /** Of the connections, how many are new for each request. */
  fresh?: number;
  /** Over TLS, where they are new: each resumes one session; each is full unless given. */
  resumed?: boolean;
  /** Requests a second in all; as fast as the answers come unless given. */
  rate?: number;
  /** A path that is asked for once a second beside them, first after half of one; only its failures count. */
  aside?: string;
  /** Bytes of body of each request, which is a POST then. */
  upload?: number;
  /** A file of header lines, of which each request has one, in turn. */
  headers?: string;
  /** Plain HTTP/1 unless given. */
  wire?: ClientWire;
  /** Of HTTP/2: requests that are under way on a connection at a time; 1 unless given. */
  streams?: number;
  /** Each request is a unary gRPC call, over HTTP/2. */
  grpc?: boolean;
  /** Each request says a number and asks for a body of its own size; answers are held against that. */
  tagged?: boolean;
}

export interface Errors {
  /** Connections that nobody accepted. */
  refused: number;
  /** Connections that failed otherwise, and handshakes that were full and not resumed, or the reverse. */
  connect: number;
  /** Requests whose connection ended before the answer did. */
  broken: number;
  /** Answers with a status that says failure. */
  status: number;
  /** Requests without an answer. */
  timeout: number;
  /** Of those with such a status, with 429; NaN from a tool that does not say. */
  limited: number;
  /** Answers that belong to another request, where requests are tagged; NaN from such a tool. */
  crossed: number;
}

export interface LoadResult {
  seconds: number;
  requests: number;
  p50Micros: number;
  p99Micros: number;
  /** The share of the time in which load and origin had something to do; NaN when it cannot tell. */
  busy: number;
  errors: Errors;
}

export interface RunningLoad {
  result: Promise<LoadResult>;
  /** Ends it before its time; the result is what there was. */
  stop(): void;
}

/** A load generator with the origin that proxies send to. */
export interface Load {
  /** For the report. */
  readonly description: string;
  readonly originPort: number;
  /** Of load and origin together, for the share that they take of their cores. */
  pids(): number[];
  begin(request: LoadRequest): RunningLoad;
  /** Opens connections, sends a request on each and keeps them; how many were answered. */
  hold(port: number, connections: number, path: string, wire?: ClientWire): Promise<number>;
  release(): Promise<void>;
}

/** Keeps a failure for the one who awaits it in the end; until then it is not an unhandled one. */
export function awaitedLater<Result>(promise: Promise<Result>): Promise<Result> {
  promise.catch(() => {});
  return promise;
}

export const noErrors: Errors = {
  refused: 0,
  connect: 0,
  broken: 0,
  status: 0,
  timeout: 0,
  limited: 0,
  crossed: 0,
};

export function addErrors(all: readonly Errors[]): Errors {
  const sum = { ...noErrors };
  for (const each of all) {
    sum.refused += each.refused;
    sum.connect += each.connect;
    sum.broken += each.broken;
    sum.status += each.status;
    sum.timeout += each.timeout;
    sum.limited += each.limited;
    sum.crossed += each.crossed;
  }
  return sum;
}

/** `total` in whole parts that differ by one at most, as many as there are processes. */
export function shares(total: number, parts: number): number[] {
  return Array.from(
    { length: parts },
    (_, i) => Math.floor(total / parts) + (i < total % parts ? 1 : 0),
  );
}
