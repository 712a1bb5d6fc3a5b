// Debian's Python packages, where they are installed: the interpreter that has them, and its programs.
import {
  type ChildProcessWithoutNullStreams,
  execFile,
  spawn,
  spawnSync,
} from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { endLater } from './cleanup.js';
import { Lines } from './lines.js';
import { within } from './patience.js';

/** An interpreter that knows the module; undefined where there is none. */
export function pythonWith(module: string): string | undefined {
  // Packages of the distribution are those of its own interpreter, which need not be the first one.
  return ['python3', '/usr/bin/python3'].find(
    (python) => spawnSync(python, ['-c', `import ${module}`]).status === 0,
  );
}

/** What a program prints until its end; rejects with what it says when it fails. */
export function runPython(python: string, program: URL, ...parameters: string[]): Promise<string> {
  const run = new Promise<string>((resolve, reject) => {
    execFile(python, [fileURLToPath(program), ...parameters], (error, stdout, stderr) =>
      error === null ? resolve(stdout) : reject(new Error(`${error.message}\n${stdout}${stderr}`)),
    );
  });
  return within(run, `the end of ${program.pathname}`);
}

export interface PythonServer {
  address: string;
  process: ChildProcessWithoutNullStreams;
  /** What it says on standard error. */
  log: Lines;
}

/** A program that prints its port and serves until its input ends, with the test file. */
export async function startPython(
  python: string,
  program: URL,
  ...parameters: string[]
): Promise<PythonServer> {
  const server = spawn(python, [fileURLToPath(program), ...parameters]);
  endLater('origin', () => {
    server.stdin.end();
    server.kill('SIGKILL');
  });
  const log = new Lines(server.stderr);
  const port = await new Lines(server.stdout).find('a port', (line) => line);
  return { address: `127.0.0.1:${port}`, process: server, log };
}
