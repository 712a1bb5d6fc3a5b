// Descriptors and verdicts as they cross the channel: msgpack arrays in frames of a 4-byte length. The core's side of the
// format is native/policy/descriptor.h and verdict.h.
import { Packr, RESERVE_START_SPACE, RESET_BUFFER_MODE } from 'msgpackr';
import { algorithmOf, spanOf } from '../policy/limit.js';
import type { Charge, Edit, Fields } from '../policy/normalize.js';
import { readMessage } from './reader.js';

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

/** What is packed of outcomes that differ in their call and their times alone. */
export interface OutcomeMemo {
  parts?: { readonly beforeTimes: Buffer; readonly afterTimes: Buffer };
}

/** How a chain ended. */
export type Outcome = Ending & {
  terms: Terms;
  /** Where there is one, all else but the times is the same in every outcome that has it. */
  memo?: OutcomeMemo | undefined;
};

type Ending =
  | {
      kind: 'go-on';
      upstream: string | undefined;
      method: string | undefined;
      path: string | undefined;
      query: readonly Edit[];
      request: readonly Edit[];
      response: readonly Edit[];
      /** Of the request from now on; undefined: its own. Never with a memo. */
      body: string | Uint8Array | undefined;
    }
  | { kind: 'answer'; status: number; fields: Fields; body: string | Uint8Array }
  | {
      kind: 'deny';
      status: number;
      reason: string | undefined;
      fields: Fields;
      /** Undefined: the core writes its own. */
      body: string | Uint8Array | undefined;
    }
  | { kind: 'failed'; failure: FailureKind; policy: string }
  /** Of a response. */
  | {
      kind: 'pass';
      /** Undefined: as it is. */
      status: number | undefined;
      response: readonly Edit[];
      /** In place of its own. */
      body: string | Uint8Array | undefined;
    };

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

const packr = new Packr({ useRecords: false });

const frameHead = 4;
/** To msgpackr: so many bytes stay free in front, and the next message may overwrite this one. */
const asFrame = RESERVE_START_SPACE | frameHead | RESET_BUFFER_MODE;

/** Who takes what a batch has. */
export interface BatchReader {
  ask(descriptor: Descriptor): void;
  /** Nobody waits for that call any more. */
  cancel(index: number, generation: number): void;
  /** What came of a fetch, for readReply(). */
  fetched(values: readonly unknown[]): void;
}

/** Reads every message in the first `length` bytes; the core framed them. */
export function readBatch(batch: Buffer, length: number, reader: BatchReader): void {
  for (let at = 0; at < length; ) {
    const start = at + frameHead;
    at = start + batch.readUInt32LE(at);
    const values = readMessage(batch, start, at);
    const [index, generation, chain] = values as [number, number, number | null | undefined];
    if (chain === undefined) reader.cancel(index, generation);
    else if (chain === null) reader.fetched(values);
    else reader.ask({ index, generation, chain, values });
  }
}

/** Where the values of the inputs begin in `Descriptor.values`. */
export const firstValue = 3;

/** Bytes of a batch as it begins: it grows where its verdicts need more, and shrinks when they are gone. */
const firstRoom = 16 * 1024;

/** Verdicts in their frames, one behind the other in one buffer, which is used again and again. */
export class VerdictBatch {
  readonly #first: Buffer;
  readonly #largest: number;
  #buffer: Buffer;
  #used = 0;

  /** `largest`: of a frame, in bytes. */
  constructor(largest: number) {
    this.#largest = largest;
    this.#first = Buffer.alloc(firstRoom);
    this.#buffer = this.#first;
  }

  get isEmpty(): boolean {
    return this.#used === 0;
  }

