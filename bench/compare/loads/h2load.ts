// h2load: what it is told, for a fixed rate over HTTP/1, and what it prints.
import { percentile } from '../stats.js';
import type { LoadRequest, LoadResult } from './load.js';

/** `rate` has to be given. Each request's length goes to `log`, since h2load prints no percentiles. */
export function h2loadArguments(request: LoadRequest, threads: number, log: string): string[] {
  const { connections, seconds, port, path, rate = 0 } = request;
  return [
    '--h1',
    ...['-t', String(Math.min(threads, connections)), '-c', String(connections)],
    ...['-D', String(seconds), '--rps', (rate / connections).toFixed(3)],
    `--log-file=${log}`,
    `http://127.0.0.1:${port}${path}`,
  ];
}

/** Lengths in microseconds of a log: start time, status and length a line, tab-separated. */
export function parseH2loadLog(log: string): [micros: number, count: number][] {
  const counts = new Map<number, number>();
  for (const line of log.split('\n')) {
    const micros = Number(line.split('\t')[2]);
    if (Number.isFinite(micros)) counts.set(micros, (counts.get(micros) ?? 0) + 1);
  }
  return [...counts].sort(([a], [b]) => a - b);
}

/** Reads what h2load prints, with its log; undefined when it is not that. */
export function parseH2load(output: string, log: string): LoadResult | undefined {
  const finished = /^finished in ([\d.]+)(us|ms|s|m), /m.exec(output);
  const requests =
    /^requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/m.exec(
      output,
    );
  if (!finished || !requests) return undefined;
  const unit = { us: 1e-6, ms: 1e-3, s: 1, m: 60 }[finished[2] ?? 's'] ?? 1;
  const status = /^status codes: \d+ 2xx, \d+ 3xx, (\d+) 4xx, (\d+) 5xx/m.exec(output);
  const lengths = parseH2loadLog(log);
  return {
    seconds: Number(finished[1]) * unit,
    requests: Number(requests[3]),
    p50Micros: percentile(lengths, 0.5),
    p99Micros: percentile(lengths, 0.99),
    busy: Number.NaN,
    errors: {
      refused: 0,
      connect: 0,
      broken: Number(requests[5]),
      status: Number(status?.[1] ?? 0) + Number(status?.[2] ?? 0),
      timeout: Number(requests[6]),
      limited: Number.NaN,
      crossed: Number.NaN,
    },
  };
}
