// What a counter is found by: a text of any length, in the bytes that the core's table takes.
import { createHmac, randomBytes } from 'node:crypto';

/** Of a key that stands for itself, in bytes of UTF-8. The core takes up to 1024; what is shorter costs verdicts less. */
export const longestPlainKey = 256;

/** No key that stands for itself begins so: nobody can name the counter of a long key by its digest. */
const digested = '\0';

/** Of a thread that nobody has given another: a test's, or one that only explains. */
let secret: Uint8Array = randomBytes(32);

/** The limits of one policy mostly have one key. */
let last = { key: '', made: '' };

/**
 * All threads that charge one table have one secret, from before the first key on: then a long key is the same counter for each of
 * them.
 */
export function useCounterSecret(shared: Uint8Array): void {
  secret = shared;
  last = { key: '', made: '' };
}

/** A secret for useCounterSecret(). */
export function newCounterSecret(): Uint8Array {
  return new Uint8Array(randomBytes(32));
}

/** Equal for equal keys alone, as far as HMAC-SHA-256 is; who does not know the secret cannot tell what a long key becomes. */
export function counterKey(key: string): string {
  if (!key.startsWith(digested) && !isLong(key)) return key;
  if (last.key !== key) {
    last = { key, made: digested + createHmac('sha256', secret).update(key).digest('base64url') };
  }
  return last.made;
}

/** A UTF-16 unit is at most three bytes, so that most keys need no count. */
function isLong(key: string): boolean {
  return key.length * 3 > longestPlainKey && Buffer.byteLength(key) > longestPlainKey;
}
