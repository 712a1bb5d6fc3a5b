// Prints native source files, one a line, for binding.gyp:
//   core             one for each folder of native/sources.list, which includes the folder's files:
//                    compiled so, the core takes half the time
//   FOLDER           the .cc files in it
//   parts FOLDER...  the same without main.cc: what several programs share
// A folder that is not there has none.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, relative } from 'node:path/posix';

const root = new URL('../', import.meta.url);

/** Of sources as they stand in native/sources.list: each folder with its files, in their order. */
function byFolder(files) {
  const folders = new Map();
  for (const file of files) {
    const folder = dirname(file);
    folders.set(folder, [...(folders.get(folder) ?? []), file]);
  }
  return folders;
}

/** Writes the file that includes those of one folder. One that says the same stays as it is, so that make does. */
function unitOf(folder, files) {
  const unit = `build/units/${folder.replaceAll('/', '-')}.cc`;
  const text = files.map((file) => `#include "${relative('native', file)}"\n`).join('');
  const url = new URL(unit, root);
  if (!existsSync(url) || readFileSync(url, 'utf8') !== text) {
    mkdirSync(new URL('.', url), { recursive: true });
    writeFileSync(url, text);
  }
  return unit;
}

function coreSources() {
  const files = readFileSync(new URL('native/sources.list', root), 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  return [...byFolder(files)].map(([folder, members]) => unitOf(folder, members));
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
