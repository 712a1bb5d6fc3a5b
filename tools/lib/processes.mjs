// Child processes: run one to its end, pass signals on, fail with a message that says what to do.
import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import path from 'node:path';
import { root } from './files.mjs';

/** An end that is explained by its message alone, without a stack. */
export class Failure extends Error {
  constructor(message, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Absolute path of a program on the PATH (or of a path that is given), or undefined. */
export function findProgram(name) {
  const candidates = name.includes('/')
    ? [path.resolve(root, name)]
    : (process.env.PATH ?? '').split(path.delimiter).map((folder) => path.join(folder, name));
  return candidates.find((candidate) => {
    try {
      accessSync(candidate, constants.X_OK);
      return statSync(candidate).isFile();
    } catch {
      return false;
    }
  });
}

const exitCodeOf = (signal) => 128 + osConstants.signals[signal];

/**
 * Runs a program to its end; resolves to its exit code (128 + n after signal n) and, with `capture`,
 * what it printed. SIGINT and SIGTERM are passed on, and once the child has ended they are a Failure.
 */
export function run(command, args, { env, capture = false, input, onLine } = {}) {
  return new Promise((resolve, reject) => {
    const piped = capture || onLine !== undefined;
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: [
        input === undefined ? 'inherit' : 'pipe',
        piped ? 'pipe' : 'inherit',
        capture ? 'pipe' : 'inherit',
      ],
    });
    // At a terminal, Ctrl-C has reached the child already.
    let interruptedBy;
    const forward = (signal) => {
      interruptedBy = signal;
      if (signal === 'SIGTERM' || !process.stdin.isTTY) child.kill(signal);
    };
    process.on('SIGINT', forward).on('SIGTERM', forward);

    let output = '';
    let partialLine = '';
    const collect = (text) => {
      if (capture) output += text;
      if (!onLine) return;
      const lines = (partialLine + text).split('\n');
      partialLine = lines.pop();
      lines.forEach(onLine);
    };
    child.stdout?.setEncoding('utf8').on('data', collect);
    child.stderr?.setEncoding('utf8').on('data', collect);
    // A child that ends before it has read its input shows by its exit code.
    child.stdin?.on('error', () => {}).end(input);

    const settle = (action) => {
      process.off('SIGINT', forward).off('SIGTERM', forward);
      action();
    };
    child.on('error', (error) => settle(() => reject(error)));
    child.on('close', (code, signal) => {
      if (partialLine !== '') onLine?.(partialLine);
      settle(() => {
        if (interruptedBy) reject(new Failure('interrupted', exitCodeOf(interruptedBy)));
        else resolve({ code: code ?? exitCodeOf(signal), output });
      });
    });
  });
}

/** Like `run`, but an exit code other than 0 is a Failure; `what` completes "could not …". */
export async function runOrFail(what, command, args, options) {
  const result = await run(command, args, options);
  if (result.code === 0) return result;
  if (result.output) process.stderr.write(result.output);
  throw new Failure(`could not ${what} (exit code ${result.code})`, result.code);
}

/** The whole of a tool: a Failure is its message and its exit code. */
export async function main(task) {
  try {
    if (Number.parseInt(process.versions.node, 10) < 20) {
      throw new Failure(`expected Node 20 or newer but this is ${process.versions.node}`);
    }
    process.exitCode = (await task()) ?? 0;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    console.error(`tidegate: ${error.message}`);
    process.exitCode = error.exitCode;
  }
}
