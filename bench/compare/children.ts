// Child processes, each on its core; none outlives the bench, however it ends.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { processTree } from './accounting.js';
import { findProgram } from './programs.js';

const patience = 5000;
const keptOutput = 4000;

export interface StartOptions {
  cores: readonly number[];
  cwd?: string;
  /** Where its standard output goes instead of being collected: a descriptor. */
  stdout?: number;
  stdin?: boolean;
}

export class Child {
  /** The last of what it wrote to standard error (and output, unless that went elsewhere). */
  output = '';
  readonly ended: Promise<void>;
  #alive = true;

  readonly name: string;
  readonly process: ChildProcess;

  constructor(name: string, process: ChildProcess) {
    this.name = name;
    this.process = process;
    this.ended = once(process, 'close').then(
      () => this.#end(),
      () => this.#end(),
    );
    for (const stream of [process.stdout, process.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output = (this.output + text).slice(-keptOutput);
      });
    }
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Its pid, which is also that of the program: the wrappers in front of it replace themselves. */
  get pid(): number {
    const { pid } = this.process;
    if (pid === undefined) throw new Error(`${this.name} did not start`);
    return pid;
  }

  tree(): number[] {
    return processTree(this.pid);
  }

  #end(): void {
    this.#alive = false;
  }
}

const running = new Set<Child>();
const deathSignal = existsSync('/proc/self') && findProgram('setpriv') !== undefined;

/** 10,000 connections, and two descriptors for each where a proxy wants them, if it may be raised. */
const fileLimit = raisedFileLimit();

function raisedFileLimit(): string[] {
  const wrapper = ['prlimit', '--nofile=65536:65536'];
  const [program = '', ...args] = wrapper;
  // Being root is not enough: containers and sandboxes take the right away.
  return spawnSync(program, [...args, 'true'], { stdio: 'ignore' }).status === 0 ? wrapper : [];
}

/** Starts a program; it gets SIGTERM from the kernel should the bench be killed. */
export function start(
  name: string,
  command: readonly string[],
  { cores, cwd, stdout, stdin = false }: StartOptions,
): Child {
  const [program = '', ...args] = [
    ...(deathSignal ? ['setpriv', '--pdeathsig', 'TERM'] : []),
    ...['taskset', '-c', cores.join(',')],
    ...fileLimit,
    ...command,
  ];
  const spawned = spawn(program, args, {
    stdio: [stdin ? 'pipe' : 'ignore', stdout ?? 'pipe', 'pipe'],
    ...(cwd === undefined ? {} : { cwd }),
  });
  spawned.on('error', () => {});
  spawned.stdin?.on('error', () => {});
  const child = new Child(name, spawned);
  running.add(child);
  void child.ended.then(() => running.delete(child));
  return child;
}

/** SIGTERM, and SIGKILL for what is left of its tree after five seconds. */
export async function stop(child: Child): Promise<void> {
  if (!child.alive) return;
  const tree = child.tree();
  child.process.kill('SIGTERM');
  await Promise.race([child.ended, sleep(patience, undefined, { ref: false })]);
  if (child.alive) killAll(tree);
  await child.ended;
  // Workers of a master that ended before them.
  const deadline = Date.now() + patience;
  const workers = tree.filter((pid) => pid !== child.pid);
  while (workers.some(exists) && Date.now() < deadline) await sleep(10);
  killAll(workers);
}

export async function stopAll(): Promise<void> {
  await Promise.all([...running].map(stop));
}

/** For an exit that leaves no time to wait. */
export function killEverything(): void {
  for (const child of running) killAll(child.tree());
}

function exists(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}

function killAll(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
}
