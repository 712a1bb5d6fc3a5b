// What a policy sees of a message's body: the bytes that the core has collected, in the form that it declares.
import { isUtf8 } from 'node:buffer';
import type { BodyForm } from '../policy/inputs.js';
import type { ResponseBodySpec } from '../policy/responseInputs.js';

/** Why a body does not reach a policy, which is not the policy's fault. */
export class UnreadableBody extends Error {
  override readonly name = 'UnreadableBody';
}

/**
 * `bytes` are those of a descriptor: undefined where the core has not collected them, because they are more than `limit` of the
 * chain. Throws an UnreadableBody.
 */
export function bodyValue(bytes: Uint8Array | undefined, as: BodyForm, limit: number): unknown {
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
  { as, limit, longer }: Pick<ResponseBodySpec, 'as' | 'limit' | 'longer'>,
): unknown {
  if (bytes === undefined || (bytes.length > limit && longer === 'pass')) return undefined;
  if (as !== 'bytes' && !isUtf8(bytes)) throw new UnreadableBody('the body is not UTF-8 text');
  return bodyValue(bytes, as, limit);
}
