// What Tidegate is meant to show; a run says which of it was met.
import { floodKinds } from './loads/flooder.js';
import type { MetricName } from './metrics.js';
import type { PeerName } from './peers/peer.js';
import type { ScenarioResult, VariantResult } from './results.js';
import { median } from './stats.js';

interface Bar {
  what: string;
  scenario: string;
  variant: string;
  metric: MetricName;
  /** What Tidegate's median is divided by; undefined: it stands alone. */
  against?: { peer: PeerName; variant?: string } | { variant: string };
  /** Met when the value is at most, or at least, this. */
  atMost?: number;
  atLeast?: number;
}

/** The same bar against HAProxy and nginx: together, against the better of both. */
function againstBoth(bar: Omit<Bar, 'against' | 'variant'> & { variant?: string }): Bar[] {
  return (['haproxy', 'nginx'] as const).map((peer) => ({
    variant: '',
    ...bar,
    what: `${bar.what}, against ${peer}`,
    against: { peer },
  }));
}

const protocolBars: readonly Bar[] = [
  ...againstBoth({
    what: 'CPU/request, TLS 1.3, HTTP/1 kept alive, 64 B',
    scenario: 'protocols-tls',
    metric: 'cpuMicros',
    atMost: 0.8,
  }),
  ...againstBoth({
    what: 'CPU of a full TLS 1.3 handshake and its request',
    scenario: 'protocols-handshake',
    metric: 'cpuMicros',
    atMost: 1,
  }),
  ...againstBoth({
    what: 'CPU of a resumed TLS 1.3 handshake and its request',
    scenario: 'protocols-resumed',
    metric: 'cpuMicros',
    // 1.1 times as many of them in the same time.
    atMost: 0.91,
  }),
  ...againstBoth({
    what: 'p99 of established connections beside a flood of handshakes',
    scenario: 'protocols-handshake-flood',
    variant: 'flood',
    metric: 'p99Micros',
    atMost: 1,
  }),
  ...['http1', 'http2'].flatMap((variant) =>
    againstBoth({
      what: `resident memory per idle TLS connection, ${variant}`,
      scenario: 'protocols-idle-tls',
      variant,
      metric: 'residentPerConnection',
      atMost: 1,
    }),
  ),
  ...againstBoth({
    what: 'CPU/request, HTTP/2 over TLS to HTTP/1, 8 × 32 streams',
    scenario: 'protocols-http2-tls',
    metric: 'cpuMicros',
    atMost: 0.6,
  }),
  ...againstBoth({
    what: 'CPU/request, HTTP/2 on both sides, 8 × 32 streams',
    scenario: 'protocols-http2-both',
    metric: 'cpuMicros',
    atMost: 0.4,
  }),
  ...againstBoth({
    what: 'CPU/request, HTTP/1 from 64 clients to HTTP/2',
    scenario: 'protocols-to-http2',
    variant: 'http2',
    metric: 'cpuMicros',
    atMost: 0.6,
  }),
  {
    what: 'the same, against HAProxy with HTTP/1 on both sides',
    scenario: 'protocols-to-http2',
    variant: 'http2',
    metric: 'cpuMicros',
    against: { peer: 'haproxy', variant: 'http1' },
    atMost: 0.55,
  },
  {
    what: 'the same with api-key and rate-limit decided each time, against HAProxy with HTTP/1 on both sides',
    scenario: 'protocols-to-http2',
    variant: 'policies',
    metric: 'cpuMicros',
    against: { peer: 'haproxy', variant: 'http1' },
    atMost: 0.75,
  },
  ...againstBoth({
    what: 'CPU/call, unary gRPC, 8 × 8 streams',
    scenario: 'protocols-grpc',
    metric: 'cpuMicros',
    atMost: 0.5,
  }),
  ...(['download', 'upload'] as const).flatMap((scenario) =>
    againstBoth({
      what: `CPU/GiB of 1 MiB bodies, ${scenario}, buffers of 64 KiB`,
      scenario,
      variant: '64k',
      metric: 'cpuMsPerGib',
      atMost: 0.8,
    }),
  ),
  ...againstBoth({
    what: 'CPU/request, 10 KiB bodies',
    scenario: 'protocols-10k',
    metric: 'cpuMicros',
    atMost: 0.85,
  }),
  ...againstBoth({
    what: 'CPU/request, a new connection for each',
    scenario: 'new-connection',
    metric: 'cpuMicros',
    atMost: 0.9,
  }),
];

