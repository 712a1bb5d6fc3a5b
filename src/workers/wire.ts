// Descriptors and verdicts as they cross the channel: msgpack arrays in frames of a 4-byte length. The core's side of the
// format is native/policy/descriptor.h and verdict.h.
import { Packr, RESERVE_START_SPACE, Unpackr } from 'msgpackr';
import type { Limit } from '../policy/limit.js';
import type { Charge, Edit, Fields } from '../policy/normalize.js';

/** One request: which call of the I/O thread, which chain, and the values of the chain's inputs. */
export interface Descriptor {
  index: number;
  generation: number;
  chain: number;
  values: readonly unknown[];
}

/** What every end of a chain may say. */
export interface Terms {
  readonly consumer: string | undefined;
  readonly charges: readonly Charge[];
  /** Milliseconds; 0: for this request only. */
  readonly replayFor: number;
  readonly staleIfError: number;
  readonly tags: readonly string[];
  /** Microseconds of each policy that had its turn. */
  readonly times: readonly number[];
}

/** How a chain ended. */
export type Outcome =
  | {
      kind: 'go-on';
      terms: Terms;
      upstream: string | undefined;
      path: string | undefined;
      query: readonly Edit[];
      request: readonly Edit[];
      response: readonly Edit[];
    }
  | { kind: 'answer'; terms: Terms; status: number; fields: Fields; body: string | Uint8Array }
  | {
      kind: 'deny';
      terms: Terms;
      status: number;
      reason: string | undefined;
      fields: Fields;
      /** Undefined: the core writes its own. */
      body: string | Uint8Array | undefined;
    }
  | { kind: 'failed'; terms: Terms; failure: FailureKind; policy: string };

export type FailureKind = 'threw' | 'timed-out' | 'unknown-chain' | 'breaker-open';

/** Of a chain that came to nothing. */
export const noTerms: Terms = {
  consumer: undefined,
  charges: [],
  replayFor: 0,
  staleIfError: 0,
  tags: [],
  times: [],
};

const failureCodes: Readonly<Record<FailureKind, number>> = {
  threw: 0,
  'timed-out': 1,
  'unknown-chain': 2,
  'breaker-open': 3,
};
const opCodes = { set: 0, add: 1, remove: 2 } as const;

const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' });
const packr = new Packr({ useRecords: false });

const frameHead = 4;
/** To msgpackr: so many bytes stay free in front. */
const reserveFrameHead = RESERVE_START_SPACE | frameHead;

/** Who takes what a batch has. */
export interface BatchReader {
  ask(descriptor: Descriptor): void;
  /** Nobody waits for that call any more. */
  cancel(index: number, generation: number): void;
}

/** Reads every message in the first `length` bytes; the core framed them. */
export function readBatch(batch: Buffer, length: number, reader: BatchReader): void {
  // Read where they stand: a view for each would cost more than the reading.
  const range = { start: 0, end: 0 };
  for (let at = 0; at < length; ) {
    range.start = at + frameHead;
    at = range.start + batch.readUInt32LE(at);
    range.end = at;
    const values = unpackr.unpack(batch, range) as unknown[];
    const [index, generation, chain] = values as [number, number, number | undefined];
    if (chain === undefined) reader.cancel(index, generation);
    else reader.ask({ index, generation, chain, values });
  }
}

/** Where the values of the inputs begin in `Descriptor.values`. */
export const firstValue = 3;

/** A verdict in its frame. */
export function frameVerdict(index: number, generation: number, outcome: Outcome): Buffer {
  const frame = packr.pack(verdictArray(index, generation, outcome), reserveFrameHead);
  frame.writeUInt32LE(frame.length - frameHead, 0);
  return frame;
}

function verdictArray(index: number, generation: number, outcome: Outcome): unknown[] {
  const terms = termsArray(outcome.terms);
  switch (outcome.kind) {
    case 'go-on': {
      const { upstream = null, path = null, query, request, response } = outcome;
      const heads = [flatEdits(request), flatEdits(response)] as const;
      return [index, generation, 0, terms, upstream, path, flatEdits(query), heads[0], heads[1]];
    }
    case 'answer':
      return [index, generation, 1, terms, outcome.status, outcome.fields.flat(), outcome.body];
    case 'deny': {
      const { status, reason = null, fields, body = null } = outcome;
      return [index, generation, 2, terms, status, reason, fields.flat(), body];
    }
    case 'failed':
      return [index, generation, 3, terms, failureCodes[outcome.failure], outcome.policy];
  }
}

function termsArray(terms: Terms): unknown[] {
  const { consumer = null, replayFor, staleIfError, tags, times } = terms;
  return [consumer, flatCharges(terms.charges), replayFor, staleIfError, tags, times];
}

const kindCodes = { gcra: 0, 'fixed-window': 1, 'sliding-window': 2, concurrency: 3, quota: 4 };
const periodCodes = { hour: 0, day: 1, week: 2, month: 3, year: 4 } as const;
const headerCodes = { none: 0, ratelimit: 1, 'x-ratelimit': 2, both: 3 } as const;

function flatCharges(charges: readonly Charge[]): unknown[] {
  if (charges.length === 0) return nothing;
  const flat: unknown[] = [];
  for (const { limit, key, cost, name = null, headers, status, reason = null } of charges) {
    const burst = limit.kind === 'gcra' ? limit.burst : 0;
    flat.push(kindCodes[limit.kind], limit.count, spanOf(limit), burst, cost, key);
    flat.push(headerCodes[headers], status, name, reason);
  }
  return flat;
}

function spanOf(limit: Limit): number {
  switch (limit.kind) {
    case 'gcra':
      return limit.per;
    case 'fixed-window':
    case 'sliding-window':
      return limit.window;
    case 'concurrency':
      return 0;
    case 'quota':
      return periodCodes[limit.period];
  }
}

const nothing: unknown[] = [];

function flatEdits(edits: readonly Edit[]): unknown[] {
  if (edits.length === 0) return nothing;
  const flat: unknown[] = [];
  for (const edit of edits) {
    flat.push(opCodes[edit.op], edit.name, edit.op === 'remove' ? null : edit.value);
  }
  return flat;
}
