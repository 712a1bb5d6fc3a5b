// What the kernel and the JavaScript engine say of this process, under the names that the field uses. Read at a scrape only:
// prom-client's own collectors would wake the control thread a hundred times a second.
import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessFacts {
  userSeconds: number;
  systemSeconds: number;
  residentBytes: number;
  heapUsedBytes: number;
  openFiles: number;
  maxFiles: number;
  /** Seconds since the epoch. */
  startTime: number;
}

const startTime = Date.now() / 1000 - process.uptime();
// Node has raised the soft limit before anything of ours runs.
const maxFiles = fileLimit().soft;

export function readProcessFacts(): ProcessFacts {
  const cpu = process.cpuUsage();
  const memory = process.memoryUsage();
  return {
    userSeconds: cpu.user / 1e6,
    systemSeconds: cpu.system / 1e6,
    residentBytes: memory.rss,
    heapUsedBytes: memory.heapUsed,
    openFiles: openFiles(),
    maxFiles,
    startTime,
  };
}

/** Counting takes a descriptor: where none is left, all are open. */
function openFiles(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return maxFiles;
  }
}

/** The limit of open files (`ulimit -n`); Infinity where there is none. */
export function fileLimit(limits = readFileSync('/proc/self/limits', 'utf8')) {
  const [, soft = '', hard = ''] = /^Max open files\s+(\S+)\s+(\S+)/m.exec(limits) ?? [];
  const read = (text: string) => (text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text));
  return { soft: read(soft), hard: read(hard) };
}