const floodBars = floodKinds.flatMap((variant): Bar[] => {
  const bar = { scenario: 'protocols-floods', variant };
  return [
    {
      ...bar,
      what: `p99 of others beside a flood, ${variant}, against before`,
      metric: 'slowdown',
      atMost: 2,
    },
    {
      ...bar,
      what: `growth of the memory by a flood, %, ${variant}`,
      metric: 'rssGrowth',
      atMost: 10,
    },
    { ...bar, what: `requests of others that failed, ${variant}`, metric: 'errors', atMost: 0 },
    { ...bar, what: `crashes in a flood, ${variant}`, metric: 'crashes', atMost: 0 },
  ];
});

export const bars: readonly Bar[] = [
  {
    what: 'CPU/request, keep-alive, 64 B, against HAProxy',
    scenario: 'keepalive-64',
    variant: '',
    metric: 'cpuMicros',
    against: { peer: 'haproxy' },
    atMost: 0.75,
  },
  {
    what: 'CPU/request, keep-alive, 64 B, against nginx',
    scenario: 'keepalive-64',
    variant: '',
    metric: 'cpuMicros',
    against: { peer: 'nginx' },
    atMost: 0.9,
  },
  {
    what: 'requests/s under the same load, against HAProxy',
    scenario: 'keepalive-64',
    variant: '',
    metric: 'requestsPerSecond',
    against: { peer: 'haproxy' },
    atLeast: 1,
  },
  {
    what: 'requests/s under the same load, against nginx',
    scenario: 'keepalive-64',
    variant: '',
    metric: 'requestsPerSecond',
    against: { peer: 'nginx' },
    atLeast: 1,
  },
  {
    what: 'resident memory per idle connection, bytes',
    scenario: 'idle-10k',
    variant: '',
    metric: 'bytesPerConnection',
    // Less than one is no memory: something else was given back meanwhile.
    atLeast: 1,
    atMost: 1024,
  },
  {
    what: 'CPU/request with 10,000 routes against 10',
    scenario: 'routes',
    variant: '10000',
    metric: 'cpuMicros',
    against: { variant: '10' },
    atMost: 1.05,
  },
  {
    what: 'CPU/GiB of 1 MiB bodies to the client, against HAProxy',
    scenario: 'download',
    variant: 'default',
    metric: 'cpuMsPerGib',
    against: { peer: 'haproxy' },
    atMost: 1,
  },
  {
    what: 'CPU/GiB of 1 MiB bodies to the origin, against HAProxy',
    scenario: 'upload',
    variant: 'default',
    metric: 'cpuMsPerGib',
    against: { peer: 'haproxy' },
    atMost: 1,
  },
  {
    what: 'requests that failed in 50 reloads under load',
    scenario: 'reload',
    variant: '',
    metric: 'failed',
    atMost: 0,
  },
  {
    what: 'connections refused in 50 reloads under load',
    scenario: 'reload',
    variant: '',
    metric: 'refused',
    atMost: 0,
  },
  {
    what: 'CPU/request with policies that cross, against HAProxy with nothing on',
    scenario: 'policies-crossing',
    variant: 'crossing',
    metric: 'cpuMicros',
    against: { peer: 'haproxy', variant: 'nothing on' },
    atMost: 0.95,
  },
  {
    what: 'CPU/request with policies replayed, against HAProxy with nothing on',
    scenario: 'policies-replayed',
    variant: 'replayed',
    metric: 'cpuMicros',
    against: { peer: 'haproxy', variant: 'nothing on' },
    atMost: 0.8,
  },
  {
    what: 'CPU/request with policies replayed, against nothing on',
    scenario: 'policies-replayed',
    variant: 'replayed',
    metric: 'cpuMicros',
    against: { variant: 'nothing on' },
    atMost: 1.1,
  },
  {
    what: 'CPU/request with RS256 tokens and a limit, against HAProxy',
    scenario: 'policies-jwt',
    variant: '',
    metric: 'cpuMicros',
    against: { peer: 'haproxy' },
    atMost: 0.8,
  },
  {
    what: 'CPU/request with keys and a limit, decided each time, against nginx with Lua',
    scenario: 'policies-table',
    variant: 'decided',
    metric: 'cpuMicros',
    against: { peer: 'nginx-lua' },
    atMost: 1,
  },
  {
    what: 'CPU/request with keys and a limit, replayed, against nginx with Lua',
    scenario: 'policies-table',
    variant: 'replayed',
    metric: 'cpuMicros',
    against: { peer: 'nginx-lua', variant: 'decided' },
    atMost: 1,
  },
  {
    what: 'CPU/request with keys and a limit, decided each time, against @fastify/http-proxy',
    scenario: 'policies-table',
    variant: 'decided',
    metric: 'cpuMicros',
    against: { peer: 'fastify' },
    atMost: 1,
  },
  {
    what: 'failures other than of requests in the hands of a worker that ended',
    scenario: 'policies-kill',
    variant: '',
    metric: 'otherFailures',
    atMost: 0,
  },
  {
    what: 'answers that belong to another request, while workers end',
    scenario: 'policies-kill',
    variant: '',
    metric: 'crossWired',
    atMost: 0,
  },
  {
    what: 'requests/s after workers ended, in percent of before',
    scenario: 'policies-kill',
    variant: '',
    metric: 'speedAfter',
    atLeast: 95,
  },
  {
    what: 'p99 of another route while a policy blocks its worker, asleep, against none that blocks',
    scenario: 'policies-block',
    variant: 'asleep',
    metric: 'p99Micros',
    against: { variant: 'idle' },
    atMost: 1.1,
  },
  {
    what: 'the same, busy on the core that it shares with the I/O thread',
    scenario: 'policies-block',
    variant: 'busy',
    metric: 'p99Micros',
    against: { variant: 'idle' },
    atMost: 1.1,
  },
  ...['crossing', 'replayed'].flatMap((variant): Bar[] => [
    {
      what: `requests past a limit on 4 I/O threads that were let through, ${variant}`,
      scenario: 'policies-exact',
      variant,
      metric: 'excess',
      atLeast: 0,
      atMost: 0,
    },
    {
      what: `requests that this limit refused, ${variant}`,
      scenario: 'policies-exact',
      variant,
      metric: 'limited',
      atLeast: 1,
    },
  ]),
  ...protocolBars,
  ...floodBars,
];

