// clang-tidy over our C++, skipping what has passed before: a file is checked again when it, one of
// our headers that it includes, or the settings have changed. Needs no compile_commands.json.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { inRoot } from './files.mjs';
import { nodeFolder } from './native-build.mjs';
import { run } from './processes.mjs';

const cacheFile = inRoot('build/lint/tidy.json');
const unitFolder = 'build/lint/units';
/** What clang-tidy tells about when it comes in by #include; as HeaderFilterRegex of the settings, and sources. */
const ourFiles = String.raw`(^|/)(native|test|bench)/.*\.(h|cc)$`;
const includeFolders = ['native', 'test/native'];

/** Node's headers come last: only the addon uses them. */
function compilerArgs() {
  const systemFolders = [inRoot('node_modules/node-addon-api')];
  const node = nodeFolder();
  if (node) systemFolders.push(path.join(node, 'include/node'));
  return [
    '-std=c++20',
    '-fno-exceptions',
    '-fno-rtti',
    '-Wall',
    '-Wextra',
    '-Wpedantic',
    '-DNAPI_VERSION=8',
    '-DNODE_ADDON_API_DISABLE_CPP_EXCEPTIONS',
    ...includeFolders.flatMap((folder) => ['-I', inRoot(folder)]),
    ...systemFolders.flatMap((folder) => ['-isystem', folder]),
  ];
}

/** The file and every header of ours that it includes, directly or not. */
function withHeaders(file, seen = new Set()) {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, name] of readFileSync(inRoot(file), 'utf8').matchAll(
    /^\s*#\s*include\s+"([^"]+)"/gm,
  )) {
    const header = [path.dirname(file), ...includeFolders]
      .map((folder) => path.normalize(path.join(folder, name)))
      .find((candidate) => existsSync(inRoot(candidate)));
    if (header) withHeaders(header, seen);
  }
  return seen;
}

function keyOf(file, settings) {
  const hash = createHash('sha256').update(settings);
  for (const each of [...withHeaders(file)].sort())
    hash.update(each).update(readFileSync(inRoot(each)));
  return hash.digest('hex');
}

function readCache() {
  try {
    return new Set(JSON.parse(readFileSync(cacheFile, 'utf8')));
  } catch {
    return new Set();
  }
}

/**
 * What is checked at a time: the files of a folder of the core as one translation unit, because most of the time goes into the
 * headers that they share; every other file by itself.
 */
function unitsOf(files) {
  const units = new Map();
  for (const file of files) {
    const folder = path.dirname(file);
    const name = folder.startsWith('native/') ? folder : file;
    units.set(name, [...(units.get(name) ?? []), file]);
  }
  return [...units].map(([name, members]) => ({ name, files: members }));
}

/** The file to hand to clang-tidy, in our tree so that it finds the settings. */
function sourceOf({ name, files }) {
  if (files.length === 1) return inRoot(files[0]);
  const source = inRoot(path.join(unitFolder, `${name.replaceAll('/', '-')}.cc`));
  const includes = files.map((file) => `#include "${inRoot(file)}"`).join('\n');
  writeFileSync(
    source,
    `// NOLINTBEGIN(bugprone-suspicious-include)\n${includes}\n// NOLINTEND(bugprone-suspicious-include)\n`,
  );
  return source;
}

/** Checks the .cc files given; returns those that failed. */
export async function tidy(program, files) {
  const args = compilerArgs();
  const settings = [program, ...args, readFileSync(inRoot('.clang-tidy'), 'utf8')].join('\0');
  const keys = new Map(files.map((file) => [file, keyOf(file, settings)]));
  const passed = readCache();
  const waiting = unitsOf(files.filter((file) => !passed.has(keys.get(file))));
  // The long ones first, so that no processor waits at the end for the last of them.
  waiting.sort((a, b) => b.files.length - a.files.length);
  mkdirSync(inRoot(unitFolder), { recursive: true });
  const failed = [];

  const check = async (unit) => {
    const { code, output } = await run(
      program,
      ['--quiet', '--header-filter', ourFiles, sourceOf(unit), '--', ...args],
      { capture: true },
    );
    if (code === 0) {
      for (const file of unit.files) passed.add(keys.get(file));
    } else if (unit.files.length > 1) {
      // One of them is wrong, or two of them have a name in common that is wrong of neither.
      waiting.push(...unit.files.map((file) => ({ name: file, files: [file] })));
    } else {
      failed.push(unit.name);
      process.stdout.write(output.replace(/^\d+ warnings.*\n/gm, ''));
    }
  };
  const worker = async () => {
    for (let unit = waiting.shift(); unit !== undefined; unit = waiting.shift()) await check(unit);
  };
  try {
    await Promise.all(Array.from({ length: availableParallelism() }, worker));
  } finally {
    // An interrupted run keeps what it has found out.
    const current = new Set(keys.values());
    writeFileSync(cacheFile, JSON.stringify([...passed].filter((key) => current.has(key))));
  }
  return failed;
}
