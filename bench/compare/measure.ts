// One measurement: a proxy under one load, idle, or while it reloads.
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type CoreTime,
  type CpuTime,
  coreBetween,
  coreTimes,
  cpuBetween,
  cpuTime,
  type Memory,
  memoryOf,
} from './accounting.js';
import type { Load, LoadRequest, LoadResult } from './loads/load.js';
import type { Sample } from './metrics.js';
import type { Machine } from './results.js';
import type { RunningPeer } from './running-peer.js';
import { median } from './stats.js';

export const mib = 1 << 20;
export const warmUpSeconds = 1;
/** Left out at both ends of a run when it is asked who used the cores. */
const edge = 0.2;
/** Bytes by which memory may change while it stands still. */
const memoryJitter = 64 << 10;
const reloads = 50;
/** Milliseconds in which a master whose workers serve already ends what it does for a reload. */
const reloadPause = 100;
/** Longer than 50 reloads of any of them take. */
const reloadSeconds = 120;

/** Who used the cores up to a moment. */
export interface Usage {
  at: number;
  cores: Map<number, CoreTime>;
  proxy: CpuTime;
  load: CpuTime;
}

export function usageNow(peer: RunningPeer, load: Load): Usage {
  return {
    at: performance.now(),
    cores: coreTimes(),
    proxy: cpuTime(peer.pids()),
    load: cpuTime([...load.pids(), process.pid]),
  };
}

type Shares = Pick<Sample, 'proxyBusy' | 'foreign' | 'stolen'>;

/** Percent of the time between two readings. */
export function sharesBetween(before: Usage, after: Usage, machine: Machine): Shares {
  const microseconds = (after.at - before.at) * 1000;
  const core = (number: number) => {
    const [first, last] = [before.cores.get(number), after.cores.get(number)];
    return first && last ? coreBetween(first, last) : { busy: 0, stolen: 0 };
  };
  const proxy = core(machine.proxyCore);
  const others = machine.loadCores.map(core);
  const own = (use: 'proxy' | 'load') =>
    cpuBetween(before[use], after[use]).microseconds / microseconds;
  const waited = after.proxy.waitedNanoseconds - before.proxy.waitedNanoseconds;
  const foreignToProxy = proxy.busy - proxy.stolen - own('proxy');
  const foreignToLoad =
    others.reduce((sum, each) => sum + each.busy - each.stolen, 0) - own('load');
  return {
    // Not how busy its core was: other programs use what a proxy leaves.
    proxyBusy: Math.min(
      100,
      (100 * (own('proxy') + waited / 1e3 / microseconds)) / (1 - proxy.stolen),
    ),
    foreign: 100 * Math.max(0, foreignToProxy, foreignToLoad / others.length),
    stolen: 100 * Math.max(proxy.stolen, ...others.map((each) => each.stolen)),
  };
}

/** The answers and connections that failed. */
export function countErrors({ errors }: LoadResult): number {
  return errors.refused + errors.connect + errors.broken + errors.status + errors.timeout;
}

/** Requests for a time, after a second that is not counted. */
export async function measureLoad(
  peer: RunningPeer,
  load: Load,
  request: LoadRequest,
  machine: Machine,
  bodyBytes: number | undefined,
): Promise<Sample> {
  await load.begin({ ...request, seconds: warmUpSeconds }).result;
  const before = cpuTime(peer.pids());
  const running = load.begin(request);
  await sleep(edge * 1000);
  const first = usageNow(peer, load);
  await sleep((request.seconds - 2 * edge) * 1000);
  const last = usageNow(peer, load);
  const memory = memoryOf(peer.pids());
  const result = await running.result;
  const cpu = cpuBetween(before, cpuTime(peer.pids()));
  const requests = Math.max(1, result.requests);
  return {
    requestsPerSecond: result.requests / result.seconds,
    cpuMicros: cpu.microseconds / requests,
    cpuUserMicros: cpu.userMicroseconds / requests,
    cpuSystemMicros: cpu.systemMicroseconds / requests,
    ...(bodyBytes !== undefined && {
      cpuMsPerGib: cpu.microseconds / 1000 / ((requests * bodyBytes) / (1024 * mib)),
    }),
    p50Micros: result.p50Micros,
    p99Micros: result.p99Micros,
    errors: countErrors(result),
    rssMib: memory.rssBytes / mib,
    pssMib: memory.pssBytes / mib,
    ...sharesBetween(first, last, machine),
    ...(Number.isFinite(result.busy) && { loadBusy: 100 * result.busy }),
  };
}

/** V8 gives back what a process that rests does not need after eight seconds, and often in several steps. */
const standsStillMillis = 12_000;
const standsStillWithinMillis = 60_000;

/** The memory once it has stood still for long enough that no garbage collector is to come, or after a minute. */
export async function settledMemory(peer: RunningPeer): Promise<Memory> {
  let memory = memoryOf(peer.pids());
  let since = performance.now();
  for (const end = since + standsStillWithinMillis; performance.now() < end; ) {
    await sleep(100);
    const next = memoryOf(peer.pids());
    if (Math.abs(next.anonymousBytes - memory.anonymousBytes) > memoryJitter) {
      memory = next;
      since = performance.now();
    } else if (performance.now() - since > standsStillMillis) {
      return next;
    }
  }
  return memory;
}

/** How much more is resident for connections that do nothing. */
export async function measureIdle(
  peer: RunningPeer,
  load: Load,
  request: LoadRequest,
): Promise<Sample> {
  await load.begin({ ...request, connections: 64, seconds: warmUpSeconds }).result;
  const before = await settledMemory(peer);
  const { port, path, wire } = request;
  const connections = await load.hold(port, request.connections, path, wire);
  const after = await settledMemory(peer);
  await load.release();
  const perConnection = (bytes: number) => bytes / Math.max(1, connections);
  return {
    connections,
    bytesPerConnection: perConnection(after.anonymousBytes - before.anonymousBytes),
    residentPerConnection: perConnection(after.pssBytes - before.pssBytes),
    anonymousMib: after.anonymousBytes / mib,
    rssMib: after.rssBytes / mib,
    pssMib: after.pssBytes / mib,
  };
}

/** Reloads one after the other while clients ask, each until a response shows it. */
export async function measureReload(
  peer: RunningPeer,
  load: Load,
  request: LoadRequest,
): Promise<Sample> {
  const running = load.begin({ ...request, seconds: reloadSeconds });
  const times: number[] = [];
  for (let generation = 1; generation <= reloads; generation += 1) {
    const millis = await peer.reload(generation);
    if (millis !== undefined) times.push(millis);
    await sleep(reloadPause);
  }
  running.stop();
  const result = await running.result;
  const { refused } = result.errors;
  return {
    reloads: times.length,
    failed: countErrors(result) - refused,
    refused,
    adoptionMs: median(times),
    requestsPerSecond: result.requests / result.seconds,
  };
}
