// The native core through node-gyp, against the headers that came with the running Node.
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { digestOf, inRoot, listFiles } from './files.mjs';
import { withBuildLock } from './lock.mjs';
import { Failure, findProgram, run, runOrFail } from './processes.mjs';
import { isFresh, setFresh, setStale } from './stamps.mjs';

const sourceExtensions = ['.cc', '.h', '.list'];
const remedy = 'On Debian or Ubuntu: apt-get install -y python3 make g++';

/** What is built, from which files; executables are what tests and benches run. */
const addon = {
  stamp: 'addon',
  inputs: ['native', 'binding.gyp', 'tools/native-sources.mjs'],
  outputs: ['build/Release/tidegate.node'],
};
const executables = {
  stamp: 'executables',
  inputs: [
    ...addon.inputs,
    'test/native',
    'bench/common',
    'bench/floor',
    'bench/load',
    'bench/micro/crossing',
    'bench/origin',
  ],
  outputs: [
    ...addon.outputs,
    'build/Release/native_tests',
    'build/Release/tidegate_host',
    'build/Release/bench_floor',
    'build/Release/bench_load',
    'build/Release/bench_origin',
    'build/Release/bench_crossing.node',
  ],
};

function digest(product) {
  const { CC, CXX, CFLAGS, CXXFLAGS, LDFLAGS } = process.env;
  return digestOf(listFiles(product.inputs, sourceExtensions), [
    process.version,
    process.arch,
    ...[CC, CXX, CFLAGS, CXXFLAGS, LDFLAGS].map((value) => value ?? ''),
  ]);
}

/**
 * The folder whose include/node holds the running Node's headers, or undefined: then node-gyp
 * looks for them in its own way, which may download them.
 */
export function nodeFolder() {
  const beside = path.resolve(process.execPath, '../..');
  const candidates = [beside, process.env.npm_config_nodedir].filter(Boolean);
  return candidates.find((folder) => {
    const header = path.join(folder, 'include/node/node_version.h');
    if (!existsSync(header)) return false;
    const major = /#define NODE_MAJOR_VERSION (\d+)/.exec(readFileSync(header, 'utf8'))?.[1];
    return process.versions.node.startsWith(`${major}.`);
  });
}

/** npm brings node-gyp: it names it to scripts that it runs, elsewhere it lies beside node. */
function nodeGyp() {
  const npms = [
    'lib/node_modules/npm/node_modules',
    'share/nodejs',
    'share/nodejs/npm/node_modules',
  ];
  const candidates = [
    process.env.npm_config_node_gyp,
    ...npms.map((folder) =>
      path.resolve(process.execPath, '../..', folder, 'node-gyp/bin/node-gyp.js'),
    ),
  ];
  const found = candidates.find((candidate) => candidate && existsSync(candidate));
  if (!found) {
    throw new Failure('cannot build the native core: npm, which brings node-gyp, was not found');
  }
  return found;
}

/** Programs outside of Node have no OpenSSL in their process. */
async function requireOpenSsl(program, flags) {
  const link = ['-x', 'c++', '-', '-o', '/dev/null', '-lssl', '-lcrypto'];
  const { code } = await run(program, [...flags, ...link], {
    capture: true,
    input: 'int main() {}\n',
  });
  if (code === 0) return;
  throw new Failure(
    'cannot build the programs of tests and benches: they link OpenSSL, which is not here.\n' +
      '  On Debian or Ubuntu: apt-get install -y libssl-dev openssl',
  );
}

async function requireTools(product) {
  const missing = (what) => new Failure(`cannot build the native core: ${what}.\n  ${remedy}`);
  const python = process.env.npm_config_python ?? process.env.PYTHON;
  if (![python, 'python3', 'python'].some((name) => name && findProgram(name))) {
    throw missing('python3 is not on the PATH');
  }
  if (!findProgram(process.env.MAKE ?? 'make')) throw missing('make is not on the PATH');
  const compiler = process.env.CXX ?? 'g++';
  const [program, ...flags] = compiler.split(/\s+/);
  if (!findProgram(program)) throw missing(`the C++ compiler ${program} is not on the PATH`);
  const { code, output } = await run(
    program,
    [...flags, '-std=c++20', '-fsyntax-only', '-x', 'c++', '-'],
    {
      capture: true,
      input: '#include <bit>\n#include <concepts>\n#include <ranges>\n#include <span>\n',
    },
  );
  if (code !== 0) {
    const first = output.split('\n').slice(0, 3).join('\n  ');
    throw missing(
      `${compiler} does not compile C++20; g++ 12 or newer does, and clang 16 or newer\n  ${first}`,
    );
  }
  if (product === executables) await requireOpenSsl(program, flags);
}

async function build(product) {
  await requireTools(product);
  const folder = nodeFolder();
  if (!folder) {
    console.error(
      `tidegate: no headers of Node ${process.versions.node} in include/node beside ` +
        `${process.execPath}; node-gyp looks for them itself (npm_config_nodedir names a folder)`,
    );
  }
  const gyp = (command, ...rest) => [
    nodeGyp(),
    command,
    '--loglevel=error',
    ...(folder ? [`--nodedir=${folder}`] : []),
    ...rest,
  ];
  const withExecutables = product === executables ? 1 : 0;
  await runOrFail('configure the native build', process.execPath, [
    ...gyp('configure', '--', `-Dtidegate_executables=${withExecutables}`),
  ]);
  await runOrFail('build the native core', process.execPath, [
    ...gyp('build', '--jobs', `${availableParallelism()}`),
  ]);
}

/** Builds the addon, and the executables when asked, unless they are what the sources give. */
export async function buildNative({ executables: wantsExecutables = false } = {}) {
  const product = wantsExecutables ? executables : addon;
  if (isFresh(product.stamp, digest(product), product.outputs)) return;
  await withBuildLock(async () => {
    // Taken again: another build may have made it meanwhile.
    const current = digest(product);
    const ofAddon = digest(addon);
    if (isFresh(product.stamp, current, product.outputs)) return;
    console.error('tidegate: building the native core');
    setStale(addon.stamp);
    setStale(product.stamp);
    await build(product);
    setFresh(addon.stamp, ofAddon);
    setFresh(product.stamp, current);
  });
}

/** Where an executable of the node-gyp build is. */
export function builtExecutable(name) {
  return inRoot('build/Release', name);
}
