// The results as Markdown tables, for the repository and for the terminal.
import { type BarResult, checkBars } from '../bars.js';
import { formatMetric, metricHeading, metrics } from '../metrics.js';
import { peers } from '../peers/index.js';
import { peerNames } from '../peers/peer.js';
import type { Machine, Results, ScenarioResult } from '../results.js';
import { mediansOf, ratiosOf, spreadOf, titleOf, warningsOf } from './summary.js';

type Row = readonly string[];

export function renderMarkdown(results: Results): string {
  return `${[
    '# Side by side',
    '',
    'Written by `npm run bench`. Medians of interleaved rounds; CPU is the proxy process’s own, as the',
    'scheduler accounts for it, user and system.',
    '',
    ...machineLines(results),
    ...results.scenarios.flatMap((scenario) => ['', ...scenarioLines(scenario)]),
    ...barLines(checkBars(results.scenarios)),
  ].join('\n')}\n`;
}

function machineLines({ machine, absent, scenarios }: Results): string[] {
  const versions = new Map(
    scenarios.flatMap(({ variants }) =>
      variants.flatMap((variant) => variant.peers.map(({ name, version }) => [name, version])),
    ),
  );
  return [
    `Machine: ${describe(machine)}.`,
    '',
    ...peerNames.flatMap((name) => {
      if (absent[name] !== undefined) return `- ${titleOf(name)}: skipped, ${absent[name]}.`;
      if (!versions.has(name)) return [];
      return `- ${`${titleOf(name)} ${versions.get(name)}`.trim()}: ${peers[name].remark}.`;
    }),
  ];
}

export function describe(machine: Machine): string {
  const { cpu, cores, proxyCore, loadCores, kernel, node, priority } = machine;
  return [
    `${cpu}, ${cores} cores (proxy on ${proxyCore}, load and origin on ${loadCores.join(', ')})`,
    `Linux ${kernel}`,
    `Node.js ${node}`,
    ...(priority ? ['in front of other programs'] : []),
  ].join('; ');
}

export function scenarioLines(scenario: ScenarioResult): string[] {
  const { name, title, note, columns, variants, rate, seconds, load, date } = scenario;
  const rounds = variants[0]?.peers[0]?.samples.length ?? 0;
  const several = variants.length > 1;
  const header = [
    ...(several ? ['variant'] : []),
    'proxy',
    ...columns.map(metricHeading),
    'spread',
  ];
  const rows = variants.flatMap((variant) =>
    variant.peers.map((peer): Row => {
      const medians = mediansOf(peer);
      return [
        ...(several ? [variant.name] : []),
        titleOf(peer.name),
        ...columns.map((column) => formatMetric(column, medians[column])),
        `${spreadOf(peer, scenario).toFixed(0)}%`,
      ];
    }),
  );
  const fixed = rate === undefined ? '' : ` Rate: ${formatMetric('requestsPerSecond', rate)}/s.`;
  return [
    `## ${name}: ${title}`,
    '',
    `${note}${fixed} ${rounds} rounds of ${seconds} s on ${date.slice(0, 10)}; ${load}.`,
    '',
    ...table(header, rows, several ? 2 : 1),
    ...ratioLines(scenario),
    ...warningsOf(scenario).flatMap((warning) => ['', `> ${warning}`]),
  ];
}

function ratioLines(scenario: ScenarioResult): string[] {
  const ratios = ratiosOf(scenario);
  if (ratios.length === 0) return [];
  const rows = ratios.map(
    ({ metric, over, under, value }): Row => [
      metrics[metric].title,
      `${over} : ${under}`,
      value.toFixed(2),
    ],
  );
  return ['', ...table(['ratio of medians', '', ''], rows, 2)];
}

function barLines(bars: readonly BarResult[]): string[] {
  if (bars.length === 0) return [];
  const rows = bars.map(
    ({ what, bar, value, met }): Row => [
      what,
      bar,
      value.toFixed(2).replace(/\.00$/, ''),
      met ? 'yes' : '**no**',
    ],
  );
  return ['', '## What it must show', '', ...table(['figure', 'bar', 'measured', 'met'], rows, 1)];
}

/** Columns of equal width, so that it can also be read as it is; the first ones to the left. */
export function table(header: Row, rows: readonly Row[], left: number): string[] {
  const widths = header.map((title, i) =>
    Math.max(3, title.length, ...rows.map((row) => (row[i] ?? '').length)),
  );
  const line = (row: Row) =>
    `| ${widths
      .map((width, i) => (i < left ? (row[i] ?? '').padEnd(width) : (row[i] ?? '').padStart(width)))
      .join(' | ')} |`;
  const rule = widths.map((width, i) =>
    i < left ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  return [line(header), `| ${rule.join(' | ')} |`, ...rows.map(line)];
}
