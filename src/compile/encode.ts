// Plain objects to the msgpack that native/snapshot/decode.h reads: maps with string keys, integers as integers.
import { Packr } from 'msgpackr';
import type { Snapshot } from './snapshot.js';

const packr = new Packr({ useRecords: false, variableMapSize: true });

export function encodeSnapshot(snapshot: Snapshot): Uint8Array {
  return packr.pack(wideIntegers(snapshot));
}

/** msgpackr writes numbers of more than 32 bits as floats, but big integers as integers. */
function wideIntegers(value: unknown): unknown {
  if (typeof value === 'number') return value > 0xffffffff ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map(wideIntegers);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, wideIntegers(item)]));
}
