// Every metric by name, type, labels and meaning, with how its samples are read from one scrape. docs/metrics.md has the same
// table; a test holds the two together.
import type { CertificateFacts, RevocationListFacts } from '../compile/index.js';
import type { CoreStats, CoreTables, EndpointStatus } from '../engine/types.js';
import type { ProcessFacts } from './processFacts.js';
import { readCounter, type SlotTotals } from './slots.js';

/** The named things of the snapshot in force, each with its numbers. */
export interface Measured<Labels> {
  labels: Labels;
  totals: SlotTotals;
}

export interface GatewayFacts {
  version: string;
  draining: boolean;
  reloads: { adopted: number; refused: number };
  /** Of the last configuration that was adopted, in seconds since the epoch. */
  adoptedAt: number;
  lastReloadAdopted: boolean;
  /** Since the start. */
  policyEvents: readonly { policy: string; event: string; count: number }[];
  policyWorkerRestarts: number;
  certificates: readonly CertificateFacts[];
  revocationLists: readonly RevocationListFacts[];
}

/** Everything that one answer to GET /metrics is made of. */
export interface Scrape {
  stats: CoreStats;
  endpoints: readonly EndpointStatus[];
  routes: readonly Measured<{ route: string }>[];
  upstreams: readonly Measured<{ upstream: string }>[];
  endpointTotals: readonly Measured<{ upstream: string; endpoint: string }>[];
  access: readonly Measured<{ policy: string; mode: 'enforce' | 'shadow' }>[];
  gateway: GatewayFacts;
  process: ProcessFacts;
}

export interface Sample {
  labels: Record<string, string | number>;
  value: number;
  /** Histograms: the name with its suffix. */
  metricName?: string;
}

export interface MetricDefinition {
  name: string;
  type: 'counter' | 'gauge' | 'histogram';
  labels: readonly string[];
  help: string;
  read(scrape: Scrape): Sample[];
}

/** In the order of the documentation. */
export function metricTable(tables: CoreTables): MetricDefinition[] {
  return [
    ...routeMetrics(tables),
    outcomes(tables),
    ...upstreamMetrics(tables),
    ...endpointMetrics(tables),
    ...threadMetrics(tables),
    ...gatewayMetrics(),
    ...processMetrics(),
  ];
}

type Select<Labels> = (scrape: Scrape) => readonly Measured<Labels>[];

/** Builds the metrics of one kind of named thing. */
function measuredMetrics<Labels extends Record<string, string>>(
  labels: readonly (keyof Labels & string)[],
  select: Select<Labels>,
) {
  const single =
    (type: 'counter' | 'gauge') =>
    (name: string, help: string, value: (totals: SlotTotals) => number): MetricDefinition => ({
      name,
      type,
      labels,
      help,
      read: (scrape) => select(scrape).map((m) => ({ labels: m.labels, value: value(m.totals) })),
    });
  return {
    counter: single('counter'),
    gauge: single('gauge'),
    statusClasses: (name: string, help: string): MetricDefinition => ({
      name,
      type: 'counter',
      labels: [...labels, 'status_class'],
      help,
      read: (scrape) =>
        select(scrape).flatMap((m) =>
          m.totals.statusClasses.map((value, index) => ({
            labels: { ...m.labels, status_class: `${index + 1}xx` },
            value,
          })),
        ),
    }),
    durations: (name: string, help: string, bounds: readonly number[]): MetricDefinition => ({
      name,
      type: 'histogram',
      labels,
      help,
      read: (scrape) => select(scrape).flatMap((m) => histogram(name, m.labels, m.totals, bounds)),
    }),
  };
}

/** `boundsMicros` are the core's; the metric is in seconds, as the field has it. */
function histogram(
  name: string,
  labels: Record<string, string>,
  totals: SlotTotals,
  boundsMicros: readonly number[],
): Sample[] {
  let count = 0;
  const buckets = totals.durations.map((value, index) => {
    count += value;
    const bound = boundsMicros[index];
    const le = bound === undefined ? '+Inf' : bound / 1e6;
    return { labels: { ...labels, le }, value: count, metricName: `${name}_bucket` };
  });
  return [
    ...buckets,
    { labels, value: totals.durationMicros / 1e6, metricName: `${name}_sum` },
    { labels, value: count, metricName: `${name}_count` },
  ];
}

