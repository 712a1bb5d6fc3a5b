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

/** Checks the .cc files given; returns those that failed. */
export async function tidy(program, files) {
  const args = compilerArgs();
  const settings = [program, ...args, readFileSync(inRoot('.clang-tidy'), 'utf8')].join('\0');
  const keys = new Map(files.map((file) => [file, keyOf(file, settings)]));
  const passed = readCache();
  const waiting = files.filter((file) => !passed.has(keys.get(file)));
  const failed = [];

  const worker = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const { code, output } = await run(program, ['--quiet', inRoot(file), '--', ...args], {
        capture: true,
      });
      if (code === 0) {
        passed.add(keys.get(file));
        continue;
      }
      failed.push(file);
      process.stdout.write(output.replace(/^\d+ warnings.*\n/gm, ''));
    }
  };
  try {
    await Promise.all(Array.from({ length: availableParallelism() }, worker));
  } finally {
    // An interrupted run keeps what it has found out.
    const current = new Set(keys.values());
    mkdirSync(path.dirname(cacheFile), { recursive: true });
    writeFileSync(cacheFile, JSON.stringify([...passed].filter((key) => current.has(key))));
  }
  return failed;
}
