// Measurements of what established clients notice while others flood the same proxy.
import { setTimeout as sleep } from 'node:timers/promises';
import { forgetPeak, peakOf } from './accounting.js';
import type { FloodKind } from './loads/flooder.js';
import type { LoadRequest } from './loads/load.js';
import type { WireLoad } from './loads/wires.js';
import {
  countErrors,
  mib,
  settledMemory,
  sharesBetween,
  usageNow,
  warmUpSeconds,
} from './measure.js';
import { outcomes } from './measure-policies.js';
import type { Sample } from './metrics.js';
import type { Machine } from './results.js';
import type { RunningPeer } from './running-peer.js';

/** Handshakes under way at a time, and a second: several times what one thread computes. */
const hellos = { connections: 1000, rate: 20_000 };
/** For which a flood goes on before what others notice is measured: queues are full, and what it holds is open. */
const headStart = 2;

/** Requests at a rate on kept connections, with a flood of handshakes beside them or without. */
export async function measureHandshakeFlood(
  peer: RunningPeer,
  load: WireLoad,
  request: LoadRequest,
  machine: Machine,
  flooded: boolean,
): Promise<Sample> {
  const { port, seconds } = request;
  await load.begin({ ...request, seconds: warmUpSeconds }).result;
  // It outlasts the requests: their connections are made while it goes on.
  const long = { ...hellos, port, seconds: seconds + 60 };
  const flood = flooded ? await load.clients.flood(long) : undefined;
  await sleep(headStart * 1000);
  const first = usageNow(peer, load);
  const result = await load.begin(request).result;
  const last = usageNow(peer, load);
  flood?.stop();
  const shaken = await flood?.result;
  return {
    requestsPerSecond: result.requests / result.seconds,
    p50Micros: result.p50Micros,
    p99Micros: result.p99Micros,
    errors: countErrors(result),
    ...(shaken && {
      handshakesPerSecond: shaken.requests / shaken.seconds,
      floodBusy: 100 * shaken.busy,
    }),
    ...sharesBetween(first, last, machine),
  };
}

/** Connections at a time, and bytes a second: what one client of 32 Mbit/s can do. */
const harm = { connections: 16, rate: 4_000_000 };
/** The most for which the clients are measured without a flood. */
const quietSeconds = 10;

/** Requests at a rate on kept connections, first alone and then beside a flood of HTTP/2. */
export async function measureFlood(
  peer: RunningPeer,
  load: WireLoad,
  request: LoadRequest,
  machine: Machine,
  kind: FloodKind,
): Promise<Sample> {
  const { port, seconds } = request;
  const flooder = await load.flooder();
  await load.begin({ ...request, seconds: warmUpSeconds }).result;
  const quiet = await load.begin({ ...request, seconds: Math.min(seconds, quietSeconds) }).result;
  const before = await settledMemory(peer);
  const earlier = await outcomes(peer);
  forgetPeak(peer.pids());

  // It outlasts the requests: their connections are made while it goes on.
  const flood = flooder.begin({ ...harm, kind, port, seconds: seconds + 60 });
  await sleep(headStart * 1000);
  const first = usageNow(peer, load);
  const result = await load.begin(request).result;
  const last = usageNow(peer, load);
  flood.stop();
  const harmed = await flood.result;
  const crashed = !peer.alive;
  const most = crashed ? Number.NaN : peakOf(peer.pids());
  const after = crashed ? before : await settledMemory(peer);
  const reasons = crashed ? earlier : await outcomes(peer);

  const counted = (...names: string[]) =>
    names.reduce((sum, name) => sum + (reasons.get(name) ?? 0) - (earlier.get(name) ?? 0), 0);
  return {
    requestsPerSecond: result.requests / result.seconds,
    quietP99Micros: quiet.p99Micros,
    p50Micros: result.p50Micros,
    p99Micros: result.p99Micros,
    slowdown: result.p99Micros / quiet.p99Micros,
    errors: countErrors(quiet) + countErrors(result),
    crashes: crashed ? 1 : 0,
    floodMbits: (8 * harmed.bytes) / 1e6 / harmed.seconds,
    floodConnections: harmed.opened,
    floodBusy: 100 * (1 - harmed.idle),
    floodResets: counted('flood_resets'),
    floodFrames: counted('flood_frames'),
    floodHeaders: counted('flood_headers'),
    headsTooLarge: counted('request_head_too_large'),
    heldTimedOut: counted('client_write_timeout', 'request_body_timeout'),
    rssBeforeMib: before.rssBytes / mib,
    rssMostMib: most / mib,
    rssAfterMib: after.rssBytes / mib,
    rssGrowth: 100 * (after.rssBytes / before.rssBytes - 1),
    ...sharesBetween(first, last, machine),
  };
}
