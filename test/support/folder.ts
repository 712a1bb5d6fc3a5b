// A folder for the files of one test file: configurations, sockets, logs.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endLater } from './cleanup.js';

/** Short, so that the paths of Unix sockets in it fit in a socket address. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tg-'));
  endLater('folder', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
