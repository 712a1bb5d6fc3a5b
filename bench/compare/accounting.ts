// What the kernel accounts to processes and cores, read from /proc.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

/** CPU time of a process tree since its start. */
export interface CpuTime {
  /** By the scheduler, to the nanosecond, over the threads that live. */
  nanoseconds: number;
  /** Time that its threads could have run but had to wait for a core. */
  waitedNanoseconds: number;
  /** By the tick, for the share of user and system only. */
  userTicks: number;
  systemTicks: number;
}

export interface CpuSplit {
  microseconds: number;
  userMicroseconds: number;
  systemMicroseconds: number;
}

/** Ticks of one core since boot. */
export interface CoreTime {
  total: number;
  idle: number;
  stolen: number;
}

export interface Memory {
  /** What the process itself filled: no program text, no page cache, which the kernel may take back. */
  anonymousBytes: number;
  rssBytes: number;
  pssBytes: number;
}

/** Fields of /proc/PID/stat behind the name, which may itself hold spaces and parentheses. */
function statFields(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

export function parseParent(stat: string): number {
  return Number(statFields(stat)[1]);
}

export function parseTicks(stat: string): { user: number; system: number } {
  const fields = statFields(stat);
  return { user: Number(fields[11]), system: Number(fields[12]) };
}

/** The first two numbers of a schedstat file: nanoseconds on a CPU, and in wait for one. */
export function parseSchedstat(schedstat: string): { ran: number; waited: number } {
  const [ran, waited] = schedstat.split(' ').map(Number);
  return { ran: ran ?? Number.NaN, waited: waited ?? Number.NaN };
}

/** The cores of /proc/stat, by number. */
export function parseCores(stat: string): Map<number, CoreTime> {
  const cores = new Map<number, CoreTime>();
  for (const line of stat.split('\n')) {
    const match = /^cpu(\d+) (.*)$/.exec(line);
    if (!match) continue;
    // user nice system idle iowait irq softirq steal; guest time is in user already.
    const ticks = (match[2] ?? '').split(' ').map(Number).slice(0, 8);
    cores.set(Number(match[1]), {
      total: ticks.reduce((sum, each) => sum + each, 0),
      idle: (ticks[3] ?? 0) + (ticks[4] ?? 0),
      stolen: ticks[7] ?? 0,
    });
  }
  return cores;
}

/** A smaps_rollup file. */
export function parseMemory(rollup: string): Memory {
  const bytes = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(rollup)?.[1] ?? Number.NaN) * 1024;
  return {
    anonymousBytes: bytes('Anonymous'),
    rssBytes: bytes('Rss'),
    pssBytes: bytes('Pss'),
  };
}

/** What lies between two readings, split by the ticks that passed; all system when none did. */
export function cpuBetween(before: CpuTime, after: CpuTime): CpuSplit {
  const microseconds = (after.nanoseconds - before.nanoseconds) / 1000;
  const user = after.userTicks - before.userTicks;
  const ticks = user + after.systemTicks - before.systemTicks;
  const userMicroseconds = ticks === 0 ? 0 : (microseconds * user) / ticks;
  return {
    microseconds,
    userMicroseconds,
    systemMicroseconds: microseconds - userMicroseconds,
  };
}

/** Shares (0..1) of the time between two readings that a core was not idle, and was stolen. */
export function coreBetween(before: CoreTime, after: CoreTime): { busy: number; stolen: number } {
  const total = after.total - before.total;
  if (total <= 0) return { busy: 0, stolen: 0 };
  return {
    busy: 1 - (after.idle - before.idle) / total,
    stolen: (after.stolen - before.stolen) / total,
  };
}

/** A file of /proc, or undefined when its process has just ended. */
function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function listProc(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** The process and all of its descendants. */
export function processTree(pid: number): number[] {
  const childrenOf = new Map<number, number[]>();
  for (const name of listProc('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = readProc(`/proc/${name}/stat`);
    if (stat === undefined) continue;
    const parent = parseParent(stat);
    childrenOf.set(parent, [...(childrenOf.get(parent) ?? []), Number(name)]);
  }
  const tree = [pid];
  for (const each of tree) tree.push(...(childrenOf.get(each) ?? []));
  return tree;
}

export function cpuTime(pids: readonly number[]): CpuTime {
  const sum: CpuTime = { nanoseconds: 0, waitedNanoseconds: 0, userTicks: 0, systemTicks: 0 };
  for (const pid of pids) {
    for (const thread of listProc(`/proc/${pid}/task`)) {
      const schedstat = readProc(`/proc/${pid}/task/${thread}/schedstat`);
      if (schedstat === undefined) continue;
      const { ran, waited } = parseSchedstat(schedstat);
      sum.nanoseconds += ran;
      sum.waitedNanoseconds += waited;
    }
    const stat = readProc(`/proc/${pid}/stat`);
    if (stat === undefined) continue;
    const ticks = parseTicks(stat);
    sum.userTicks += ticks.user;
    sum.systemTicks += ticks.system;
  }
  return sum;
}

export function memoryOf(pids: readonly number[]): Memory {
  const sum: Memory = { anonymousBytes: 0, rssBytes: 0, pssBytes: 0 };
  for (const pid of pids) {
    const rollup = readProc(`/proc/${pid}/smaps_rollup`);
    if (rollup === undefined || rollup === '') continue;
    const memory = parseMemory(rollup);
    sum.anonymousBytes += memory.anonymousBytes;
    sum.rssBytes += memory.rssBytes;
    sum.pssBytes += memory.pssBytes;
  }
  return sum;
}

/** The most that was resident at a time, from /proc/PID/status: bytes. */
export function parsePeak(status: string): number {
  return 1024 * Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN);
}

/** From now on peakOf() says what was resident since now. */
export function forgetPeak(pids: readonly number[]): void {
  for (const pid of pids) writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

/** The kernel keeps it: whoever looks again and again takes time from what is measured. */
export function peakOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + parsePeak(readProc(`/proc/${pid}/status`) ?? ''), 0);
}

export function coreTimes(): Map<number, CoreTime> {
  return parseCores(readFileSync('/proc/stat', 'utf8'));
}
