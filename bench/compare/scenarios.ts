// What is measured, by name.
import { type FloodKind, floodKinds } from './loads/flooder.js';
import type { MetricName } from './metrics.js';
import type { HeaderWork, PeerName } from './peers/peer.js';
import type { PolicyWork } from './policy-work.js';
import type { Wires } from './wires.js';

export interface Variant {
  /** Empty for the only variant. */
  name: string;
  connections: number;
  path: string;
  paths?: number;
  fresh?: number;
  /** Of new connections over TLS: each resumes a session. */
  resumed?: boolean;
  upload?: number;
  /** Plain HTTP/1 on both sides unless given. */
  wires?: Wires;
  /** Of HTTP/2: requests under way on a connection. */
  streams?: number;
  /** Each request is a unary gRPC call. */
  grpc?: boolean;
  /** A fixed rate: half the peak of the slowest proxy at the same requests. */
  halfOfSlowest?: boolean;
  headers?: HeaderWork;
  routes?: number;
  accessLog?: boolean;
  bufferBytes?: number;
  /** Bytes of body that a request moves, for the cost per GiB. */
  bodyBytes?: number;
  policies?: PolicyWork;
  /** Requests a second in all, as fast as answers come unless given. */
  rate?: number;
  /** Beside a flood of handshakes. */
  flooded?: boolean;
  /** Beside this flood of HTTP/2. */
  flood?: FloodKind;
  /** Of a blocking policy: whether anybody asks for its route. */
  blocks?: boolean;
  /** Instead of the scenario's. */
  peers?: readonly PeerName[];
}

