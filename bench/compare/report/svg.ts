// The results as one chart: a panel for each unit, a group for each scenario, a bar for each proxy.
import { formatMetric, type MetricName, metrics } from '../metrics.js';
import { type PeerName, peerNames } from '../peers/peer.js';
import type { Results, ScenarioResult, VariantResult } from '../results.js';
import { describe } from './markdown.js';
import { baseOf, mediansOf, titleOf } from './summary.js';

const width = 880;
const margin = 32;
const labels = 232;
const values = 150;
const barHeight = 16;
const barGap = 4;
const groupGap = 20;
const scale = width - 2 * margin - labels - values;

interface Bar {
  peer: PeerName;
  value: number;
  /** The part of the value that is user time, where the metric has parts. */
  user: number | undefined;
  remark: string;
}

interface Group {
  title: string;
  detail: string;
  bars: Bar[];
}

interface Panel {
  title: string;
  metric: MetricName;
  groups: Group[];
}

const panels: readonly { title: string; metric: MetricName }[] = [
  { title: 'CPU time for a request, µs', metric: 'cpuMicros' },
  { title: 'CPU time for a GiB of bodies, ms', metric: 'cpuMsPerGib' },
  { title: 'Latency at a fixed rate, 99th percentile, µs', metric: 'p99Micros' },
  { title: 'Resident memory for an idle connection, bytes', metric: 'bytesPerConnection' },
];

/** Readable on light and dark: the viewer's colour scheme decides, also inside an <img>. */
const style = `
  text { font: 13px system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif; fill: #1f2933; }
  .paper { fill: #ffffff; stroke: #d9e0e6; }
  .title { font-size: 20px; font-weight: 650; }
  .panel { font-size: 14px; font-weight: 650; }
  .quiet { fill: #66727d; font-size: 12px; }
  .value { font-variant-numeric: tabular-nums; }
  .rule { stroke: #e4e9ed; stroke-width: 1; }
  .tidegate { fill: #0b8a7d; } .haproxy { fill: #3d6fd1; } .nginx { fill: #b7791f; } .floor { fill: #8b96a0; }
  .nginx-lua { fill: #8a5a9e; } .fastify { fill: #b8455f; }
  .user { opacity: 0.55; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e3e9ee; }
    .paper { fill: #12181e; stroke: #2a333c; }
    .quiet { fill: #93a0ac; }
    .rule { stroke: #26303a; }
    .tidegate { fill: #2cc4b2; } .haproxy { fill: #7aa2f7; } .nginx { fill: #e0a84a; } .floor { fill: #77838e; }
    .nginx-lua { fill: #bb9af7; } .fastify { fill: #f0788c; }
  }`;

export function renderChart(results: Results): string {
  const shown = panels
    .map((panel) => ({ ...panel, groups: groupsOf(results.scenarios, panel.metric) }))
    .filter(({ groups }) => groups.length > 0);
  const parts: string[] = [];
  let y = margin + 18;
  parts.push(text(margin, y, 'Tidegate beside HAProxy and nginx', 'title'));
  y += 24;
  parts.push(
    text(margin, y, 'Less is better. One thread or worker each, on one core. Medians.', 'quiet'),
  );
  y += 28;
  parts.push(legend(results, y));
  y += 22;
  for (const panel of shown) y = drawPanel(panel, y, parts);
  y += 24;
  for (const line of footer(results)) {
    parts.push(text(margin, y, line, 'quiet'));
    y += 17;
  }
  const height = y + margin - 12;
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="CPU time and memory of Tidegate beside other proxies">`,
    `<style>${style}\n</style>`,
    `<rect class="paper" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="10"/>`,
    ...parts,
    '</svg>',
  ].join('\n')}\n`;
}

/** Scenarios whose headline is the metric, a group for each variant. */
function groupsOf(scenarios: readonly ScenarioResult[], metric: MetricName): Group[] {
  return scenarios
    .filter(({ headline }) => headline === metric)
    .flatMap((scenario) =>
      scenario.variants.map((variant) => ({
        title: variant.name === '' ? scenario.name : `${scenario.name}: ${variant.name}`,
        detail: scenario.title,
        bars: barsOf(variant, metric),
      })),
    )
    .filter(({ bars }) => bars.length > 0);
}

function barsOf(variant: VariantResult, metric: MetricName): Bar[] {
  const base = baseOf(variant);
  const baseValue = base && mediansOf(base)[metric];
  return variant.peers.flatMap((peer): Bar[] => {
    const medians = mediansOf(peer);
    const value = medians[metric];
    if (value === undefined) return [];
    const parts = metric === 'cpuMicros' || metric === 'cpuMsPerGib';
    const whole = (medians.cpuUserMicros ?? 0) + (medians.cpuSystemMicros ?? 0);
    const user = parts && whole > 0 ? (value * (medians.cpuUserMicros ?? 0)) / whole : undefined;
    const compared = base?.name === 'tidegate' && peer !== base && baseValue !== undefined;
    const remark = compared && value > 0 ? `${(value / baseValue).toFixed(2)} ×` : '';
    return [{ peer: peer.name, value, user, remark }];
  });
}

