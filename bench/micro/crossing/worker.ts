// A policy worker as the product has it, on the bench's addon.
import { workerData } from 'node:worker_threads';
import { loadAddon } from '../../../src/engine/addon.js';
import type { PumpTask } from '../../../src/workers/messages.js';
import pump from '../../../src/workers/pump.js';

/** The thread's `workerData`. */
export interface WorkerData {
  /** Path of the bench's addon. */
  addon: string;
  task: PumpTask;
}

const { addon, task } = workerData as WorkerData;

/** Policies get counters, which this one does not use and the bench's addon does not have. */
class NoCounters {
  close(): void {}
}

Object.assign(loadAddon([addon]), { LimitCounters: NoCounters });
await pump(task);