function routeMetrics(tables: CoreTables): MetricDefinition[] {
  const route = measuredMetrics<{ route: string }>(['route'], (scrape) => scrape.routes);
  return [
    route.statusClasses(
      'tidegate_requests_total',
      'Responses to clients, by route and class of status.',
    ),
    route.durations(
      'tidegate_request_duration_seconds',
      'From the complete request head to the end of the response.',
      tables.durationBounds,
    ),
    route.gauge('tidegate_route_exchanges_active', 'Exchanges under way.', (t) => t.active),
    route.counter(
      'tidegate_route_failures_total',
      'Exchanges that ended by an error of the gateway.',
      (t) => t.failures,
    ),
    route.counter('tidegate_route_retries_total', 'Further tries.', (t) => t.retries),
    route.counter(
      'tidegate_route_request_bytes_total',
      'Bytes of request bodies from clients.',
      (t) => t.bytesIn,
    ),
    route.counter(
      'tidegate_route_response_bytes_total',
      'Bytes of response bodies to clients.',
      (t) => t.bytesOut,
    ),
  ];
}

function accessEvents({ labels, totals }: Scrape['access'][number]): Sample[] {
  const { policy, mode } = labels;
  const [passed, ended] =
    mode === 'shadow' ? ['shadow_passed', 'shadow_ended'] : ['passed', 'denied'];
  return [
    { labels: { policy, event: passed }, value: totals.asked - totals.refused },
    { labels: { policy, event: ended }, value: totals.refused },
  ];
}

function outcomes(tables: CoreTables): MetricDefinition {
  return {
    name: 'tidegate_exchange_outcomes_total',
    type: 'counter',
    labels: ['reason'],
    help: 'Exchanges ended, by reason (docs/errors.md); none: as the upstream meant it.',
    read: ({ stats }) =>
      tables.reasons.map(({ code }, index) => ({
        labels: { reason: code },
        value: sumThreads(stats, tables.counters.length + index),
      })),
  };
}

function sumThreads(stats: CoreStats, index: number): number {
  return stats.threads.reduce((sum, _, thread) => sum + readCounter(stats, thread, index), 0);
}

function upstreamMetrics(tables: CoreTables): MetricDefinition[] {
  const upstream = measuredMetrics<{ upstream: string }>(
    ['upstream'],
    (scrape) => scrape.upstreams,
  );
  return [
    upstream.statusClasses(
      'tidegate_upstream_requests_total',
      'Responses to exchanges that went to the upstream, by class of status.',
    ),
    upstream.durations(
      'tidegate_upstream_duration_seconds',
      'From the complete request head to the end of the response, retries included.',
      tables.durationBounds,
    ),
    upstream.counter(
      'tidegate_upstream_failures_total',
      'Exchanges that ended by an error of the gateway.',
      (t) => t.failures,
    ),
    upstream.counter(
      'tidegate_upstream_request_bytes_total',
      'Bytes of request bodies to the upstream.',
      (t) => t.bytesIn,
    ),
    upstream.counter(
      'tidegate_upstream_response_bytes_total',
      'Bytes of response bodies from the upstream.',
      (t) => t.bytesOut,
    ),
  ];
}

