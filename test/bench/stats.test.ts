// Medians, ratios and what is concluded from them.
import { describe, expect, test } from 'vitest';
import { checkBars } from '../../bench/compare/bars.js';
import type { Sample } from '../../bench/compare/metrics.js';
import { readOptions } from '../../bench/compare/options.js';
import type { PeerName } from '../../bench/compare/peers/peer.js';
import { renderMarkdown, table } from '../../bench/compare/report/markdown.js';
import { ratiosOf, warningsOf } from '../../bench/compare/report/summary.js';
import { renderChart } from '../../bench/compare/report/svg.js';
import { mergeScenarios, type Results, type ScenarioResult } from '../../bench/compare/results.js';
import { rotate } from '../../bench/compare/run.js';
import { scenarios } from '../../bench/compare/scenarios.js';
import {
  median,
  mergeBuckets,
  percentile,
  ratioOfMedians,
  spread,
} from '../../bench/compare/stats.js';

function result(name: string, samples: Partial<Record<PeerName, Sample[]>>): ScenarioResult {
  const scenario = scenarios.find((each) => each.name === name);
  if (!scenario) throw new Error(`no scenario ${name}`);
  return {
    ...scenario,
    date: '2026-01-02T03:04:05.000Z',
    seconds: 3,
    load: 'a load',
    variants: scenario.variants.map((variant) => ({
      name: variant.name,
      peers: Object.entries(samples).map(([peer, each]) => ({
        name: peer as PeerName,
        version: '1.0',
        samples: each,
      })),
    })),
  };
}

const keepalive = result('keepalive-64', {
  tidegate: [{ cpuMicros: 12, requestsPerSecond: 60_000, proxyBusy: 99, foreign: 1 }],
  haproxy: [{ cpuMicros: 20, requestsPerSecond: 40_000, proxyBusy: 80, foreign: 30 }],
  nginx: [{ cpuMicros: 12, requestsPerSecond: 50_000, proxyBusy: 99, foreign: 1 }],
});

const results: Results = {
  machine: {
    cpu: 'A CPU <fast>',
    cores: 2,
    proxyCore: 0,
    loadCores: [1],
    kernel: '6.1',
    node: 'v20.0.0',
    priority: false,
  },
  absent: { floor: 'it is not here' },
  scenarios: [keepalive],
};

describe('medians', () => {
  test('are the middle value, or the mean of the two in the middle', () => {
    expect(median([5, 1, 3])).toBe(3);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([])).toBeNaN();
  });

  test('are divided, and not the rounds', () => {
    expect(ratioOfMedians([10, 20, 90], [40, 40, 1])).toBe(0.5);
    expect(ratioOfMedians([1], [0])).toBeNaN();
  });

  test('come with how far the rounds lie apart', () => {
    expect(spread([90, 100, 110])).toBeCloseTo(0.2);
    expect(spread([100])).toBe(0);
  });
});

describe('histograms', () => {
  test('are added up in the order of their values', () => {
    expect(
      mergeBuckets([
        [
          [5, 1],
          [7, 2],
        ],
        [
          [1, 4],
          [5, 1],
        ],
      ]),
    ).toEqual([
      [1, 4],
      [5, 2],
      [7, 2],
    ]);
  });

  test('give the value that a share of the counts does not exceed', () => {
    const buckets = [
      [10, 98],
      [20, 1],
      [30, 1],
    ] as const;
    expect(percentile(buckets, 0.5)).toBe(10);
    expect(percentile(buckets, 0.99)).toBe(20);
    expect(percentile(buckets, 1)).toBe(30);
    expect(percentile([], 0.5)).toBe(0);
  });
});

test('every round begins with another proxy', () => {
  expect([0, 1, 2, 3].map((round) => rotate(['a', 'b', 'c'], round).join(''))).toEqual([
    'abc',
    'bca',
    'cab',
    'abc',
  ]);
});

