// What a counter is found by: a text of any length, in the bytes that the core's table takes.
import { sha256Hex } from './sha256.js';

/** Of a key as the core takes it, in bytes of UTF-8. */
export const longestCounterKey = 1024;

/** No key that stands for itself begins so: nobody can name the counter of a long key by its hash. */
const hashed = '\0';

/** Equal for equal keys alone, as far as SHA-256 is. */
export function counterKey(key: string): string {
  return key.startsWith(hashed) || Buffer.byteLength(key) > longestCounterKey
    ? hashed + sha256Hex(key)
    : key;
}
