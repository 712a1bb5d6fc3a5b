// Prints native source files, one a line, for binding.gyp:
//   core             the list in native/sources.list
//   FOLDER           the .cc files in it
//   parts FOLDER...  the same without main.cc: what several programs share
// A folder that is not there has none.
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

function sources([what, ...folders]) {
  if (what === 'core') return coreSources();
  if (what !== 'parts') return folderSources(what);
  return folders.flatMap(folderSources).filter((file) => !file.endsWith('/main.cc'));
}

process.stdout.write(
  sources(process.argv.slice(2))
    .map((file) => `${file}\n`)
    .join(''),
);
