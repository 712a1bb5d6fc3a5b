// Folders that are gone when the bench ends.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const folders = new Set<string>();

export function makeFolder(name: string): string {
  const folder = mkdtempSync(path.join(tmpdir(), `tidegate-bench-${name}-`));
  folders.add(folder);
  return folder;
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  folders.delete(folder);
}

/** For the exit, when all that used them has ended. */
export function removeFolders(): void {
  for (const folder of folders) removeFolder(folder);
}
