// However a process ends, the I/O threads have ended before it runs its exit handlers: no crash, and the status that was asked for.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it, onTestFinished } from 'vitest';
import { addonPath, answering, snapshotOf } from './support.js';

/** For the process and for workers in it: an engine under load, and waiting until it is at work. */
const functions = (snapshot: string) => `
  const { parentPort, Worker } = require('node:worker_threads');
  const { Agent, get } = require('node:http');
  let counters;
  function start() {
    const { Engine } = require(${JSON.stringify(addonPath())});
    const engine = new Engine({ ioThreads: 2, pinCpus: [], maxConnections: 100, policyWorkers: 0, limitCounters: 1024, replayMemory: 0 });
    const [{ address }] = engine.apply(Buffer.from('${snapshot}', 'base64'));
    counters = [0, 1].map((thread) => new BigUint64Array(engine.counterBuffer(thread)));
    const agent = new Agent({ keepAlive: true, maxSockets: 8 });
    const ask = () => {
      const answered = (response) => response.resume().once('end', ask);
      get('http://' + address, { agent }, answered).on('error', () => {});
    };
    for (let i = 0; i < 8; i += 1) ask();
    return engine;
  }
  function busy() {
    return new Promise((resolve) => {
      const look = () => {
        if (counters.some((numbers) => numbers.some((n) => n > 100n))) resolve();
        else setImmediate(look);
      };
      look();
    });
  }
  const fail = () => setImmediate(() => { throw new Error('expected'); });
`;

/** Runs a script with the functions above and `inWorker(code)`. */
async function run(script: string) {
  const shared = functions(Buffer.from(await snapshotOf(answering('hello'))).toString('base64'));
  const text = `
    ${shared}
    const inWorker = (code) => new Worker(${JSON.stringify(shared)} + code, { eval: true });
    (async () => { ${script} })();
  `;
  const child = spawn(process.execPath, ['-e', text], { stdio: ['ignore', 'inherit', 'pipe'] });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    errors += chunk;
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [status, signal] = await once(child, 'close');
  return { status, signal, errors: errors.includes('Error: expected') ? '' : errors };
}

// Each case starts a process, some with a worker: slow where other suites have the processors.
describe('the I/O threads of a process end with it', { timeout: 60_000 }, () => {
  it.each([
    [3, 'by process.exit', 'start(); await busy(); process.exit(3);'],
    [
      4,
      'by process.exit in an exit handler',
      `process.on('exit', () => process.exit(4)); start(); await busy(); process.exit(3);`,
    ],
    [1, 'by an uncaught error', 'start(); await busy(); fail();'],
    [1, 'by a rejection', `start(); await busy(); throw new Error('expected');`],
    [0, 'after two stops', 'const e = start(); await busy(); e.stop(); e.stop(); process.exit();'],
    [0, 'when nothing is left to do', 'const e = start(); await busy(); e.drain();'],
    [
      5,
      'while a worker has threads of its own',
      `start();
       const worker = inWorker('start(); busy().then(() => parentPort.postMessage(1));');
       worker.once('message', () => process.exit(5));`,
    ],
    [
      7,
      'after a worker that had some has exited',
      `inWorker('start(); busy().then(() => process.exit(7));').once('exit', (code) => process.exit(code));`,
    ],
    [
      8,
      'after a worker that had some has failed',
      `const worker = inWorker('start(); busy().then(fail);');
       worker.once('error', () => worker.once('exit', () => process.exit(8)));`,
    ],
    [
      9,
      'after a worker that had some was terminated, and with others since',
      `const worker = inWorker('start(); busy().then(() => parentPort.postMessage(1));');
       worker.once('message', async () => {
         await worker.terminate();
         start();
         await busy();
         process.exit(9);
       });`,
    ],
  ])('with status %i %s', async (status, _how, script) => {
    expect(await run(script)).toEqual({ status, signal: null, errors: '' });
  });

  it('by a signal that nobody handles', async () => {
    const script = `start(); await busy(); process.kill(process.pid, 'SIGTERM');`;
    expect(await run(script)).toEqual({ status: null, signal: 'SIGTERM', errors: '' });
  });
});
