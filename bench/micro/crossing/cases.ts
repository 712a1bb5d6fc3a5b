// What a crossing costs, from an I/O side that asks for a decision to the verdict in its hands: descriptor, channel, bell, port and
// pump of a policy worker in a thread of its own, a policy that only allows, and the way back. HTTP is not part of it.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { MessageChannel, Worker } from 'node:worker_threads';
import { newCounterSecret } from '../../../src/policy/counterKey.js';
import type { FromWorker, PolicySet, ToWorker } from '../../../src/workers/messages.js';
import { UsageError } from '../../common/command-line.js';
import { allowedCores, keepTo } from '../../common/cores.js';
import type { BarCase } from '../cases.js';
import type { WorkerData } from './worker.js';

interface CrossingAddon {
  /** CPU of the whole process and time that passed, in microseconds a crossing. Holds this thread up. */
  measure(inFlight: number, crossings: number): [cpu: number, wall: number];
}

const addonPath = fileURLToPath(
  new URL('../../../build/Release/bench_crossing.node', import.meta.url),
);

const set: PolicySet = {
  instances: [
    {
      id: 1,
      name: 'pass',
      file: new URL('./policy.ts', import.meta.url).href,
      options: undefined,
    },
  ],
  chains: [
    {
      id: 1,
      hook: 'decide',
      links: [
        {
          instance: 1,
          inputs: { tenant: { from: 'request', index: 0 } },
          timeout: 1000,
          onFailure: 'deny',
          mode: 'enforce',
          breaker: { failures: 10, openFor: 10_000 },
        },
      ],
    },
  ],
};

const inFlight64 = { unit: 'µs CPU each, all threads', bar: 1 };
const inFlight1 = { unit: 'µs round trip', bar: 40 };

export const crossingCases: readonly BarCase[] = [
  {
    name: 'crossing: 64 in flight, one core',
    ...inFlight64,
    measure: (seconds, onRound) => measure(1, 64, 20_000, seconds, onRound, ([cpu]) => cpu),
  },
  {
    name: 'crossing: 1 in flight, one core',
    ...inFlight1,
    measure: (seconds, onRound) => measure(1, 1, 1_000, seconds, onRound, ([, wall]) => wall),
  },
  {
    name: 'crossing: 64 in flight, two cores',
    ...inFlight64,
    measure: (seconds, onRound) => measure(2, 64, 20_000, seconds, onRound, ([cpu]) => cpu),
  },
  {
    name: 'crossing: 1 in flight, two cores',
    ...inFlight1,
    measure: (seconds, onRound) => measure(2, 1, 1_000, seconds, onRound, ([, wall]) => wall),
  },
];

/** The figure of each round on so many cores, after a second in which V8 has compiled what is hot. */
async function measure(
  cores: number,
  inFlight: number,
  crossings: number,
  seconds: number,
  onRound: (rounds: number) => void,
  figure: (costs: [cpu: number, wall: number]) => number,
): Promise<number[]> {
  const addon = createRequire(import.meta.url)(addonPath) as CrossingAddon;
  const allowed = allowedCores();
  if (allowed.length < cores) throw new UsageError(`this case needs ${cores} cores`);
  keepTo(allowed.slice(0, cores));
  const worker = await startWorker();
  try {
    const warm = performance.now() + 1000;
    while (performance.now() < warm) addon.measure(64, 10_000);
    const figures: number[] = [];
    const end = performance.now() + seconds * 1000;
    while (figures.length < 5 || performance.now() < end) {
      figures.push(figure(addon.measure(inFlight, crossings)));
      onRound(figures.length);
    }
    return figures;
  } finally {
    await worker.stop();
    keepTo(allowed);
  }
}

async function startWorker(): Promise<{ stop(): Promise<void> }> {
  const { port1, port2 } = new MessageChannel();
  const data: WorkerData = {
    addon: addonPath,
    task: { engine: 0, worker: 0, counterSecret: newCounterSecret(), set, control: port2 },
  };
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    workerData: data,
    transferList: [port2],
  });
  const ended = new Promise<void>((resolve, reject) => {
    worker.once('error', reject);
    worker.once('exit', () => resolve());
  });
  const ready = new Promise<void>((resolve) => {
    port1.on('message', (message: FromWorker) => {
      if (message.kind === 'ready') resolve();
      else console.error(message);
    });
  });
  await Promise.race([ready, ended]);
  return {
    async stop() {
      port1.postMessage({ kind: 'stop' } satisfies ToWorker);
      await ended;
      port1.close();
    },
  };
}