  /** A view, until the next put() or drop(). */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#used);
  }

  /** Zero, or the size of a frame that is above the largest: then nothing was put. */
  put(index: number, generation: number, outcome: Outcome): number {
    const { memo } = outcome;
    if (memo === undefined) {
      const rest = endingValues(outcome);
      const array = [index, generation, kindOf(outcome), termsOf(outcome.terms), ...rest];
      const frame = packr.pack(array, asFrame);
      if (frame.length > this.#largest) return frame.length;
      frame.writeUInt32LE(frame.length - frameHead, 0);
      this.#makeRoom(frame.length);
      this.#buffer.set(frame, this.#used);
      this.#used += frame.length;
      return 0;
    }
    memo.parts ??= partsOf(outcome);
    this.#makeRoom(mostOfFrame(memo.parts, outcome.terms.times.length));
    const end = writeFrame(this.#buffer, this.#used, memo.parts, index, generation, outcome);
    const length = end - this.#used;
    if (length > this.#largest) return length;
    this.#used = end;
    return 0;
  }

  /** A message that was packed and framed elsewhere; false when it is above the largest. */
  putFrame(frame: Buffer): boolean {
    if (frame.length > this.#largest) return false;
    this.#makeRoom(frame.length);
    this.#buffer.set(frame, this.#used);
    this.#used += frame.length;
    return true;
  }

  /** The first `length` bytes have been taken. */
  drop(length: number): void {
    this.#buffer.copyWithin(0, length, this.#used);
    this.#used -= length;
    if (this.#used === 0) this.#buffer = this.#first;
  }

  #makeRoom(length: number): void {
    const needed = this.#used + length;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.alloc(Math.max(needed, 2 * this.#buffer.length));
    this.#buffer.copy(larger, 0, 0, this.#used);
    this.#buffer = larger;
  }
}

/** The largest that writeNumber() makes of one. */
const numberBytes = 5;
const fixedArray = 0x90;
const array16 = 0xdc;
/** As many as a fixed array has at most. */
const mostFixed = 15;

type Parts = NonNullable<OutcomeMemo['parts']>;

function mostOfFrame({ beforeTimes, afterTimes }: Parts, times: number): number {
  return frameHead + 4 + numberBytes * (2 + times) + beforeTimes.length + afterTimes.length;
}

/** Puts the call and the times between what was packed before; returns where the frame ends. */
function writeFrame(
  out: Buffer,
  start: number,
  { beforeTimes, afterTimes }: Parts,
  index: number,
  generation: number,
  { kind, terms: { times } }: Outcome,
): number {
  let at = start + frameHead;
  out[at] = fixedArray | (4 + endingLengths[kind]);
  at = writeNumber(out, index, at + 1);
  at = writeNumber(out, generation, at);
  out.set(beforeTimes, at);
  at += beforeTimes.length;
  at = writeArrayHead(out, times.length, at);
  for (const time of times) at = writeNumber(out, time, at);
  out.set(afterTimes, at);
  at += afterTimes.length;
  out.writeUInt32LE(at - start - frameHead, start);
  return at;
}

/** Behind the terms. */
const endingLengths = { 'go-on': 6, answer: 3, deny: 4, failed: 2, pass: 2 } as const;

function partsOf(outcome: Outcome): { beforeTimes: Buffer; afterTimes: Buffer } {
  const packed = (values: readonly unknown[]) =>
    Buffer.concat(values.map((value) => Buffer.from(packr.pack(value))));
  const terms = termsOf(outcome.terms);
  const head = Buffer.from([fixedArray | terms.length]);
  const kind = packed([kindOf(outcome)]);
  return {
    beforeTimes: Buffer.concat([kind, head, packed(terms.slice(0, -1))]),
    afterTimes: packed(endingValues(outcome)),
  };
}

/** Whole, and below 2^32; returns where the next byte goes. */
function writeNumber(frame: Buffer, value: number, at: number): number {
  if (value < 0x80) {
    frame[at] = value;
    return at + 1;
  }
  frame[at] = 0xce;
  return frame.writeUInt32BE(value, at + 1);
}

function writeArrayHead(frame: Buffer, length: number, at: number): number {
  if (length <= mostFixed) {
    frame[at] = fixedArray | length;
    return at + 1;
  }
  frame[at] = array16;
  return frame.writeUInt16BE(length, at + 1);
}

const outcomeCodes = { 'go-on': 0, answer: 1, deny: 2, failed: 3, pass: 4 } as const;

function kindOf({ kind }: Outcome): number {
  return outcomeCodes[kind];
}

function endingValues(outcome: Outcome): unknown[] {
  switch (outcome.kind) {
    case 'go-on': {
      const {
        upstream = null,
        method = null,
        path = null,
        query,
        request,
        response,
        body,
      } = outcome;
      const edits = [flatEdits(query), flatEdits(request), flatEdits(response)];
      const ending = [upstream, method, path, ...edits];
      return body === undefined ? ending : [...ending, body];
    }
    case 'answer':
      return [outcome.status, outcome.fields.flat(), outcome.body];
    case 'deny': {
      const { status, reason = null, fields, body = null } = outcome;
      return [status, reason, fields.flat(), body];
    }
    case 'failed':
      return [failureCodes[outcome.failure], outcome.policy];
    case 'pass': {
      const { status = 0, response, body } = outcome;
      const ending = [status, flatEdits(response)];
      return body === undefined ? ending : [...ending, body];
    }
  }
}

/** The times are last. */
function termsOf(terms: Terms): unknown[] {
  const { consumer = null, replayFor, staleIfError, tags, times } = terms;
  return [consumer, flatCharges(terms.charges), replayFor, staleIfError, tags, times];
}

const headerCodes = { none: 0, ratelimit: 1, 'x-ratelimit': 2, both: 3 } as const;

function flatCharges(charges: readonly Charge[]): unknown[] {
  if (charges.length === 0) return nothing;
  const flat: unknown[] = [];
  for (const { limit, key, cost, name = null, headers, status, reason = null } of charges) {
    const burst = limit.kind === 'gcra' ? limit.burst : 0;
    flat.push(algorithmOf(limit), limit.count, spanOf(limit), burst, cost, key);
    flat.push(headerCodes[headers], status, name, reason);
  }
  return flat;
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
