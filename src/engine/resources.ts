// What the machine has for the core: processors to run on, descriptors for connections.
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseCpuList } from '../config/address.js';
import { fileLimit } from '../observe/processFacts.js';
import type { CoreOptions } from './types.js';

/** The process's settings, flags and file already merged. */
export interface ResourceSettings {
  ioThreads: 'auto' | number;
  /** true: thread i on the i-th CPU that the process may use. */
  pinCpus: boolean | number[];
  maxConnections: 'auto' | number;
  /** auto: one for four I/O threads. */
  policyWorkers: 'auto' | number;
  /** Rounded up to a power of two. */
  limitCounters: number;
  /** Bytes, of each I/O thread. */
  replayMemory: number;
}

/** Descriptors that are not for connections: listeners, event loops, logs, the control thread's own. */
const reservedFiles = 128;
const reservedFilesPerThread = 8;
/** A client's connection, and one to an endpoint for it. */
const filesPerConnection = 2;
const mostConnections = 1_000_000;

export function coreOptions(settings: ResourceSettings): CoreOptions {
  const ioThreads = settings.ioThreads === 'auto' ? availableParallelism() : settings.ioThreads;
  const { pinCpus, maxConnections, policyWorkers } = settings;
  return {
    ioThreads,
    pinCpus: pinCpus === true ? allowedCpus() : pinCpus === false ? [] : pinCpus,
    maxConnections: maxConnections === 'auto' ? connectionsWithin(ioThreads) : maxConnections,
    policyWorkers: policyWorkers === 'auto' ? Math.ceil(ioThreads / 4) : policyWorkers,
    limitCounters: 2 ** Math.ceil(Math.log2(settings.limitCounters)),
    replayMemory: settings.replayMemory,
  };
}

/** Connections that the hard limit of open files has room for. The core raises the soft limit as far as it can. */
export function connectionsWithin(ioThreads: number, files = fileLimit().hard): number {
  const free = files - reservedFiles - ioThreads * reservedFilesPerThread;
  return Math.max(1, Math.min(mostConnections, Math.floor(free / filesPerConnection)));
}

/** The CPUs that the process may use, from the kernel's own list. */
export function allowedCpus(status = readFileSync('/proc/self/status', 'utf8')): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? '';
  const cpus = parseCpuList(list);
  return cpus.ok ? cpus.value : [];
}