function endpointMetrics(tables: CoreTables): MetricDefinition[] {
  const endpoint = measuredMetrics<{ upstream: string; endpoint: string }>(
    ['upstream', 'endpoint'],
    (scrape) => scrape.endpointTotals,
  );
  return [
    {
      name: 'tidegate_endpoint_up',
      type: 'gauge',
      labels: ['upstream', 'endpoint'],
      help: '1 when the endpoint gets requests, 0 while it is marked down.',
      read: (scrape) =>
        scrape.endpoints.map(({ upstream, address, up }) => ({
          labels: { upstream, endpoint: address },
          value: up ? 1 : 0,
        })),
    },
    endpoint.statusClasses(
      'tidegate_endpoint_requests_total',
      'Responses to exchanges that ended at the endpoint, by class of status.',
    ),
    endpoint.durations(
      'tidegate_endpoint_duration_seconds',
      'From the complete request head to the end of the response, of exchanges that ended here.',
      tables.durationBounds,
    ),
    endpoint.gauge('tidegate_endpoint_exchanges_active', 'Exchanges under way.', (t) => t.active),
    endpoint.counter(
      'tidegate_endpoint_failures_total',
      'Tries that failed here, and exchanges that ended here by an error of the gateway.',
      (t) => t.failures,
    ),
    endpoint.counter(
      'tidegate_endpoint_retries_total',
      'Tries that failed here and were made again.',
      (t) => t.retries,
    ),
    endpoint.counter('tidegate_endpoint_connects_total', 'Connections opened.', (t) => t.connects),
    endpoint.counter(
      'tidegate_endpoint_request_bytes_total',
      'Bytes of request bodies to the endpoint.',
      (t) => t.bytesIn,
    ),
    endpoint.counter(
      'tidegate_endpoint_response_bytes_total',
      'Bytes of response bodies from the endpoint.',
      (t) => t.bytesOut,
    ),
  ];
}

/** The core's own counters, under their own names; `requests` would be taken for responses by route. */
function threadMetrics(tables: CoreTables): MetricDefinition[] {
  const own = tables.counters.flatMap(({ name, gauge, text }, index) =>
    name.startsWith(failurePrefix) ? [] : [{ name, gauge, text, index }],
  );
  const definitions = own.map(
    ({ name, gauge, text, index }): MetricDefinition => ({
      name: `tidegate_${name === 'requests' ? 'exchanges' : name}${gauge ? '' : '_total'}`,
      type: gauge ? 'gauge' : 'counter',
      labels: ['thread'],
      help: text,
      read: ({ stats }) =>
        stats.threads.map((_, thread) => ({
          labels: { thread },
          value: readCounter(stats, thread, index),
        })),
    }),
  );
  return [...definitions, handshakeFailures(tables)];
}

const failurePrefix = 'tls_failed_';

/** One metric of the counters that each stand for a reason. */
function handshakeFailures(tables: CoreTables): MetricDefinition {
  const reasons = tables.counters.flatMap(({ name }, index) =>
    name.startsWith(failurePrefix) ? [{ reason: name.slice(failurePrefix.length), index }] : [],
  );
  return {
    name: 'tidegate_tls_handshake_failures_total',
    type: 'counter',
    labels: ['thread', 'reason'],
    help: 'TLS handshakes of clients that failed, by reason (docs/tls.md).',
    read: ({ stats }) =>
      stats.threads.flatMap((_, thread) =>
        reasons.map(({ reason, index }) => ({
          labels: { thread, reason },
          value: readCounter(stats, thread, index),
        })),
      ),
  };
}

