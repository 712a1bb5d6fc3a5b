import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadAddon } from '../../src/engine/addon.js';
import { startAddonCore } from '../../src/engine/addonCore.js';
import { startHostCore } from '../../src/engine/hostCore.js';
import type { Core, CoreOptions } from '../../src/engine/types.js';
import { readCounter, sumSlot } from '../../src/observe/slots.js';
import { answering, hostPath, snapshotOf } from './support.js';

const options: CoreOptions = {
  ioThreads: 2,
  pinCpus: [],
  maxConnections: 100,
  policyWorkers: 0,
  limitCounters: 1024,
  replayMemory: 0,
};

const implementations: [string, (options: CoreOptions) => Promise<Core>][] = [
  ['the addon', startAddonCore],
  ['the bare host', (settings) => startHostCore(hostPath, settings)],
];

describe.each(implementations)('the core as %s', (_name, start) => {
  let core: Core;

  beforeEach(async () => {
    core = await start(options);
  });

  afterEach(() => core.stop());

  /** Adopts and returns the address of the only listener. */
  async function apply(input: Parameters<typeof snapshotOf>[0]): Promise<string> {
    const [listener] = await core.apply(await snapshotOf(input));
    return listener?.address ?? '';
  }

  const get = async (address: string) => (await fetch(`http://${address}/`)).text();

  async function counter(name: string): Promise<number> {
    const stats = await core.stats();
    const index = core.tables.counters.findIndex((info) => info.name === name);
    return stats.threads.reduce((sum, _, thread) => sum + readCounter(stats, thread, index), 0);
  }

  it('starts its threads, with the tables that are compiled in', () => {
    const { counters, reasons, durationBounds } = loadAddon();
    expect(core.threadCount).toBe(2);
    expect(core.tables.counters).toEqual(counters);
    expect(core.tables.reasons).toEqual(reasons);
    expect(core.tables.durationBounds).toEqual(durationBounds);
  });

  it('binds the listeners of a snapshot and names the ports that it got', async () => {
    const [listener] = await core.apply(await snapshotOf(answering('hello')));
    expect(listener).toEqual({
      name: 'public',
      bind: '127.0.0.1:0',
      address: expect.stringMatching(/^127\.0\.0\.1:[1-9]\d*$/),
    });
    expect(await get(listener?.address ?? '')).toBe('hello');
  });

  it('adopts another snapshot behind the same socket', async () => {
    const address = await apply(answering('one'));
    expect(await apply(answering('two'))).toBe(address);
    expect(await get(address)).toBe('two');
  });

  it('refuses a snapshot that it cannot read, and keeps the one in force', async () => {
    const address = await apply(answering('one'));
    await expect(core.apply(Uint8Array.of(0xc1))).rejects.toMatchObject({
      name: 'EngineError',
      code: 'snapshot_invalid',
    });
    await expect(core.apply(new Uint8Array(0))).rejects.toMatchObject({ code: 'snapshot_invalid' });
    expect(await get(address)).toBe('one');
  });

  it('refuses a snapshot whole when one of its listeners cannot be bound', async () => {
    const address = await apply(answering('one'));
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const taken = `127.0.0.1:${(other.address() as AddressInfo).port}`;
    const next = answering('two', {
      listeners: [
        { name: 'public', bind: '127.0.0.1:0' },
        { name: 'taken', bind: taken },
      ],
    });
    await expect(core.apply(await snapshotOf(next))).rejects.toMatchObject({
      code: 'bind_failed',
      message: expect.stringContaining(taken),
    });
    expect(await get(address)).toBe('one');
    other.close();
  });

  it('leaves no socket file behind of a snapshot that it refuses', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tg-'));
    const path = join(folder, 'new.sock');
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const listener = { name: 'unix', bind: `unix:${path}` };
    const taken = { name: 'taken', bind: `127.0.0.1:${(other.address() as AddressInfo).port}` };
    const unbindable = answering('two', { listeners: [listener, taken] });
    await expect(core.apply(await snapshotOf(unbindable))).rejects.toMatchObject({
      code: 'bind_failed',
    });
    expect(existsSync(path)).toBe(false);
    const unloggable = answering('two', {
      listeners: [listener],
      accessLog: { output: join(folder, 'missing', 'access.log') },
    });
    await expect(core.apply(await snapshotOf(unloggable))).rejects.toMatchObject({
      code: 'access_log_failed',
    });
    expect(existsSync(path)).toBe(false);
    await apply(answering('three', { listeners: [listener] }));
    expect(existsSync(path)).toBe(true);
    await core.stop();
    expect(existsSync(path)).toBe(false);
    other.close();
    rmSync(folder, { recursive: true });
  });

  it('counts what its threads do', async () => {
    const address = await apply(answering('hello'));
    expect(await counter('requests')).toBe(0);
    await get(address);
    await get(address);
    expect(await counter('requests')).toBe(2);
  });

  it('counts by the slot of a route, in chunks that are added as they are needed', async () => {
    const routes = Array.from({ length: 200 }, (_, i) => ({
      name: `route-${i}`,
      match: { path: `/${i}` },
      respond: { status: 204 },
    }));
    const address = await apply(answering('', { routes }));
    const { chunks } = (await core.stats()).threads[0] ?? { chunks: [] };
    expect(chunks.length).toBeGreaterThan(3);
    await fetch(`http://${address}/199`);
    // An exchange is counted at its end: a moment after its client has the response.
    const totals = await vi.waitFor(async () => {
      const stats = await core.stats();
      const slots = Array.from({ length: chunks.length * 64 }, (_, i) => sumSlot(stats, i, 15));
      const used = slots.filter(({ requests }) => requests > 0);
      expect(used).toHaveLength(1);
      return used;
    });
    expect(totals[0]).toMatchObject({ requests: 1, statusClasses: [0, 1, 0, 0, 0], active: 0 });
    expect(totals[0]?.durations.reduce((sum, value) => sum + value, 0)).toBe(1);
  });

  it('knows the states of its endpoints', async () => {
    const dead = createServer().listen(0, '127.0.0.1');
    await once(dead, 'listening');
    const endpoint = `127.0.0.1:${(dead.address() as AddressInfo).port}`;
    dead.close();
    await once(dead, 'close');
    const address = await apply({
      listeners: [{ name: 'public', bind: '127.0.0.1:0' }],
      routes: [{ name: 'all', match: { path: '/*' }, upstream: 'u', retries: { attempts: 0 } }],
      upstreams: [
        {
          name: 'u',
          endpoints: [endpoint],
          health: { passive: { failures: 1, downFor: '1h' } },
        },
      ],
    });
    const status = { upstream: 'u', address: endpoint, active: 0 };
    expect(await core.endpoints()).toEqual([{ ...status, up: true, downForMillis: 0 }]);
    expect((await fetch(`http://${address}/`)).status).toBe(502);
    expect(await core.endpoints()).toEqual([
      { ...status, up: false, downForMillis: expect.any(Number) },
    ]);
  });

  it('drains: refuses new clients, closes idle ones, and says when none is left', async () => {
    const address = await apply(answering('hello'));
    const [host = '', port] = address.split(':');
    const socket = connect(Number(port), host);
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(socket, 'data');
    expect(await core.drained()).toBe(false);
    const closed = once(socket.resume(), 'close');
    await core.drain();
    await closed;
    await vi.waitFor(async () => expect(await core.drained()).toBe(true), { timeout: 10_000 });
    await expect(get(address)).rejects.toThrow();
  });

  it('opens the access log again where it was', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-log-'));
    const path = join(folder, 'access.log');
    const address = await apply(
      answering('hello', { accessLog: { format: 'common', output: path } }),
    );
    await get(address);
    const lines = (file: string) =>
      existsSync(file) ? readFileSync(file, 'utf8').split('\n').length - 1 : 0;
    await vi.waitFor(() => expect(lines(path)).toBe(1), { timeout: 5000 });
    renameSync(path, `${path}.1`);
    await core.reopenLogs();
    // The old file may still get what was on its way.
    await vi.waitFor(
      async () => {
        await get(address);
        expect(lines(path)).toBeGreaterThan(0);
      },
      { timeout: 10_000 },
    );
    expect(lines(`${path}.1`)).toBeGreaterThan(0);
    rmSync(folder, { recursive: true });
    await expect(core.reopenLogs()).rejects.toMatchObject({ code: 'access_log_failed' });
  });

  it('stops once, and then refuses everything', async () => {
    const address = await apply(answering('hello'));
    await core.stop();
    await core.stop();
    expect(await core.ended).toBeUndefined();
    await expect(get(address)).rejects.toThrow();
    const calls = [core.drain(), core.drained(), core.endpoints(), core.reopenLogs(), core.stats()];
    for (const result of await Promise.allSettled(calls)) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'core_stopped' } });
    }
  });
});

describe('starting the core', () => {
  it('says that the bare host is not there', async () => {
    await expect(startHostCore('/nowhere/tidegate_host', options)).rejects.toMatchObject({
      code: 'core_missing',
      message: expect.stringContaining('/nowhere/tidegate_host'),
    });
  });

  it('says that what was named as the bare host is none', async () => {
    await expect(startHostCore('/bin/false', options)).rejects.toMatchObject({ code: 'core_died' });
  });
});
