import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { answering, hostPath, snapshotOf } from './support.js';

const children: ChildProcess[] = [];
const folder = mkdtempSync(join(tmpdir(), 'tidegate-host-'));

function host(...flags: string[]): ChildProcess {
  const child = spawn(hostPath, flags, { stdio: 'pipe' });
  children.push(child);
  return child;
}

/** The next lines of a stream, parsed. */
function jsonLines(stream: Readable | null): () => Promise<unknown> {
  const lines = createInterface({ input: stream as Readable })[Symbol.asyncIterator]();
  return async () => JSON.parse((await lines.next()).value ?? 'null');
}

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

describe('the bare host under a parent', () => {
  it('ends when its input ends, and not by a signal to the process group', async () => {
    const child = host('--io-threads', '2');
    const next = jsonLines(child.stdout);
    expect(await next()).toMatchObject({ ok: true, threads: 2 });
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1'] as const) child.kill(signal);
    child.stdin?.write('drained\n');
    expect(await next()).toEqual({ ok: true, drained: true });
    child.stdin?.end();
    expect(await once(child, 'exit')).toEqual([0, null]);
  });

  it('answers commands in order, and goes on after one that it does not know', async () => {
    const child = host();
    const next = jsonLines(child.stdout);
    await next();
    child.stdin?.write('dance\ndrained\nstop\n');
    expect(await next()).toMatchObject({ ok: false, code: 'bad_command' });
    expect(await next()).toEqual({ ok: true, drained: true });
    expect(await next()).toEqual({ ok: true });
    expect(await once(child, 'exit')).toEqual([0, null]);
  });

  it.each(['apply x\n', 'apply 999999999999\n', 'x'.repeat(1000)])(
    'ends with status 1 where it can no longer tell commands from payload: %.12s',
    async (line) => {
      const child = host();
      child.stdin?.on('error', () => {});
      child.stdin?.write(line);
      expect(await once(child, 'exit')).toEqual([1, null]);
    },
  );

  it.each([['--io-threads', '0'], ['--io-threads'], ['--colour', 'red'], ['--pin-cpus', '1,x']])(
    'refuses the flags %s %s',
    async (...flags) => {
      const child = host(...flags);
      expect(await once(child, 'exit')).toEqual([2, null]);
    },
  );
});

describe('the bare host alone', () => {
  async function startAlone() {
    const file = join(folder, 'snapshot');
    writeFileSync(file, await snapshotOf(answering('one')));
    const child = host('--snapshot', file);
    const next = jsonLines(child.stderr);
    const ready = (await next()) as { listeners: { address: string }[] };
    return { file, child, next, url: `http://${ready.listeners[0]?.address}/` };
  }

  it('serves a snapshot, reads it again by SIGHUP, and drains by SIGTERM', async () => {
    const { file, child, next, url } = await startAlone();
    expect(await (await fetch(url)).text()).toBe('one');
    writeFileSync(file, await snapshotOf(answering('two')));
    child.kill('SIGHUP');
    await next();
    expect(await (await fetch(url)).text()).toBe('two');
    writeFileSync(file, 'not a snapshot');
    child.kill('SIGHUP');
    expect(await next()).toMatchObject({ error: 'snapshot_invalid' });
    await vi.waitFor(async () => expect(await (await fetch(url)).text()).toBe('two'));
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
    rmSync(folder, { recursive: true });
  });

  it('says that there is no such file', async () => {
    const child = host('--snapshot', '/nowhere/snapshot');
    const next = jsonLines(child.stderr);
    expect(await next()).toMatchObject({
      error: 'snapshot_invalid',
      message: 'cannot read /nowhere/snapshot',
    });
    expect(await once(child, 'exit')).toEqual([1, null]);
  });
});
