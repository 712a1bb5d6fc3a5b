// The repository's files: where they are, and a digest of their contents.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));

/** Absolute path of a file of the repository. */
export function inRoot(...parts) {
  return path.join(root, ...parts);
}

/**
 * Files under the given paths (relative to the root), sorted; a path that is not there has none.
 * `extensions` (with the dot) restricts what a folder contributes; a path that is a file is kept.
 */
export function listFiles(paths, extensions) {
  const files = [];
  const visit = (relative) => {
    for (const entry of readdirSync(inRoot(relative), { withFileTypes: true })) {
      const child = `${relative}/${entry.name}`;
      if (entry.isDirectory()) visit(child);
      else if (!extensions || extensions.includes(path.extname(entry.name))) files.push(child);
    }
  };
  for (const each of paths) {
    if (!existsSync(inRoot(each))) continue;
    if (statSync(inRoot(each)).isDirectory()) visit(each);
    else files.push(each);
  }
  return [...new Set(files)].sort();
}

/** A digest of the names and contents of the files, and of the other facts given. */
export function digestOf(files, facts = []) {
  const hash = createHash('sha256');
  for (const file of files)
    hash
      .update(`${file}\0`)
      .update(readFileSync(inRoot(file)))
      .update('\0');
  for (const fact of facts) hash.update(`${fact}\0`);
  return hash.digest('hex');
}

export function readJson(relative) {
  return JSON.parse(readFileSync(inRoot(relative), 'utf8'));
}