export interface BarResult {
  what: string;
  /** "≤ 0.75" */
  bar: string;
  value: number;
  met: boolean;
}

/** The bars for which there is a measurement of Tidegate and of what it is held against. */
export function checkBars(results: readonly ScenarioResult[]): BarResult[] {
  return bars.flatMap((bar) => {
    const value = measuredOf(bar, results);
    if (value === undefined || !Number.isFinite(value)) return [];
    const { atMost = Number.POSITIVE_INFINITY, atLeast = Number.NEGATIVE_INFINITY } = bar;
    return {
      what: bar.what,
      bar: bar.atMost === undefined ? `≥ ${atLeast}` : `≤ ${atMost}`,
      value,
      met: value <= atMost && value >= atLeast,
    };
  });
}

function measuredOf(bar: Bar, results: readonly ScenarioResult[]): number | undefined {
  const variants = results.find(({ name }) => name === bar.scenario)?.variants ?? [];
  const variantOf = (wanted: string) => variants.find(({ name }) => name === wanted);
  const own = medianOf(variantOf(bar.variant), 'tidegate', bar);
  if (own === undefined || bar.against === undefined) return own;
  const { against } = bar;
  const other =
    'peer' in against
      ? medianOf(variantOf(against.variant ?? bar.variant), against.peer, bar)
      : medianOf(variantOf(against.variant), 'tidegate', bar);
  return other === undefined ? undefined : own / other;
}

function medianOf(variant: VariantResult | undefined, peer: PeerName, { metric }: Bar) {
  const samples = variant?.peers.find(({ name }) => name === peer)?.samples ?? [];
  const values = samples.flatMap((sample) => sample[metric] ?? []);
  return values.length === 0 ? undefined : median(values);
}
