// V8's helper threads, which compile and collect garbage for the control thread and the policy workers: they give way to I/O
// threads that want the same processor.
import { opendirSync, readFileSync } from 'node:fs';
import { availableParallelism, constants, getPriority, setPriority } from 'node:os';

const tasks = '/proc/self/task';

/**
 * Steps of niceness: a fifteenth of the share. An optimised compilation takes tens of milliseconds, and of two threads with
 * equal shares each waits for the other for a tick of the kernel, 1 to 10 ms. Never SCHED_IDLE: a collection has to wait for
 * the helper that has a part of it, and on a processor that is full the helper would not run for seconds.
 */
const stepsBehind = 12;

/** As newer releases of Node.js call them; others call every thread alike. */
const helperName = 'V8Worker';

/** --v8-pool-size of a process that does not set it. */
const defaultPoolSize = 4;

export interface Thread {
  id: number;
  name: string;
}

/** For `tidegate run`, before there are threads of ours. What the kernel refuses stays as it is. */
export function putHelpersBehind(): void {
  const niceness = Math.min(getPriority() + stepsBehind, constants.priority.PRIORITY_LOW);
  const options = `${process.env['NODE_OPTIONS'] ?? ''} ${process.execArgv.join(' ')}`;
  for (const { id } of helpersAmong(threads(), options)) {
    try {
      setPriority(id, niceness);
    } catch {
      // It has ended, or is nicer already.
    }
  }
}

/**
 * Of the threads of this process, in the order in which they began. Where they have no names of their own: Node.js makes one
 * for delayed tasks after the first, and then the helpers; those of libuv's pool come later, and must not be among them, since
 * signatures are verified there.
 */
export function helpersAmong(all: readonly Thread[], nodeOptions: string): Thread[] {
  const named = all.filter(({ name }) => name.includes(helperName));
  return named.length > 0 ? named : all.slice(2, 2 + poolSize(nodeOptions));
}

/** The last one counts; 0 asks for one for each processor but one. */
function poolSize(nodeOptions: string): number {
  const given = [...nodeOptions.matchAll(/--v8[-_]pool[-_]size[= ](\d+)/g)].at(-1)?.[1];
  if (given === undefined) return defaultPoolSize;
  return Number(given) || Math.max(1, availableParallelism() - 1);
}

// As the kernel lists them, which is the order of their beginning; readdir() would sort them by text.
function threads(): Thread[] {
  const found: Thread[] = [];
  const folder = opendirSync(tasks);
  try {
    for (let entry = folder.readSync(); entry !== null; entry = folder.readSync()) {
      found.push({ id: Number(entry.name), name: nameOf(entry.name) });
    }
  } finally {
    folder.closeSync();
  }
  return found;
}

function nameOf(id: string): string {
  try {
    return readFileSync(`${tasks}/${id}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}
