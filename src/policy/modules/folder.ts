// The private folder of this thread's bundles, so that workers import by path what control has checked.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

let folder: string | undefined;
const kept = new Set<string>();

/**
 * Writes a bundle, once, and returns its path: somebody may be reading what was written before. The folder is 0700, and goes when
 * the process exits.
 */
export function keepBundle(hash: string, code: string): string {
  folder ??= makeFolder();
  const path = join(folder, `${hash}.mjs`);
  if (!kept.has(hash)) writeFileSync(path, code, { mode: 0o600 });
  kept.add(hash);
  return path;
}

function makeFolder(): string {
  const made = mkdtempSync(join(tmpdir(), 'tidegate-policies-'));
  process.on('exit', () => rmSync(made, { recursive: true, force: true }));
  return made;
}
