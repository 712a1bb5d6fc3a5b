// Measurements of what established clients notice while others flood the same proxy.
import { setTimeout as sleep } from 'node:timers/promises';
import type { LoadRequest } from './loads/load.js';
import type { WireLoad } from './loads/wires.js';
import { countErrors, sharesBetween, usageNow, warmUpSeconds } from './measure.js';
import type { Sample } from './metrics.js';
import type { Machine } from './results.js';
import type { RunningPeer } from './running-peer.js';

/** Handshakes under way at a time, and a second: several times what one thread computes. */
const hellos = { connections: 1000, rate: 20_000 };
/** For which a flood goes on before what others notice is measured, so that queues are full. */
const headStart = 0.5;

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
