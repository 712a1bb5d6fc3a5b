// Upstreams of the configuration to those of the snapshot; endpoints that are names have been resolved before.
import { formatAddress, joinHostPort, type SocketAddress } from '../config/address.js';
import type { UpstreamSettings } from '../config/index.js';
import { limit } from './limit.js';
import type { MetricSlots } from './metricSlots.js';
import type { SnapshotUpstream, SnapshotUpstreamTls } from './snapshot.js';

const algorithms = {
  'round-robin': 'roundRobin',
  'least-connections': 'leastConnections',
} as const;

/** `addresses` maps each host name of an endpoint to its IP address; `fetched`: policies may fetch from it. */
export function compileUpstream(
  upstream: UpstreamSettings,
  addresses: ReadonlyMap<string, string>,
  slots: MetricSlots,
  fetched = false,
  tls: SnapshotUpstreamTls | undefined = undefined,
): SnapshotUpstream {
  const { hostHeader, timeouts, pool, limits, retries, health } = upstream;
  return {
    name: upstream.name,
    metricSlot: slots.slotOf({ kind: 'upstream', upstream: upstream.name }),
    balance: algorithms[upstream.balance],
    protocol: upstream.protocol,
    hostHeader: hostHeader.kind,
    hostLiteral: hostHeader.kind === 'literal' ? hostHeader.value : '',
    endpoints: upstream.endpoints.map(({ address, weight }) => ({
      address: address.written,
      connectTo: connectTo(address.target, addresses),
      weight,
      serverName: upstream.tls === undefined ? '' : serverName(upstream.tls, address.target),
      metricSlot: slots.slotOf({
        kind: 'endpoint',
        upstream: upstream.name,
        endpoint: address.written,
      }),
    })),
    connectTimeout: timeouts.connect,
    firstByteTimeout: limit(timeouts.firstByte),
    idleTimeout: limit(timeouts.idle),
    poolMaxIdle: pool.maxIdle,
    poolIdleTimeout: pool.idleTimeout,
    poolMaxAge: limit(pool.maxAge),
    poolMaxRequests: limit(pool.maxRequests),
    poolMaxStreams: pool.maxStreams,
    poolPingInterval: limit(pool.pingInterval),
    poolPingTimeout: pool.pingTimeout,
    responseHeaderBytes: limits.responseHeaderBytes,
    responseHeaderCount: limits.responseHeaderCount,
    retries: retries.attempts,
    passiveFailures: health.passive === false ? 0 : health.passive.failures,
    ...(health.passive === false ? {} : { passiveDownFor: health.passive.downFor }),
    ...(tls === undefined ? {} : { tls }),
    ...(fetched ? { fetchSlot: slots.slotOf({ kind: 'fetch', upstream: upstream.name }) } : {}),
  };
}

function connectTo(target: SocketAddress, addresses: ReadonlyMap<string, string>): string {
  if (target.kind !== 'name') return formatAddress(target);
  const address = addresses.get(target.host);
  if (address === undefined) throw new Error(`${target.host} was not resolved`);
  return joinHostPort(address, target.port);
}

function serverName(
  { serverName: written }: NonNullable<UpstreamSettings['tls']>,
  target: SocketAddress,
): string {
  if (written !== undefined) return written;
  return target.kind === 'unix' ? '' : target.host;
}
