// Finding, running and building programs.
import { execFile } from 'node:child_process';
import { accessSync, constants, mkdirSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const root = fileURLToPath(new URL('../..', import.meta.url));

const execute = promisify(execFile);

/** The absolute path of a program on the PATH (and where Debian keeps daemons), or undefined. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(path.delimiter), '/usr/sbin', '/usr/bin'];
  const candidates = name.includes('/')
    ? [path.resolve(name)]
    : folders.map((folder) => path.join(folder, name));
  return candidates.find((candidate) => {
    try {
      accessSync(candidate, constants.X_OK);
      return statSync(candidate).isFile();
    } catch {
      return false;
    }
  });
}

/** What a program prints, on either stream. */
export async function outputOf(program: string, args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await execute(program, [...args], { cwd: root });
  return stdout + stderr;
}

/** The bench's own programs, by the folders of bench/ that hold their sources, and what they take of the core. */
const helpers = {
  bench_origin: { sources: ['origin'], leaveOut: [], core: [], libraries: [] },
  bench_floor: { sources: ['floor'], leaveOut: [], core: [], libraries: [] },
  bench_load: {
    sources: ['load', 'origin'],
    leaveOut: ['origin/main.cc', 'origin/server.cc'],
    core: ['frame', 'hpack_decoder', 'hpack_encoder', 'hpack_table', 'huffman'].map(
      (each) => `http2/${each}.cc`,
    ),
    libraries: ['-lssl', '-lcrypto'],
  },
  bench_floods: { sources: ['floods'], leaveOut: [], core: [], libraries: [] },
  bench_wires: { sources: ['wires'], leaveOut: [], core: [], libraries: ['-lssl', '-lcrypto'] },
} as const;

export type Helper = keyof typeof helpers;

/** Compiles a helper unless it is newer than all of its sources; returns its path. */
export async function buildHelper(name: Helper): Promise<string> {
  const bench = path.join(root, 'bench');
  const folder = path.join(root, 'build/bench');
  const target = path.join(folder, name);
  const { sources, leaveOut, core, libraries } = helpers[name];
  const files = [...sources, 'common'].flatMap((each) =>
    readdirSync(path.join(bench, each)).map((file) => `${each}/${file}`),
  );
  const native = core.map((file) => path.join(root, 'native', file));
  const read = [...files.map((file) => path.join(bench, file)), ...native];
  const newest = Math.max(...read.map((file) => statSync(file).mtimeMs));
  const built = statSync(target, { throwIfNoEntry: false });
  if (built && built.mtimeMs > newest) return target;
  mkdirSync(folder, { recursive: true });
  const units = files.filter(
    (file) => file.endsWith('.cc') && !leaveOut.some((each) => each === file),
  );
  const flags = ['-std=c++20', '-O2', '-fno-exceptions', '-fno-rtti', '-pthread', '-o', target];
  await execute(process.env['CXX'] ?? 'g++', [
    ...flags,
    ...['-I', path.join(root, 'native')],
    ...units.map((file) => path.join(bench, file)),
    ...native,
    ...libraries,
  ]);
  return target;
}