function legend({ scenarios }: Results, y: number): string {
  const present = peerNames.filter((name) =>
    scenarios.some(({ variants }) =>
      variants.some(({ peers }) => peers.some((peer) => peer.name === name)),
    ),
  );
  const parts: string[] = [];
  let x = margin;
  for (const name of present) {
    const title = name === 'floor' ? 'floor: a relay of bytes' : titleOf(name);
    parts.push(`<rect class="${name}" x="${x}" y="${y - 10}" width="12" height="12" rx="3"/>`);
    parts.push(text(x + 18, y, title));
    x += 18 + title.length * 7.2 + 24;
  }
  parts.push(text(width - margin, y, 'fainter: user time', 'quiet', 'end'));
  return parts.join('\n');
}

/** Draws a panel below `top`; returns where it ends. */
function drawPanel(panel: Panel, top: number, parts: string[]): number {
  let y = top + 12;
  parts.push(line(y));
  y += 26;
  parts.push(text(margin, y, panel.title, 'panel'));
  y += 18;
  const largest = Math.max(
    ...panel.groups.flatMap(({ bars }) => bars.map(({ value }) => value)),
    1e-9,
  );
  for (const group of panel.groups) {
    parts.push(text(margin, y + 12, group.title));
    wrap(group.detail, 36).forEach((each, i) => {
      parts.push(text(margin, y + 29 + 15 * i, each, 'quiet'));
    });
    const labelHeight = 17 + 15 * wrap(group.detail, 36).length;
    group.bars.forEach((bar, i) => {
      parts.push(drawBar(bar, panel.metric, y + i * (barHeight + barGap), largest));
    });
    y += Math.max(group.bars.length * (barHeight + barGap), labelHeight) + groupGap;
  }
  return y - groupGap + 6;
}

function drawBar(bar: Bar, metric: MetricName, y: number, largest: number): string {
  const x = margin + labels;
  const length = Math.max(2, (scale * Math.max(0, bar.value)) / largest);
  const user = bar.user === undefined ? 0 : (length * bar.user) / bar.value;
  const label = formatMetric(metric, bar.value);
  const { unit } = metrics[metric];
  return [
    `<g><title>${escapeText(`${titleOf(bar.peer)}: ${label} ${unit}`)}</title>`,
    `<path class="${bar.peer}" d="${endRounded(x + user, y, length - user)}"/>`,
    user > 0
      ? `<rect class="${bar.peer} user" x="${x}" y="${y}" width="${user.toFixed(1)}" height="${barHeight}"/>`
      : '',
    text(x + length + 8, y + 12.5, label, 'value'),
    bar.remark === '' ? '' : text(width - margin, y + 12.5, bar.remark, 'quiet value', 'end'),
    '</g>',
  ].join('');
}

/** A bar whose right end alone is rounded. */
function endRounded(x: number, y: number, length: number): string {
  const radius = Math.min(3, length / 2);
  const straight = length - radius;
  return `M${x.toFixed(1)} ${y}h${straight.toFixed(1)}a${radius} ${radius} 0 0 1 ${radius} ${radius}v${barHeight - 2 * radius}a${radius} ${radius} 0 0 1 ${-radius} ${radius}h${(-straight).toFixed(1)}z`;
}

function footer(results: Results): string[] {
  const versions = new Map<PeerName, string>();
  for (const { variants } of results.scenarios) {
    for (const { name, version } of variants.flatMap(({ peers }) => peers))
      versions.set(name, version);
  }
  const named = peerNames
    .filter((name) => name !== 'floor' && versions.has(name))
    .map((name) => `${titleOf(name)} ${versions.get(name)}`);
  const dates = results.scenarios.map(({ date }) => date.slice(0, 10)).sort();
  const when = dates[0] === dates.at(-1) ? dates[0] : `${dates[0]} to ${dates.at(-1)}`;
  return [
    ...wrap(`${named.join(', ')}. ${when}.`, 130),
    ...wrap(describe(results.machine), 130),
    ...(versions.has('tidegate')
      ? ['At the right: the other’s time or memory, in multiples of Tidegate’s.']
      : []),
  ];
}

function text(x: number, y: number, content: string, name = '', anchor = 'start'): string {
  const classes = name === '' ? '' : ` class="${name}"`;
  const end = anchor === 'start' ? '' : ` text-anchor="${anchor}"`;
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}"${classes}${end}>${escapeText(content)}</text>`;
}

function line(y: number): string {
  return `<line class="rule" x1="${margin}" x2="${width - margin}" y1="${y}" y2="${y}"/>`;
}

function escapeText(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** Lines of at most `most` characters, broken at spaces. */
function wrap(content: string, most: number): string[] {
  const lines: string[] = [];
  for (const word of content.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < most)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