export interface Scenario {
  name: string;
  title: string;
  /** What a reader has to know to judge the numbers. */
  note: string;
  /**
   * load: requests for a time; idle: connections that do nothing; reload: while it reloads; kill:
   * while its policy workers end; block: while one is held up; exact: until a limit is used up;
   * hellos: beside a flood of TLS handshakes; floods: beside one of HTTP/2.
   */
  kind: 'load' | 'idle' | 'reload' | 'kill' | 'block' | 'exact' | 'hellos' | 'floods';
  /** The number that the scenario is about. */
  headline: MetricName;
  variants: readonly Variant[];
  columns: readonly MetricName[];
  /** Also compared, beside the headline. */
  ratios: readonly MetricName[];
  /** Those for which it means something. */
  peers: readonly PeerName[];
  /** Length of one measurement, where it is not for the user to choose. */
  seconds?: number;
  /** Threads that forward and, beside them, Tidegate's policy workers; one each unless given. */
  threads?: number;
  policyWorkers?: number;
  /** Tidegate may use all cores, load and origin with it. */
  everyCore?: boolean;
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

const proxies: readonly PeerName[] = ['tidegate', 'haproxy', 'nginx'];

const load = {
  kind: 'load',
  headline: 'cpuMicros',
  columns: throughput,
  ratios: ['requestsPerSecond'],
  peers: [...proxies, 'floor'],
  saturates: true,
} as const;

/** Without policies, beside whatever has them. */
const nothingOn: Variant = { ...plain, name: 'nothing on', peers: proxies };
const tidegateOnly = { peers: ['tidegate'] } as const;

const policyScenarios: readonly Scenario[] = [
  {
    ...load,
    name: 'policies-crossing',
    title:
      'API key, rate limit and header edits, decided anew for each request, 64 B, 64 connections',
    note: 'crossing: Tidegate with api-key (100 keys), rate-limit by consumer, and a policy of the bench that sets a header of the request and one of the response; replayFor 0, so that each request goes to the policy worker, which shares the core with the I/O thread. nothing on: the same requests, no policies.',
    variants: [
      nothingOn,
      {
        ...plain,
        ...tidegateOnly,
        name: 'crossing',
        policies: { kind: 'keys', replay: false, edit: true },
      },
    ],
  },
  {
    ...load,
    name: 'policies-replayed',
    title: 'API key, rate limit and header edits, replayed, 64 B, 64 connections',
    note: 'As policies-crossing, with verdicts that are kept: what was decided for a key is done again in the core, and charged anew.',
    variants: [
      nothingOn,
      {
        ...plain,
        ...tidegateOnly,
        name: 'replayed',
        policies: { kind: 'keys', replay: true, edit: true },
      },
    ],
  },
  {
    ...load,
    name: 'policies-jwt',
    title: '1,000 tokens of RS256 and a rate limit, 64 B, 64 connections',
    note: 'Signature, issuer, audience and expiry are checked, the limit is by subject. Tidegate: jwt and rate-limit, replayed. HAProxy: jwt_verify for each request and a stick table (http_req_rate).',
    variants: [{ ...plain, name: '', policies: { kind: 'tokens', replay: true } }],
    peers: ['tidegate', 'haproxy'],
  },
  {
    ...load,
    name: 'policies-table',
    title: 'API key and rate limit by all, 64 B, 64 connections',
    note: '100 keys, a limit of a minute by consumer, the key removed and X-Consumer-Id set. Tidegate decided: each request crosses; replayed: as it comes. HAProxy: a map file and a stick table; nginx: Lua; Node.js: @fastify/http-proxy with a hook.',
    variants: [
      { ...plain, name: 'decided', policies: { kind: 'keys', replay: false, edit: false } },
      {
        ...plain,
        ...tidegateOnly,
        name: 'replayed',
        policies: { kind: 'keys', replay: true, edit: false },
      },
    ],
    peers: ['tidegate', 'haproxy', 'nginx-lua', 'fastify'],
  },
  {
    ...load,
    ...tidegateOnly,
    name: 'policies-kill',
    title: 'A policy worker ends every second for 20 s, 64 connections',
    note: 'Two workers; a request on a connection of its own makes the one that gets it end. lost: requests in its hands, answered with policy_worker_lost, those that ended it included; unavailable and timed out: with policy_unavailable and policy_timeout; unexplained: failures at the clients for which the gateway has no reason; other failures: all but the lost ones. Each answer is held against the tag and the size of its own request. Speed after: requests/s in the seconds after the last one, in percent of those before the first.',
    kind: 'kill',
    headline: 'otherFailures',
    columns: [
      'kills',
      'lost',
      'unavailable',
      'timedOut',
      'unexplained',
      'otherFailures',
      'crossWired',
      'requestsPerSecond',
      'speedAfter',
    ],
    ratios: [],
    variants: [{ ...plain, name: '', policies: { kind: 'mortal' } }],
    seconds: 20,
    policyWorkers: 2,
    saturates: false,
  },
  {
    ...load,
    ...tidegateOnly,
    name: 'policies-block',
    title: 'A policy blocks its worker for 50 ms once a second; another route, at a fixed rate',
    note: 'Half the peak. idle: one more request once a second that no policy sees; asleep: the worker waits for 50 ms; busy: it computes for 50 ms, on the core that it shares with the I/O thread.',
    kind: 'block',
    headline: 'p99Micros',
    columns: ['requestsPerSecond', 'cpuMicros', 'p50Micros', 'p99Micros', 'errors'],
    ratios: ['p50Micros'],
    variants: [
      { ...plain, name: 'idle', halfOfSlowest: true, policies: { kind: 'blocking', busy: false } },
      {
        ...plain,
        name: 'asleep',
        blocks: true,
        halfOfSlowest: true,
        policies: { kind: 'blocking', busy: false },
      },
      {
        ...plain,
        name: 'busy',
        blocks: true,
        halfOfSlowest: true,
        policies: { kind: 'blocking', busy: true },
      },
    ],
    saturates: false,
  },
  {
    ...load,
    ...tidegateOnly,
    name: 'policies-exact',
    title: 'A limit of 50,000 requests, 8 clients at full speed for 10 s',
    note: 'Four I/O threads and four policy workers on all cores, all charging one counter. What was let through less what the limit allows has to be 0.',
    kind: 'exact',
    headline: 'excess',
    columns: ['allowed', 'admitted', 'excess', 'limited', 'errors', 'requestsPerSecond'],
    ratios: [],
    variants: [
      {
        ...plain,
        name: 'crossing',
        connections: 8,
        policies: { kind: 'limited', count: 50_000, replay: false },
      },
      {
        ...plain,
        name: 'replayed',
        connections: 8,
        policies: { kind: 'limited', count: 50_000, replay: true },
      },
    ],
    seconds: 10,
    threads: 4,
    policyWorkers: 4,
    everyCore: true,
    saturates: false,
  },
];

const overTls: Wires = { client: 'http1s', upstream: 'http1' };
const streams = { connections: 8, streams: 32, path: '/b/64' };
const usual = 'As keepalive-64. TLS 1.3, P-256, X25519, AES-128-GCM.';
const oneEach =
  'Load: bench/wires, 64 connections at a time, each for one request. TLS 1.3, P-256, X25519, AES-128-GCM.';

const protocolScenarios: readonly Scenario[] = [
  {
    ...load,
    name: 'protocols-tls',
    title: 'TLS 1.3, HTTP/1.1, 64-byte bodies, 64 connections kept alive',
    note: usual,
    variants: [{ ...plain, name: '', wires: overTls }],
    peers: proxies,
  },
  {
    ...load,
    name: 'protocols-handshake',
    title: 'A full TLS 1.3 handshake for each request',
    note: `As keepalive-64. ${oneEach} Each handshake has to be full.`,
    columns: [...throughput, 'loadBusy'],
    variants: [{ ...plain, name: '', fresh: 64, wires: overTls }],
    peers: proxies,
  },
  {
    ...load,
    name: 'protocols-resumed',
    title: 'A resumed TLS 1.3 handshake for each request',
    note: `As keepalive-64. ${oneEach} Each handshake has to resume the session of a first one (a PSK with X25519); tickets are on in all, as they come.`,
    columns: [...throughput, 'loadBusy'],
    variants: [{ ...plain, name: '', fresh: 64, resumed: true, wires: overTls }],
    peers: proxies,
  },
  {
    ...load,
    name: 'protocols-handshake-flood',
    title: '32 established TLS connections at 1,000 requests/s beside a flood of handshakes',
    note: 'Load: bench/wires, from when a request was due. The flood begins up to 20,000 handshakes a second on up to 1,000 connections at a time; each sends the same first message and is reset when the answer has come, for which the proxy has done all of its own computing. quiet: the same without the flood.',
    kind: 'hellos',
    headline: 'p99Micros',
    columns: [
      ...(['requestsPerSecond', 'p50Micros', 'p99Micros', 'handshakesPerSecond'] as const),
      ...(['errors', 'proxyBusy', 'floodBusy'] as const),
    ],
    ratios: ['handshakesPerSecond'],
    variants: [
      { ...plain, name: 'quiet', connections: 32, rate: 1000, wires: overTls },
      { ...plain, name: 'flood', connections: 32, rate: 1000, wires: overTls, flooded: true },
    ],
    peers: proxies,
    saturates: false,
  },
  {
    ...load,
    name: 'protocols-idle-tls',
    title: '5,000 idle connections over TLS 1.3',
    note: 'Load: bench/wires. Growth of the resident memory (PSS) from a proxy that has served 64 such connections, by 5,000 more that sent one request each; before both readings it had to stand still for 12 s. memory/connection is the anonymous part of it.',
    kind: 'idle',
    headline: 'residentPerConnection',
    columns: [
      ...(['connections', 'residentPerConnection', 'bytesPerConnection'] as const),
      ...(['anonymousMib', 'rssMib', 'pssMib'] as const),
    ],
    ratios: [],
    variants: [
      { ...plain, name: 'http1', connections: 5000, wires: overTls },
      {
        ...plain,
        name: 'http2',
        connections: 5000,
        wires: { client: 'http2s', upstream: 'http1' },
      },
    ],
    peers: proxies,
    saturates: false,
  },
  {
    ...load,
    name: 'protocols-http2-tls',
    title: 'HTTP/2 over TLS to the client, HTTP/1 to the origin, 8 connections of 32 streams',
    note: usual,
    variants: [{ ...streams, name: '', wires: { client: 'http2s', upstream: 'http1' } }],
    peers: proxies,
  },
  {
    ...load,
    name: 'protocols-http2',
    title: 'HTTP/2 without TLS to the client, HTTP/1 to the origin, 8 connections of 32 streams',
    note: 'As keepalive-64.',
    variants: [{ ...streams, name: '', wires: { client: 'http2', upstream: 'http1' } }],
    peers: proxies,
  },
  {
    ...load,
    name: 'protocols-http2-both',
    title: 'HTTP/2 without TLS on both sides, 8 connections of 32 streams',
    note: 'As keepalive-64. nginx has no HTTP/2 towards upstreams but for gRPC.',
    variants: [{ ...streams, name: '', wires: { client: 'http2', upstream: 'http2' } }],
    peers: ['tidegate', 'haproxy'],
  },
  {
    ...load,
    name: 'protocols-to-http2',
    title: 'HTTP/1 from 64 clients, HTTP/2 without TLS to the origin',
    note: 'As keepalive-64. http1: HTTP/1 on both sides; policies: api-key and rate-limit, decided anew for each request.',
    variants: [
      { ...plain, name: 'http1', peers: proxies },
      { ...plain, name: 'http2', wires: { client: 'http1', upstream: 'http2' } },
      {
        ...plain,
        ...tidegateOnly,
        name: 'policies',
        wires: { client: 'http1', upstream: 'http2' },
        policies: { kind: 'keys', replay: false, edit: false },
      },
    ],
    peers: ['tidegate', 'haproxy'],
  },
  {
    ...load,
    name: 'protocols-grpc',
    title: 'gRPC, unary calls with messages of 64 bytes, 8 connections of 8 streams',
    note: 'No TLS; the origin echoes. nginx: grpc_pass.',
    variants: [
      {
        name: '',
        path: '/bench.Echo/Unary',
        connections: 8,
        streams: 8,
        grpc: true,
        wires: { client: 'http2', upstream: 'http2' },
      },
    ],
    peers: proxies,
  },
  {
    ...load,
    name: 'protocols-floods',
    title: '64 clients of HTTP/2 at 2,000 requests/s beside each kind of flood',
    note: "Load: bench/wires, a request at a time on each connection, counted from when it was due. The flood: bench/floods, 16 connections that come again as soon as they are thrown out and send 32 Mbit/s together, or (zero-window, half-open-stream) open 1,000 streams a second and hold 100 each; it begins 2 s before the measurement and runs on the core of load and origin when these leave it idle, as it would come from another machine. Timeouts are Tidegate's defaults. One process for each flood; before both readings the memory had to stand still for 12 s.",
    kind: 'floods',
    headline: 'slowdown',
    columns: [
      ...(['quietP99Micros', 'p99Micros', 'slowdown', 'errors', 'crashes'] as const),
      ...(['floodMbits', 'floodBusy', 'proxyBusy', 'floodConnections'] as const),
      ...(['floodResets', 'floodFrames', 'floodHeaders', 'headsTooLarge', 'heldTimedOut'] as const),
      ...(['rssBeforeMib', 'rssMostMib', 'rssAfterMib', 'rssGrowth'] as const),
    ],
    ratios: [],
    variants: floodKinds.map((flood) => ({
      ...plain,
      name: flood,
      flood,
      rate: 2000,
      wires: { client: 'http2', upstream: 'http1' },
    })),
    peers: ['tidegate'],
    saturates: false,
  },
  {
    ...load,
    name: 'protocols-10k',
    title: '10 KiB bodies, HTTP/1 on both sides, 64 connections kept alive',
    note: 'As keepalive-64.',
    variants: [{ ...plain, name: '', path: '/b/10k' }],
    peers: proxies,
  },
];

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
    peers: proxies,
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
    note: 'Growth of the resident anonymous memory from a proxy that has served 64 connections, by 10,000 more that sent one request each; before both readings it had to stand still for 12 s. What a proxy reserves and touches at its start is not in it (nginx: worker_connections), and neither is the memory of the kernel.',
    kind: 'idle',
    headline: 'bytesPerConnection',
    columns: ['connections', 'bytesPerConnection', 'anonymousMib', 'rssMib', 'pssMib'],
    ratios: [],
    variants: [{ ...plain, name: '', connections: 10_000 }],
    peers: proxies,
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
    peers: proxies,
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
    peers: proxies,
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
    peers: proxies,
    saturates: false,
  },
  ...policyScenarios,
  ...protocolScenarios,
];
