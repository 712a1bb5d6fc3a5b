// Prints native source files, one a line, for binding.gyp: `core` is the list in native/sources.list,
// any other argument is a folder whose .cc files are meant (a folder that is not there has none).
import { existsSync, readdirSync, readFileSync } from 'node:fs';

const root = new URL('../', import.meta.url);

function coreSources() {
  return readFileSync(new URL('native/sources.list', root), 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

function folderSources(folder) {
  const url = new URL(`${folder}/`, root);
  if (!existsSync(url)) return [];
  return readdirSync(url)
    .filter((name) => name.endsWith('.cc'))
    .sort()
    .map((name) => `${folder}/${name}`);
}

const what = process.argv[2] ?? 'core';
const files = what === 'core' ? coreSources() : folderSources(what);
process.stdout.write(files.map((file) => `${file}\n`).join(''));
