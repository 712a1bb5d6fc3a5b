// Measurements of Tidegate's policies that are more than requests for a time.
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuBetween, cpuTime } from './accounting.js';
import type { Load, LoadRequest } from './loads/load.js';
import { countErrors, warmUpSeconds } from './measure.js';
import type { Sample } from './metrics.js';
import type { RunningPeer } from './running-peer.js';

const second = 1000;
/** Undisturbed seconds before the first worker ends, and after the last one has. */
const calmSeconds = 3;
/** A window of the clock must not end while a limit is measured: what has to be left of an hour. */
const windowMargin = 30 * second;
const hour = 3600 * second;

/** The reasons of exchanges that ended as they were meant to, or that the load itself ended. */
const harmless = new Set(['none', 'client_closed']);

/** Exchanges by the reason for which they ended, from the text of `/metrics`. */
export function outcomesOf(metrics: string): Map<string, number> {
  const lines = metrics.matchAll(
    /^tidegate_exchange_outcomes_total\{[^}]*reason="([^"]+)"[^}]*\} (\S+)$/gm,
  );
  return new Map([...lines].map(([, reason = '', count]) => [reason, Number(count)]));
}

/** The same, asked of a proxy. */
export async function outcomes({ adminPort }: RunningPeer): Promise<Map<string, number>> {
  const answer = await fetch(`http://127.0.0.1:${adminPort}/metrics`);
  return outcomesOf(await answer.text());
}

/** Ends a worker every second under load, and holds every answer against its request. */
export async function measureKill(
  peer: RunningPeer,
  load: Load,
  request: LoadRequest,
): Promise<Sample> {
  const calm = { ...request, tagged: true, seconds: calmSeconds };
  const rate = async () => {
    const result = await load.begin(calm).result;
    return { ...result, perSecond: result.requests / result.seconds };
  };
  await load.begin({ ...calm, seconds: warmUpSeconds }).result;
  const before = await rate();
  const earlier = await outcomes(peer);
  const running = load.begin({ ...request, tagged: true });
  let kills = 0;
  for (; kills < request.seconds - 1; kills += 1) {
    await sleep(second);
    await peer.ask(request.path, { 'x-die': '1' });
  }
  const result = await running.result;
  const reasons = await outcomes(peer);
  const after = await rate();

  const counted = (reason: string) => (reasons.get(reason) ?? 0) - (earlier.get(reason) ?? 0);
  const lost = counted('policy_worker_lost');
  const failures = [...reasons.keys()].filter((reason) => !harmless.has(reason)).map(counted);
  const withReason = failures.reduce((sum, each) => sum + each, 0);
  // What clients saw fail and no reason accounts for; each killer's own request is not theirs.
  const unexplained = Math.max(0, countErrors(result) - (withReason - kills));
  return {
    kills,
    lost,
    unavailable: counted('policy_unavailable'),
    timedOut: counted('policy_timeout'),
    unexplained,
    otherFailures: withReason - lost + unexplained + countErrors(before) + countErrors(after),
    crossWired: result.errors.crossed + before.errors.crossed + after.errors.crossed,
    requestsPerSecond: result.requests / result.seconds,
    speedAfter: (100 * after.perSecond) / before.perSecond,
  };
}

/**
 * Requests at a rate, while once a second another one blocks a worker, or is one of them. The load asks for it: this
 * process would take a millisecond of its core each time.
 */
export async function measureBlock(
  peer: RunningPeer,
  load: Load,
  request: LoadRequest,
  blocks: boolean,
): Promise<Sample> {
  await load.begin({ ...request, seconds: warmUpSeconds }).result;
  const before = cpuTime(peer.pids());
  const result = await load.begin({ ...request, aside: blocks ? '/blocked/' : request.path })
    .result;
  const cpu = cpuBetween(before, cpuTime(peer.pids()));
  return {
    requestsPerSecond: result.requests / result.seconds,
    cpuMicros: cpu.microseconds / Math.max(1, result.requests),
    p50Micros: result.p50Micros,
    p99Micros: result.p99Micros,
    errors: countErrors(result),
  };
}

/** Requests past a limit, all in one window. */
export async function measureExact(
  load: Load,
  request: LoadRequest,
  allowed: number,
): Promise<Sample> {
  const left = hour - (Date.now() % hour);
  if (left < request.seconds * second + windowMargin) await sleep(left);
  const result = await load.begin(request).result;
  const { limited, ...errors } = result.errors;
  return {
    allowed,
    admitted: result.requests,
    excess: result.requests - allowed,
    limited,
    errors: countErrors({ ...result, errors: { ...errors, limited } }) - limited,
    requestsPerSecond: (result.requests + limited) / result.seconds,
  };
}
