// Reads messages of the core, which are msgpack of a few forms: arrays of small whole numbers, nil and short texts, the same
// texts again and again. Whatever else there is, msgpackr reads.
import { Unpackr } from 'msgpackr';

const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' });

/** The array that stands in `bytes` from `start` to `end`: what msgpackr makes of it, sooner. */
export function readMessage(bytes: Buffer, start: number, end: number): unknown[] {
  const head = bytes[start] as number;
  let at = start + 1;
  let count = head & 0x0f;
  if (head === array16) {
    count = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
    at += 2;
  } else if ((head & 0xf0) !== fixedArray) {
    return readAny(bytes, start, end);
  }
  const values = new Array<unknown>(count);
  for (let i = 0; i < count; i += 1) {
    const tag = bytes[at] as number;
    at += 1;
    if (tag < 0x80) {
      values[i] = tag;
    } else if (tag === nil) {
      values[i] = null;
    } else if (tag === uint32) {
      values[i] = readUint32(bytes, at);
      at += 4;
    } else if ((tag & 0xe0) === fixedText) {
      const length = tag & 0x1f;
      values[i] = readText(bytes, at, length);
      at += length;
    } else if (tag === text32) {
      const length = readUint32(bytes, at);
      values[i] = readText(bytes, at + 4, length);
      at += 4 + length;
    } else {
      return readAny(bytes, start, end);
    }
  }
  return values;
}

const fixedArray = 0x90;
const array16 = 0xdc;
const nil = 0xc0;
const uint32 = 0xce;
const fixedText = 0xa0;
const text32 = 0xdb;

function readAny(bytes: Buffer, start: number, end: number): unknown[] {
  // Where it stands: a view would cost more than the reading.
  return unpackr.unpack(bytes, { start, end }) as unknown[];
}

function readUint32(bytes: Buffer, at: number): number {
  const high = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
  const low = ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number);
  return high * 0x1_0000 + low;
}

/** Texts that were read lately, one in each place: making a string costs more than finding it. In bytes, at most. */
const longestKept = 64;
const places = 512;
const keptTexts = new Array<string>(places).fill('');
const keptBytes = new Uint8Array(places * longestKept);

function readText(bytes: Buffer, at: number, length: number): string {
  if (length > longestKept || length === 0) return bytes.toString('utf8', at, at + length);
  const place = placeOf(bytes, at, length);
  const kept = keptTexts[place] as string;
  const keptAt = place * longestKept;
  if (kept.length === length) {
    // To the end even where they differ: a text may be a secret, and the time must not tell how much of it was right.
    let difference = 0;
    for (let i = 0; i < length; i += 1) {
      difference |= (bytes[at + i] as number) ^ (keptBytes[keptAt + i] as number);
    }
    if (difference === 0) return kept;
  }
  const text = bytes.toString('utf8', at, at + length);
  // Only of ASCII, where units are bytes.
  if (text.length !== length) return text;
  for (let i = 0; i < length; i += 1) keptBytes[keptAt + i] = bytes[at + i] as number;
  keptTexts[place] = text;
  return text;
}

/** FNV-1a. */
function placeOf(bytes: Buffer, at: number, length: number): number {
  let hash = 0x811c_9dc5;
  for (let i = at; i < at + length; i += 1) {
    hash = Math.imul(hash ^ (bytes[i] as number), 0x0100_0193);
  }
  return (hash ^ (hash >>> 15)) & (places - 1);
}
