// What the package promises: entry points that have a source, exact versions, a lockfile without
// addresses, and a list of sources that is complete.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { inRoot, listFiles, readJson } from './files.mjs';

/** Every string value in a nested object, such as `exports`. */
function leaves(value) {
  return typeof value === 'string' ? [value] : Object.values(value ?? {}).flatMap(leaves);
}

function* checkEntryPoints(manifest) {
  for (const target of [...leaves(manifest.exports), ...leaves(manifest.bin)]) {
    const file = path.normalize(target);
    const source = file.replace(/^dist\//, 'src/').replace(/(\.d\.ts|\.js)$/, '.ts');
    if (!existsSync(inRoot(source))) yield `package.json: ${target} has no source ${source}`;
  }
  for (const target of leaves(manifest.bin)) {
    const source = target.replace(/^dist\//, 'src/').replace(/\.js$/, '.ts');
    if (existsSync(inRoot(source)) && !readFileSync(inRoot(source), 'utf8').startsWith('#!')) {
      yield `package.json: bin: ${source} has no #! line`;
    }
  }
  for (const file of manifest.files) {
    if (file !== 'dist' && !existsSync(inRoot(file)))
      yield `package.json: files: ${file} is not there`;
  }
}

function* checkVersions(manifest) {
  for (const group of ['dependencies', 'optionalDependencies', 'devDependencies']) {
    for (const [name, version] of Object.entries(manifest[group] ?? {})) {
      if (!/^(npm:[^@]+@)?\d+\.\d+\.\d+$/.test(version)) {
        yield `package.json: ${group}: ${name}: expected an exact version but found '${version}'`;
      }
    }
  }
}

function* checkLockfile(manifest) {
  const lockfile = readJson('package-lock.json');
  const own = lockfile.packages[''];
  for (const key of ['version', 'dependencies', 'optionalDependencies', 'devDependencies']) {
    if (JSON.stringify(own[key]) !== JSON.stringify(manifest[key])) {
      yield `package-lock.json: ${key} differs from package.json; run npm install`;
    }
  }
  for (const [name, entry] of Object.entries(lockfile.packages)) {
    if (entry.resolved) yield `package-lock.json: ${name} names an address: ${entry.resolved}`;
  }
}

function* checkSourceList() {
  const listed = readFileSync(inRoot('native/sources.list'), 'utf8').split('\n').filter(Boolean);
  const sorted = [...new Set(listed)].sort();
  if (sorted.join('\n') !== listed.join('\n')) {
    yield 'native/sources.list: expected sorted lines, each once';
  }
  const core = listFiles(['native'], ['.cc']).filter(
    (file) => !/^native\/(addon|host)\//.test(file),
  );
  for (const file of listed) {
    if (!core.includes(file)) yield `native/sources.list: ${file} is not there`;
  }
  for (const file of core) {
    if (!listed.includes(file)) yield `native/sources.list: ${file} is not listed`;
  }
}

/** One line per broken promise. */
export function checkPackage() {
  const manifest = readJson('package.json');
  return [
    ...checkEntryPoints(manifest),
    ...checkVersions(manifest),
    ...checkLockfile(manifest),
    ...checkSourceList(),
  ];
}
