// What is measured, by name.
import type { MetricName } from './metrics.js';
import type { HeaderWork, PeerName } from './peers/peer.js';

export interface Variant {
  /** Empty for the only variant. */
  name: string;
  connections: number;
  path: string;
  paths?: number;
  fresh?: number;
  upload?: number;
  /** A fixed rate: half the peak of the slowest proxy at the same requests. */
  halfOfSlowest?: boolean;
  headers?: HeaderWork;
  routes?: number;
  accessLog?: boolean;
  bufferBytes?: number;
  /** Bytes of body that a request moves, for the cost per GiB. */
  bodyBytes?: number;
}

export interface Scenario {
  name: string;
  title: string;
  /** What a reader has to know to judge the numbers. */
  note: string;
  /** load: requests for a time; idle: connections that do nothing; reload: while it reloads. */
  kind: 'load' | 'idle' | 'reload';
  /** The number that the scenario is about. */
  headline: MetricName;
  variants: readonly Variant[];
  columns: readonly MetricName[];
  /** Also compared, beside the headline. */
  ratios: readonly MetricName[];
  /** Proxies for which the scenario means nothing. */
  without: readonly PeerName[];
  /** Whether the proxy is meant to be the bottleneck. */
  saturates: boolean;
}

const mib = 1 << 20;
const plain = { path: '/b/64', connections: 64 };
const throughput: readonly MetricName[] = [
  'requestsPerSecond',
  'cpuMicros',
  'cpuUserMicros',
  'cpuSystemMicros',
  'p50Micros',
  'p99Micros',
  'errors',
  'rssMib',
  'pssMib',
  'proxyBusy',
];
const bodies = throughput.map((name): MetricName => (name === 'cpuMicros' ? 'cpuMsPerGib' : name));

const load = {
  kind: 'load',
  headline: 'cpuMicros',
  columns: throughput,
  ratios: ['requestsPerSecond'],
  without: [],
  saturates: true,
} as const;

export const scenarios: readonly Scenario[] = [
  {
    ...load,
    name: 'keepalive-64',
    title: '64-byte bodies, 64 connections kept alive',
    note: 'Tidegate as it comes (X-Forwarded-*, Via and a request id); the others add X-Forwarded-* only.',
    variants: [{ ...plain, name: '' }],
  },
  {
    ...load,
    name: 'keepalive-256',
    title: '64-byte bodies, 256 connections kept alive',
    note: 'As keepalive-64.',
    variants: [{ ...plain, name: '', connections: 256 }],
  },
  {
    ...load,
    name: 'keepalive-1k',
    title: '1 KiB bodies, 64 connections kept alive',
    note: 'As keepalive-64.',
    variants: [{ ...plain, name: '', path: '/b/1k' }],
  },
  {
    ...load,
    name: 'fixed-rate',
    title: '1 KiB bodies at a fixed rate',
    note: 'Half the peak of the slowest proxy. bench/load counts a request from when it was due, so that a stall shows in all the requests that it delayed.',
    headline: 'p99Micros',
    ratios: ['p50Micros', 'cpuMicros'],
    variants: [{ ...plain, name: '', path: '/b/1k', halfOfSlowest: true }],
    saturates: false,
  },
  {
    ...load,
    name: 'new-connection',
    title: 'A new connection for each request, 64 at a time',
    note: 'Client connections only: those to the origin are kept. The floor opens both.',
    variants: [{ ...plain, name: '', fresh: 64 }],
  },
  {
    ...load,
    name: 'headers',
    title: 'The same header work by all, 64 B, 64 connections',
    note: 'forwarded: X-Forwarded-For, -Proto and -Host and nothing else; full: also Via both ways and a new request id for each request.',
    variants: [
      { ...plain, name: 'forwarded', headers: 'forwarded' },
      { ...plain, name: 'full', headers: 'full' },
    ],
    without: ['floor'],
  },
  {
    ...load,
    name: 'download',
    title: '1 MiB bodies to the client, 16 connections',
    note: "default: each proxy's own buffers (HAProxy 16 KiB; nginx 8 of 4 KiB, and one of them for the head); 64k: buffers of 64 KiB where they can be set (HAProxy tune.bufsize, nginx proxy_buffers).",
    headline: 'cpuMsPerGib',
    columns: bodies,
    variants: [
      { name: 'default', connections: 16, path: '/b/1m', bodyBytes: mib },
      { name: '64k', connections: 16, path: '/b/1m', bodyBytes: mib, bufferBytes: 64 << 10 },
    ],
  },
  {
    ...load,
    name: 'upload',
    title: '1 MiB bodies to the origin, 16 connections',
    note: 'As download; nginx with proxy_request_buffering off, so that all of them stream (client_body_buffer_size 16 KiB by default).',
    headline: 'cpuMsPerGib',
    columns: bodies,
    variants: [
      { name: 'default', connections: 16, path: '/upload', upload: mib, bodyBytes: mib },
      {
        name: '64k',
        connections: 16,
        path: '/upload',
        upload: mib,
        bodyBytes: mib,
        bufferBytes: 64 << 10,
      },
    ],
  },
  {
    ...load,
    name: 'idle-10k',
    title: '10,000 idle connections',
    note: 'Growth of the resident anonymous memory from a proxy that has served 64 connections, by 10,000 more that sent one request each; before both readings it had to stand still for 3 s. What a proxy reserves and touches at its start is not in it (nginx: worker_connections), and neither is the memory of the kernel.',
    kind: 'idle',
    headline: 'bytesPerConnection',
    columns: ['connections', 'bytesPerConnection', 'anonymousMib', 'rssMib', 'pssMib'],
    ratios: [],
    variants: [{ ...plain, name: '', connections: 10_000 }],
    without: ['floor'],
    saturates: false,
  },
  {
    ...load,
    name: 'routes',
    title: '10 and 10,000 routes, 64 B, 64 connections',
    note: 'Each request takes another of the routes, which are path prefixes and all lead to the same upstream. HAProxy: a map file; nginx: locations.',
    variants: [
      { ...plain, name: '10', path: '/r/{n}/x', paths: 10, routes: 10 },
      { ...plain, name: '10000', path: '/r/{n}/x', paths: 10_000, routes: 10_000 },
    ],
    without: ['floor'],
  },
  {
    ...load,
    name: 'access-log',
    title: 'Access log off and on, 64 B, 64 connections',
    note: 'On: to a file in the combined format; HAProxy in its CLF format to a file as standard output (it has no buffer for that), nginx with buffer=64k flush=1s.',
    variants: [
      { ...plain, name: 'off' },
      { ...plain, name: 'on', accessLog: true },
    ],
    without: ['floor'],
  },
  {
    ...load,
    name: 'reload',
    title: '50 reloads under the load of 64 clients',
    note: 'Half of the clients keep their connection, half take a new one for each request. A reload counts when a response shows the new configuration. HAProxy in master-worker mode (SIGUSR2), the others by SIGHUP.',
    kind: 'reload',
    headline: 'failed',
    columns: ['reloads', 'failed', 'refused', 'adoptionMs', 'requestsPerSecond'],
    ratios: [],
    variants: [{ ...plain, name: '', fresh: 32 }],
    without: ['floor'],
    saturates: false,
  },
];
