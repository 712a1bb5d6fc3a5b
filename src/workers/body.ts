// What a policy sees of a message's body: the bytes that the core has collected, in the form that it declares.
import { isUtf8 } from 'node:buffer';
import type { BodyForm, Longer } from '../policy/inputs.js';

/** Why a body does not reach a policy, which is not the policy's fault. */
export class UnreadableBody extends Error {
  override readonly name = 'UnreadableBody';
}

/** `limit` in bytes. */
interface Reading {
  readonly as: BodyForm;
  readonly limit: number;
  readonly longer: Longer;
}

/**
 * `bytes` are those of a descriptor: undefined where the core has not collected them, because they are more than `limit` of the
 * chain. Throws an UnreadableBody.
 */
export function requestBodyValue(
  bytes: Uint8Array | undefined,
  { as, limit, longer }: Reading,
): unknown {
  const isLonger = bytes === undefined || bytes.length > limit;
  return isLonger && longer === 'pass' ? undefined : bodyValue(bytes, as, limit);
}

function bodyValue(bytes: Uint8Array | undefined, as: BodyForm, limit: number): unknown {
  if (bytes === undefined || bytes.length > limit) {
    throw new UnreadableBody(`the body has more than ${limit} bytes`);
  }
  if (as === 'bytes') return new Uint8Array(bytes);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
  if (as === 'text') return text;
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new UnreadableBody('the body is not JSON');
  }
}

/**
 * The same of a response; undefined where there is none to read. What is not UTF-8 is no text: it would come out as something else,
 * compressed bodies above all.
 */
export function responseBodyValue(
  bytes: Uint8Array | undefined,
  { as, limit, longer }: Reading,
): unknown {
  if (bytes === undefined || (bytes.length > limit && longer === 'pass')) return undefined;
  if (as !== 'bytes' && !isUtf8(bytes)) throw new UnreadableBody('the body is not UTF-8 text');
  return bodyValue(bytes, as, limit);
}
