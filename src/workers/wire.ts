// Descriptors and verdicts as they cross the channel: msgpack arrays in frames of a 4-byte length. The core's side of the
// format is native/policy/descriptor.h and verdict.h.
import { Packr, Unpackr } from 'msgpackr';
import type { Edit, Fields } from '../policy/normalize.js';

/** One request: which call of the I/O thread, which chain, and the values of the chain's inputs. */
export interface Descriptor {
  index: number;
  generation: number;
  chain: number;
  values: readonly unknown[];
}

/** How a chain ended. */
export type Outcome =
  | {
      kind: 'go-on';
      upstream?: string | undefined;
      consumer?: string | undefined;
      request: readonly Edit[];
      response: readonly Edit[];
    }
  | { kind: 'answer'; status: number; fields: Fields; body: string | Uint8Array }
  | {
      kind: 'deny';
      status: number;
      reason?: string | undefined;
      fields: Fields;
      /** Absent: the core writes its own. */
      body?: string | Uint8Array | undefined;
    }
  | { kind: 'failed'; failure: FailureKind; policy: string };

export type FailureKind = 'threw' | 'timed-out' | 'unknown-chain' | 'breaker-open';

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

/** Calls `each` for every descriptor in the first `length` bytes; the core framed them. */
export function readBatch(
  batch: Buffer,
  length: number,
  each: (descriptor: Descriptor) => void,
): void {
  for (let at = 0; at < length; ) {
    const start = at + frameHead;
    at = start + batch.readUInt32LE(at);
    const values = unpackr.unpack(batch.subarray(start, at)) as unknown[];
    const [index, generation, chain] = values as [number, number, number];
    each({ index, generation, chain, values });
  }
}

/** Where the values of the inputs begin in `Descriptor.values`. */
export const firstValue = 3;

/** A verdict in its frame. */
export function frameVerdict(index: number, generation: number, outcome: Outcome): Buffer {
  const message = packr.pack(verdictArray(index, generation, outcome));
  const frame = Buffer.allocUnsafe(frameHead + message.length);
  frame.writeUInt32LE(message.length, 0);
  message.copy(frame, frameHead);
  return frame;
}

function verdictArray(index: number, generation: number, outcome: Outcome): unknown[] {
  switch (outcome.kind) {
    case 'go-on': {
      const { upstream = null, consumer = null, request, response } = outcome;
      return [index, generation, 0, upstream, consumer, flatEdits(request), flatEdits(response)];
    }
    case 'answer':
      return [index, generation, 1, outcome.status, outcome.fields.flat(), outcome.body];
    case 'deny': {
      const { status, reason = null, fields, body = null } = outcome;
      return [index, generation, 2, status, reason, fields.flat(), body];
    }
    case 'failed':
      return [index, generation, 3, failureCodes[outcome.failure], outcome.policy];
  }
}

function flatEdits(edits: readonly Edit[]): unknown[] {
  const flat: unknown[] = [];
  for (const edit of edits) {
    flat.push(opCodes[edit.op], edit.name, edit.op === 'remove' ? null : edit.value);
  }
  return flat;
}
