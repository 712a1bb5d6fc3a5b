// Whether something that was built is still what its inputs give: build/stamps/ holds the digest of
// the inputs of each, written after the build has succeeded.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { inRoot } from './files.mjs';

const stampFile = (name) => inRoot('build/stamps', name);

/** True when `name` was built from inputs of this digest and its outputs are still there. */
export function isFresh(name, digest, outputs) {
  const file = stampFile(name);
  return (
    existsSync(file) &&
    readFileSync(file, 'utf8') === digest &&
    outputs.every((output) => existsSync(inRoot(output)))
  );
}

export function setFresh(name, digest) {
  mkdirSync(inRoot('build/stamps'), { recursive: true });
  writeFileSync(stampFile(name), digest);
}

/** Before a build: what it leaves behind when it fails in the middle counts as nothing. */
export function setStale(name) {
  rmSync(stampFile(name), { force: true });
}