describe('the report', () => {
  test('holds Tidegate against each of the others', () => {
    expect(ratiosOf(keepalive)).toEqual([
      { metric: 'cpuMicros', over: 'tidegate', under: 'haproxy', value: 0.6 },
      { metric: 'cpuMicros', over: 'tidegate', under: 'nginx', value: 1 },
      { metric: 'requestsPerSecond', over: 'tidegate', under: 'haproxy', value: 1.5 },
      { metric: 'requestsPerSecond', over: 'tidegate', under: 'nginx', value: 1.2 },
    ]);
  });

  test('says which proxy was not the bottleneck, and which was disturbed', () => {
    const warnings = warningsOf(keepalive);
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toContain(
      'haproxy was not the bottleneck: it was busy for 80% of the time',
    );
    expect(warnings[1]).toContain('haproxy: other programs took more than 10%');
  });

  test('says which bars were met, and nothing of those that were not measured', () => {
    expect(checkBars([keepalive]).map(({ value, met }) => [value, met])).toEqual([
      [0.6, true],
      [1, false],
      [1.5, true],
      [1.2, true],
    ]);
  });

  test('has a table for each scenario and names who was skipped', () => {
    const markdown = renderMarkdown(results);
    expect(markdown).toContain('## keepalive-64: 64-byte bodies');
    expect(markdown).toContain('- floor: skipped, it is not here.');
    expect(markdown).toMatch(/\| HAProxy\s+\|\s+40,000 \|/);
  });

  test('has tables whose columns are of equal width', () => {
    expect(table(['a', 'value'], [['long', '1']], 1)).toEqual([
      '| a    | value |',
      '| ---- | ----: |',
      '| long |     1 |',
    ]);
  });

  test('has a chart that is well formed and shows each proxy', () => {
    const svg = renderChart(results);
    expect(svg).toContain('A CPU &lt;fast&gt;');
    for (const name of ['Tidegate', 'HAProxy', 'nginx']) expect(svg).toContain(name);
    expect(svg).not.toMatch(/NaN|undefined/);
    expect(svg.match(/<g>/g)).toHaveLength(svg.match(/<\/g>/g)?.length ?? -1);
  });

  test('keeps earlier scenarios and replaces those that ran again', () => {
    const again = { ...keepalive, date: '2027-01-01' };
    const other = result('routes', {});
    const merged = mergeScenarios([other, keepalive], [again], ['keepalive-64', 'routes']);
    expect(merged).toEqual([again, other]);
  });
});

describe('flags', () => {
  test('have defaults for a whole run', () => {
    expect(readOptions([])).toMatchObject({ scenarios: [], rounds: 5, seconds: 3 });
  });

  test.each([
    [['--rounds', '0'], /expected 1..100 for --rounds but received '0'/],
    [['--seconds', 'many'], /for --seconds but received 'many'/],
    [['--peers', 'nginx,apache'], /for --peers but received 'apache'/],
    [['--load', 'ab'], /expected own or wrk for --load but received 'ab'/],
    [['--unheard-of'], /--unheard-of/],
  ])('%j are refused with what was expected', (args, message) => {
    expect(() => readOptions(args)).toThrow(message);
  });
});

test('a variant without a proxy is held against that of the first variant, in ratios and bars', () => {
  const crossing = result('policies-crossing', {});
  const peer = (name: PeerName, cpuMicros: number) => ({
    name,
    version: '1.0',
    samples: [{ cpuMicros }],
  });
  const [nothingOn, policies] = crossing.variants;
  nothingOn?.peers.push(peer('tidegate', 20), peer('haproxy', 25));
  policies?.peers.push(peer('tidegate', 30));
  const ratios = ratiosOf(crossing).map(({ over, under, value }) => [over, under, value]);
  expect(ratios).toEqual([
    ['tidegate', 'haproxy (nothing on)', 0.8],
    ['tidegate crossing', 'nothing on', 1.5],
    ['tidegate crossing', 'haproxy nothing on', 1.2],
  ]);
  expect(checkBars([crossing])).toMatchObject([{ bar: '≤ 0.95', value: 1.2, met: false }]);
});
