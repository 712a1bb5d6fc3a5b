// The cores that a process of the bench may run on, and has to.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { UsageError } from './command-line.js';

/** The cores that this process may run on. */
export function allowedCores(): number[] {
  const status = readFileSync('/proc/self/status', 'utf8');
  return parseCpuList(/^Cpus_allowed_list:\s*(.*)$/m.exec(status)?.[1] ?? '0');
}

/** Has all threads of this process run on these cores, and what they start. Needs taskset (package util-linux). */
export function keepTo(cores: readonly number[]): void {
  try {
    execFileSync('taskset', ['-acp', cores.join(','), String(process.pid)], { stdio: 'pipe' });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw new UsageError('the bench needs taskset (package util-linux)');
    }
    throw error;
  }
}

/** A list of CPUs as the kernel writes it: "0-3,8". */
export function parseCpuList(text: string): number[] {
  return text
    .trim()
    .split(',')
    .filter((part) => part !== '')
    .flatMap((part) => {
      const [first = '', last = first] = part.split('-');
      const count = Number(last) - Number(first) + 1;
      return Array.from({ length: count }, (_, i) => Number(first) + i);
    });
}
