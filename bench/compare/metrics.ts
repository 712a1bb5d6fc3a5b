// What a measurement may hold, and how it is written.

interface Metric {
  title: string;
  /** Written after the title; empty for counts. */
  unit: string;
  digits: number;
  better: 'more' | 'less';
}

const define = <Name extends string>(all: Record<Name, Metric>) => all;

export const metrics = define({
  requestsPerSecond: { title: 'requests/s', unit: '', digits: 0, better: 'more' },
  cpuMicros: { title: 'CPU/request', unit: 'µs', digits: 2, better: 'less' },
  cpuUserMicros: { title: 'user', unit: 'µs', digits: 2, better: 'less' },
  cpuSystemMicros: { title: 'system', unit: 'µs', digits: 2, better: 'less' },
  cpuMsPerGib: { title: 'CPU/GiB', unit: 'ms', digits: 0, better: 'less' },
  p50Micros: { title: 'p50', unit: 'µs', digits: 0, better: 'less' },
  p99Micros: { title: 'p99', unit: 'µs', digits: 0, better: 'less' },
  handshakesPerSecond: { title: 'handshakes/s', unit: '', digits: 0, better: 'more' },
  errors: { title: 'errors', unit: '', digits: 0, better: 'less' },
  rssMib: { title: 'RSS', unit: 'MiB', digits: 1, better: 'less' },
  pssMib: { title: 'PSS', unit: 'MiB', digits: 1, better: 'less' },
  anonymousMib: { title: 'anonymous', unit: 'MiB', digits: 1, better: 'less' },
  bytesPerConnection: { title: 'memory/connection', unit: 'B', digits: 0, better: 'less' },
  /** Of all memory of the process: its own, and its share of what is mapped and shared. */
  residentPerConnection: { title: 'resident/connection', unit: 'B', digits: 0, better: 'less' },
  connections: { title: 'connections', unit: '', digits: 0, better: 'more' },
  reloads: { title: 'reloads', unit: '', digits: 0, better: 'more' },
  failed: { title: 'failed', unit: '', digits: 0, better: 'less' },
  refused: { title: 'refused', unit: '', digits: 0, better: 'less' },
  kills: { title: 'workers ended', unit: '', digits: 0, better: 'more' },
  lost: { title: 'lost', unit: '', digits: 0, better: 'less' },
  unavailable: { title: 'unavailable', unit: '', digits: 0, better: 'less' },
  timedOut: { title: 'timed out', unit: '', digits: 0, better: 'less' },
  unexplained: { title: 'unexplained', unit: '', digits: 0, better: 'less' },
  otherFailures: { title: 'other failures', unit: '', digits: 0, better: 'less' },
  crossWired: { title: 'cross-wired', unit: '', digits: 0, better: 'less' },
  speedAfter: { title: 'speed after', unit: '%', digits: 0, better: 'more' },
  allowed: { title: 'allowed', unit: '', digits: 0, better: 'more' },
  admitted: { title: 'admitted', unit: '', digits: 0, better: 'less' },
  excess: { title: 'excess', unit: '', digits: 0, better: 'less' },
  limited: { title: 'refused with 429', unit: '', digits: 0, better: 'more' },
  /** Beside a flood: of the same clients before it, the ratio to that, and of the flood itself. */
  quietP99Micros: { title: 'p99 quiet', unit: 'µs', digits: 0, better: 'less' },
  slowdown: { title: 'p99 : quiet', unit: '', digits: 2, better: 'less' },
  floodMbits: { title: 'flood', unit: 'Mbit/s', digits: 1, better: 'more' },
  floodConnections: { title: 'flood connections', unit: '', digits: 0, better: 'more' },
  /** Its connections that ended, and requests that failed, by reason. */
  floodResets: { title: 'flood_resets', unit: '', digits: 0, better: 'more' },
  floodFrames: { title: 'flood_frames', unit: '', digits: 0, better: 'more' },
  floodHeaders: { title: 'flood_headers', unit: '', digits: 0, better: 'more' },
  headsTooLarge: { title: 'heads too large', unit: '', digits: 0, better: 'more' },
  heldTimedOut: { title: 'timed out', unit: '', digits: 0, better: 'more' },
  rssBeforeMib: { title: 'RSS before', unit: 'MiB', digits: 1, better: 'less' },
  rssMostMib: { title: 'RSS at most', unit: 'MiB', digits: 1, better: 'less' },
  rssAfterMib: { title: 'RSS after', unit: 'MiB', digits: 1, better: 'less' },
  /** From before to after, in percent. */
  rssGrowth: { title: 'RSS growth', unit: '%', digits: 1, better: 'less' },
  crashes: { title: 'crashes', unit: '', digits: 0, better: 'less' },
  adoptionMs: { title: 'until adopted', unit: 'ms', digits: 0, better: 'less' },
  /** Shares of the time, in percent. Of a proxy: in which it ran or waited for its core. */
  proxyBusy: { title: 'busy', unit: '%', digits: 0, better: 'more' },
  loadBusy: { title: 'load busy', unit: '%', digits: 0, better: 'less' },
  floodBusy: { title: 'flood busy', unit: '%', digits: 0, better: 'less' },
  /** Of programs that are not the bench's, on either core. */
  foreign: { title: 'foreign', unit: '%', digits: 0, better: 'less' },
  stolen: { title: 'stolen', unit: '%', digits: 0, better: 'less' },
});

export type MetricName = keyof typeof metrics;
export type Sample = Partial<Record<MetricName, number>>;

/** "24,310" or "24.31"; "–" for what was not measured. */
export function formatMetric(name: MetricName, value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–';
  const { digits } = metrics[name];
  return value.toLocaleString('en-US', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

export function metricHeading(name: MetricName): string {
  const { title, unit } = metrics[name];
  return unit === '' ? title : `${title} (${unit})`;
}
