// wrk: what it is told and what it prints.
import { readFileSync } from 'node:fs';
import type { LoadRequest, LoadResult } from './load.js';

const micros: Readonly<Record<string, number>> = { us: 1, ms: 1e3, s: 1e6, m: 60e6, h: 3600e6 };

/** The arguments; with a script where the request is more than one GET. */
export function wrkArguments(
  request: LoadRequest,
  threads: number,
  script: string | undefined,
): string[] {
  const { connections, seconds, port, path, fresh = 0 } = request;
  return [
    ...['-t', String(Math.min(threads, connections)), '-c', String(connections)],
    ...['-d', `${Math.ceil(seconds)}s`, '--latency', '--timeout', '2s'],
    ...(fresh > 0 ? ['-H', 'Connection: close'] : []),
    ...(script === undefined ? [] : ['-s', script]),
    `http://127.0.0.1:${port}${path.replace('{n}', '0')}`,
  ];
}

/** The script for many paths, headers in turn or a body; undefined when a plain GET is meant. */
export function wrkScript(request: LoadRequest): string | undefined {
  const { path, paths = 1, upload } = request;
  const headers = request.headers === undefined ? [] : headersOf(request.headers);
  if (upload !== undefined && upload > 0) {
    return `wrk.method = "POST"\nwrk.body = string.rep("x", ${upload})\n`;
  }
  const count = Math.max(paths, headers.length);
  if (count === 1 && headers.length === 0) return undefined;
  const [before, after = ''] = path.split('{n}');
  // Made once, since wrk asks for each request; the stride keeps neighbours in time apart.
  const numbered = path.includes('{n}') ? `"${before}" .. n % ${paths} .. "${after}"` : `"${path}"`;
  const table = headers.map(([name, value]) => `{ ["${name}"] = "${value}" }`);
  const fields = headers.length === 0 ? '' : `, headers[n % ${headers.length} + 1]`;
  return `local requests, at = {}, 0
${table.length === 0 ? '' : `local headers = { ${table.join(', ')} }\n`}function init(args)
  for n = 0, ${count - 1} do
    requests[n] = wrk.format("GET", ${numbered}${fields})
  end
end
function request()
  at = (at + 7919) % ${count}
  return requests[at]
end
`;
}

function headersOf(file: string): [name: string, value: string][] {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  return lines.map((line) => {
    const colon = line.indexOf(': ');
    return [line.slice(0, colon), line.slice(colon + 2)];
  });
}

function duration(text: string | undefined): number {
  const match = /^([\d.]+)(us|ms|s|m|h)$/.exec(text ?? '');
  return match ? Number(match[1]) * (micros[match[2] ?? ''] ?? Number.NaN) : Number.NaN;
}

/** Reads what `wrk --latency` prints; undefined when it is not that. */
export function parseWrk(output: string): LoadResult | undefined {
  const total = /^\s*(\d+) requests in ([\d.]+(?:us|ms|s|m|h)),/m.exec(output);
  if (!total) return undefined;
  const percentile = (percent: number) =>
    duration(new RegExp(`^\\s*${percent}%\\s+(\\S+)$`, 'm').exec(output)?.[1]);
  const sockets = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(
    output,
  );
  const status = Number(/Non-2xx or 3xx responses: (\d+)/.exec(output)?.[1] ?? 0);
  const count = (group: number) => Number(sockets?.[group] ?? 0);
  return {
    seconds: duration(total[2]) / 1e6,
    requests: Number(total[1]) - status,
    p50Micros: percentile(50),
    p99Micros: percentile(99),
    busy: Number.NaN,
    errors: {
      refused: 0,
      connect: count(1),
      broken: count(2) + count(3),
      status,
      timeout: count(4),
      limited: Number.NaN,
      crossed: Number.NaN,
    },
  };
}
