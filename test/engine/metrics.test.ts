import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Core, CoreStats, CoreTables } from '../../src/engine/types.js';
import { slotIndex, slotNumbers, slotsPerChunk } from '../../src/engine/types.js';
import { Metrics } from '../../src/observe/metrics.js';
import { metricTable } from '../../src/observe/metricTable.js';

const tables: CoreTables = {
  counters: [
    { name: 'connections_active', gauge: true, text: 'Open.' },
    { name: 'requests', gauge: false, text: 'Begun.' },
  ],
  reasons: [
    { code: 'none', status: 0, text: 'Fine.' },
    { code: 'route_not_found', status: 404, text: 'No route.' },
  ],
  durationBounds: [250, 1000],
};

/** Two threads: the first with slots 1 and 70 in use, the second with slot 1. */
function stats(): CoreStats {
  const thread = (active: bigint, requests: bigint) => ({
    counters: BigUint64Array.of(active, requests, requests - 1n, 1n),
    chunks: [0, 1].map(() => new BigUint64Array(slotsPerChunk * slotNumbers)),
  });
  const threads = [thread(3n, 10n), thread(4n, 20n)];
  const set = (at: number, slot: number, values: Record<number, number>) => {
    const chunk = threads[at]?.chunks[Math.floor(slot / slotsPerChunk)];
    for (const [index, value] of Object.entries(values)) {
      chunk?.set([BigInt(value)], (slot % slotsPerChunk) * slotNumbers + Number(index));
    }
  };
  const { statusClasses, durations, durationMicros, connects } = slotIndex;
  set(0, 1, {
    [statusClasses[1]]: 2,
    [durations]: 1,
    [durations + 2]: 1,
    [durationMicros]: 5_000_100,
  });
  set(1, 1, { [statusClasses[4]]: 1, [durations + 1]: 1, [durationMicros]: 900 });
  set(0, 70, { [durations]: 1, [connects]: 7 });
  return { threads, accessLogLost: 5 };
}

function coreWith(overrides: Partial<Core>): Core {
  const unused = async () => expect.fail('metrics change nothing');
  return {
    description: 'made up',
    engine: 1,
    threadCount: 2,
    tables,
    ended: new Promise(() => {}),
    apply: unused,
    drain: unused,
    drained: unused,
    stop: unused,
    reopenLogs: unused,
    purgeVerdicts: unused,
    stats: async () => stats(),
    endpoints: async () => [
      { upstream: 'u', address: '10.0.0.1:9000', up: false, active: 0, downForMillis: 7000 },
    ],
    ...overrides,
  };
}

function metricsOf(core: Core): Metrics {
  return new Metrics({
    core,
    slots: () => ({
      routes: [
        { name: 'orders', slot: 1 },
        { name: 'idle', slot: 2 },
      ],
      upstreams: [],
      endpoints: [{ upstream: 'u', address: '10.0.0.1:9000', slot: 70 }],
      access: [],
    }),
    facts: () => ({
      version: '1.2.3',
      draining: false,
      reloads: { adopted: 4, refused: 1 },
      adoptedAt: 1000,
      lastReloadAdopted: true,
      policyEvents: [{ policy: 'keys', event: 'failed', count: 3 }],
      policyWorkerRestarts: 2,
      certificates: [],
      revocationLists: [],
    }),
  });
}

const textOf = async (metrics: Metrics) => (await metrics.expose()).body;

describe('metrics', () => {
  it('sum the slots of all threads, by route and class of status', async () => {
    const text = await textOf(metricsOf(coreWith({})));
    expect(text).toContain('tidegate_requests_total{route="orders",status_class="2xx"} 2\n');
    expect(text).toContain('tidegate_requests_total{route="orders",status_class="5xx"} 1\n');
    expect(text).toContain(
      'tidegate_endpoint_connects_total{upstream="u",endpoint="10.0.0.1:9000"} 7\n',
    );
  });

  it('leave out what has had no request', async () => {
    expect(await textOf(metricsOf(coreWith({})))).not.toContain('route="idle"');
  });

  it('write histograms cumulative and in seconds', async () => {
    const text = await textOf(metricsOf(coreWith({})));
    const name = 'tidegate_request_duration_seconds';
    expect(text).toContain(
      [
        `# TYPE ${name} histogram`,
        `${name}_bucket{route="orders",le="0.00025"} 1`,
        `${name}_bucket{route="orders",le="0.001"} 2`,
        `${name}_bucket{route="orders",le="+Inf"} 3`,
        `${name}_sum{route="orders"} 5.001`,
        `${name}_count{route="orders"} 3`,
      ].join('\n'),
    );
  });

  it('keep the counters of each thread apart, and sum the reasons', async () => {
    const text = await textOf(metricsOf(coreWith({})));
    expect(text).toContain('tidegate_connections_active{thread="1"} 4\n');
    expect(text).toContain('tidegate_exchanges_total{thread="0"} 10\n');
    expect(text).toContain('tidegate_exchange_outcomes_total{reason="none"} 28\n');
    expect(text).toContain('tidegate_exchange_outcomes_total{reason="route_not_found"} 2\n');
  });

  it('say which endpoints are up, how reloads went, and what the process uses', async () => {
    const text = await textOf(metricsOf(coreWith({})));
    expect(text).toContain('tidegate_endpoint_up{upstream="u",endpoint="10.0.0.1:9000"} 0\n');
    expect(text).toContain('tidegate_config_reloads_total{result="adopted"} 4\n');
    expect(text).toContain('tidegate_access_log_lost_total 5\n');
    expect(text).toMatch(/tidegate_build_info\{version="1\.2\.3",node="\d+\.\d+\.\d+"\} 1\n/);
    expect(text).toMatch(/process_resident_memory_bytes [1-9]\d+\n/);
  });

  it('are gathered once for scrapes that overlap, and afresh for the next', async () => {
    let calls = 0;
    const metrics = metricsOf(
      coreWith({
        stats: async () => {
          calls += 1;
          return stats();
        },
      }),
    );
    const [first, second] = await Promise.all([metrics.expose(), metrics.expose()]);
    expect(first).toBe(second);
    expect(calls).toBe(1);
    await metrics.expose();
    expect(calls).toBe(2);
  });

  it('pass on that the core is gone, and recover', async () => {
    let gone = true;
    const metrics = metricsOf(
      coreWith({
        stats: async () => {
          if (gone) throw new Error('gone');
          return stats();
        },
      }),
    );
    await expect(metrics.expose()).rejects.toThrow('gone');
    gone = false;
    expect(await textOf(metrics)).toContain('tidegate_requests_total');
  });
});

describe('docs/metrics.md', () => {
  it('names every metric with its type, labels and meaning, and no other', async () => {
    const { loadAddon } = await import('../../src/engine/addon.js');
    const documented = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8')
      .split('\n')
      .filter((line) => /^\| `(tidegate|process|nodejs)_/.test(line));
    const defined = metricTable(loadAddon()).map(({ name, type, labels, help }) => {
      const labelText = labels.map((label) => `\`${label}\``).join(', ');
      return `| \`${name}\` | ${type} | ${labelText} | ${help} |`;
    });
    expect(documented).toEqual(defined);
  });
});
