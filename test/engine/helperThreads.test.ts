import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism, getPriority } from 'node:os';
import { describe, expect, it } from 'vitest';
import { helpersAmong } from '../../src/engine/helperThreads.js';
import { startGateway } from '../support/gateway.js';

function threads(...names: string[]) {
  return names.map((name, index) => ({ id: 100 + index, name }));
}

const alike = threads(...Array<string>(12).fill('node'));

/** The niceness of each thread of a process, by its name. */
function nicenessOf(pid: number): { name: string; niceness: number }[] {
  return readdirSync(`/proc/${pid}/task`).map((id) => {
    const stat = readFileSync(`/proc/${pid}/task/${id}/stat`, 'utf8');
    const after = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return {
      name: stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')')),
      niceness: Number(after[16]),
    };
  });
}

describe("V8's helper threads", () => {
  it('are known by their name where they have one', () => {
    const named = threads('node-MainThread', 'DelayedTaskSche', 'V8Worker', 'libuv-worker');
    expect(
      helpersAmong([...named, { id: 9, name: 'node-V8Worker' }], '').map(({ id }) => id),
    ).toEqual([102, 9]);
  });

  it.each([
    ['', 4],
    ['--v8-pool-size=2', 2],
    ['--max-old-space-size=100 --v8-pool-size 6 --inspect', 6],
    ['--v8_pool_size=6 --v8-pool-size=1', 1],
    ['--v8-pool-size=0', Math.max(1, availableParallelism() - 1)],
  ])('are those that begin after the first two, with options "%s"', (options, count) => {
    const ids = helpersAmong(alike, options).map(({ id }) => id);
    expect(ids).toEqual(alike.slice(2, 2 + count).map(({ id }) => id));
  });

  it('give way to I/O threads, and nobody else does', async () => {
    const gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: hello, match: { path: /* }, respond: { body: hello } }]`);
    const found = nicenessOf(gateway.pid);
    const behind = found.filter(({ niceness }) => niceness > getPriority());
    expect(behind.map(({ niceness }) => niceness)).toEqual(
      Array(4).fill(Math.min(getPriority() + 12, 19)),
    );
    expect(behind.filter(({ name }) => name.startsWith('tidegate'))).toEqual([]);
    await gateway.stop();
  });
});
