// Reads a text file whose size is bounded; errors say what is wrong in a few words.
import { readFileSync, statSync } from 'node:fs';

/** `shown` is what messages call it. Throws an Error that completes "… but". */
export function readTextFile(path: string, shown: string, maxBytes: number): string {
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw new Error(`${shown} is no regular file`);
    if (stat.size > maxBytes) throw new Error(`${shown} is larger than ${maxBytes} bytes`);
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    throw new Error(reasonOf(error, shown), { cause: error });
  }
}

function reasonOf(error: unknown, shown: string): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error ? error.code : undefined;
  if (code === 'ENOENT' || code === 'ENOTDIR') return `${shown} does not exist`;
  if (code === 'EACCES') return `${shown} may not be read`;
  if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return `${shown} is not UTF-8`;
  return error.message;
}