function gatewayMetrics(): MetricDefinition[] {
  const plain = plainMetric((scrape) => scrape.gateway);
  return [
    {
      name: 'tidegate_build_info',
      type: 'gauge',
      labels: ['version', 'node'],
      help: 'Always 1; the labels say what is running.',
      read: ({ gateway }) => [
        { labels: { version: gateway.version, node: process.versions.node }, value: 1 },
      ],
    },
    plain('tidegate_draining', 'gauge', '1 from the first SIGTERM or SIGINT on.', (g) =>
      g.draining ? 1 : 0,
    ),
    {
      name: 'tidegate_config_reloads_total',
      type: 'counter',
      labels: ['result'],
      help: 'Reloads, by result: adopted or refused.',
      read: ({ gateway }) =>
        Object.entries(gateway.reloads).map(([result, value]) => ({ labels: { result }, value })),
    },
    plain(
      'tidegate_config_last_reload_successful',
      'gauge',
      '0 while the configuration on disk is one that was refused.',
      (g) => (g.lastReloadAdopted ? 1 : 0),
    ),
    plain(
      'tidegate_config_adopted_timestamp_seconds',
      'gauge',
      'When the configuration in force was adopted.',
      (g) => g.adoptedAt,
    ),
    {
      name: 'tidegate_policy_events_total',
      type: 'counter',
      labels: ['policy', 'event'],
      help: 'What happened to a policy: failed, breaker_opened, and in shadow mode shadow_passed or shadow_ended; of ip-access also passed and denied.',
      read: ({ gateway, access }) => [
        ...gateway.policyEvents.map(({ policy, event, count }) => ({
          labels: { policy, event },
          value: count,
        })),
        ...access.flatMap(accessEvents),
      ],
    },
    plain(
      'tidegate_policy_worker_restarts_total',
      'counter',
      'Policy workers that ended and were replaced.',
      (g) => g.policyWorkerRestarts,
    ),
    {
      name: 'tidegate_certificate_expiry_timestamp_seconds',
      type: 'gauge',
      labels: ['listener', 'name', 'key'],
      help: 'When the certificate ends; by listener, the first name that it is made out to, and kind of key.',
      read: ({ gateway }) =>
        gateway.certificates.map(({ listener, names, keyType, notAfter }) => ({
          labels: { listener, name: names[0] ?? '', key: keyType },
          value: notAfter / 1000,
        })),
    },
    {
      name: 'tidegate_revocation_list_expiry_timestamp_seconds',
      type: 'gauge',
      labels: ['listener', 'issuer'],
      help: 'When the revocation list for client certificates of the issuer ends; of several the last.',
      read: ({ gateway }) =>
        gateway.revocationLists.map(({ listener, issuer, nextUpdate }) => ({
          labels: { listener, issuer },
          value: nextUpdate / 1000,
        })),
    },
    {
      name: 'tidegate_access_log_lost_total',
      type: 'counter',
      labels: [],
      help: 'Access log lines lost by the writer: the disk or pipe failed or was too slow.',
      read: ({ stats }) => [{ labels: {}, value: stats.accessLogLost }],
    },
  ];
}

function processMetrics(): MetricDefinition[] {
  const plain = plainMetric((scrape) => scrape.process);
  return [
    plain(
      'process_cpu_seconds_total',
      'counter',
      'CPU time of all threads, user and system.',
      (p) => p.userSeconds + p.systemSeconds,
    ),
    plain(
      'process_cpu_user_seconds_total',
      'counter',
      'CPU time of all threads in user mode.',
      (p) => p.userSeconds,
    ),
    plain(
      'process_cpu_system_seconds_total',
      'counter',
      'CPU time of all threads in the kernel.',
      (p) => p.systemSeconds,
    ),
    plain('process_resident_memory_bytes', 'gauge', 'Resident memory.', (p) => p.residentBytes),
    plain('process_open_fds', 'gauge', 'Open file descriptors.', (p) => p.openFiles),
    plain('process_max_fds', 'gauge', 'Limit of open file descriptors.', (p) => p.maxFiles),
    plain(
      'process_start_time_seconds',
      'gauge',
      'When the process began, in seconds since the epoch.',
      (p) => p.startTime,
    ),
    plain(
      'nodejs_heap_used_bytes',
      'gauge',
      "JavaScript heap in use on the control thread; the data path's memory is not in it.",
      (p) => p.heapUsedBytes,
    ),
  ];
}

/** Metrics without labels, read from one part of the scrape. */
function plainMetric<Part>(part: (scrape: Scrape) => Part) {
  return (
    name: string,
    type: 'counter' | 'gauge',
    help: string,
    value: (part: Part) => number,
  ): MetricDefinition => ({
    name,
    type,
    labels: [],
    help,
    read: (scrape) => [{ labels: {}, value: value(part(scrape)) }],
  });
}
