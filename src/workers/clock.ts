// The clock by which a worker times its policies. Reading it is a good part of what a quick policy costs, so that what follows at
// once begins when what came before it has ended.
import { performance } from 'node:perf_hooks';

export class WorkerClock {
  /** Milliseconds, as of the last read(). */
  last = performance.now();

  read(): number {
    this.last = performance.now();
    return this.last;
  }
}
