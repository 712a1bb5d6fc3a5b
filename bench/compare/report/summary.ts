// What the samples come to: medians, spreads, ratios, and what has to be said beside them.
import { type MetricName, metrics, type Sample } from '../metrics.js';
import type { PeerName } from '../peers/peer.js';
import type { PeerResult, ScenarioResult, VariantResult } from '../results.js';
import { disturbedPercent } from '../run.js';
import { median, ratioOfMedians, spread } from '../stats.js';

/** Under this, in percent, a proxy was waiting for the load. */
const busyPercent = 95;

export function valuesOf({ samples }: PeerResult, metric: MetricName): number[] {
  return samples.flatMap((sample) => sample[metric] ?? []);
}

export function mediansOf(peer: PeerResult): Sample {
  const medians: Sample = {};
  for (const name of Object.keys(metrics) as MetricName[]) {
    const values = valuesOf(peer, name);
    if (values.length > 0) medians[name] = median(values);
  }
  return medians;
}

/** Of the headline over the rounds, in percent. */
export function spreadOf(peer: PeerResult, { headline }: ScenarioResult): number {
  return 100 * spread(valuesOf(peer, headline));
}

/** The proxy that the others are held against: Tidegate where it took part. */
export function baseOf({ peers }: VariantResult): PeerResult | undefined {
  return peers.find(({ name }) => name === 'tidegate') ?? peers[0];
}

export interface Ratio {
  metric: MetricName;
  over: string;
  under: string;
  value: number;
}

/**
 * Ratios of medians: the base against each other proxy, then variants against the first one: each
 * proxy against itself there, and the base against those that only the first one has.
 */
export function ratiosOf(scenario: ScenarioResult): Ratio[] {
  // That one is a ratio itself, of variants that have nothing to do with each other.
  if (scenario.headline === 'slowdown') return [];
  const chosen = [scenario.headline, ...scenario.ratios];
  const ratios: Ratio[] = [];
  const add = (
    metric: MetricName,
    over: PeerResult,
    under: PeerResult,
    names: [string, string],
  ) => {
    const value = ratioOfMedians(valuesOf(over, metric), valuesOf(under, metric));
    if (Number.isFinite(value)) ratios.push({ metric, over: names[0], under: names[1], value });
  };
  for (const variant of scenario.variants) {
    const base = baseOf(variant);
    for (const metric of chosen) {
      for (const other of variant.peers) {
        if (!base || other === base) continue;
        const suffix = variant.name === '' ? '' : ` (${variant.name})`;
        add(metric, base, other, [base.name, `${other.name}${suffix}`]);
      }
    }
  }
  const [first, ...others] = scenario.variants;
  for (const variant of others) {
    const has = (name: PeerName) => variant.peers.some((each) => each.name === name);
    for (const over of variant.peers) {
      for (const under of first?.peers ?? []) {
        const itself = under.name === over.name;
        if (!itself && (over !== baseOf(variant) || has(under.name))) continue;
        const where = itself ? `${first?.name}` : `${under.name} ${first?.name}`;
        add(scenario.headline, over, under, [`${over.name} ${variant.name}`, where]);
      }
    }
  }
  return ratios;
}

/** Sentences that a reader of the numbers must see. */
export function warningsOf(scenario: ScenarioResult): string[] {
  return scenario.variants.flatMap((variant) => {
    const where = variant.name === '' ? '' : ` (${variant.name})`;
    return variant.peers.flatMap((peer) => {
      const subject = `${peer.name}${where}`;
      return [...bottleneckWarning(scenario, peer, subject), ...disturbance(peer, subject)];
    });
  });
}

function bottleneckWarning(
  { saturates }: ScenarioResult,
  peer: PeerResult,
  subject: string,
): string[] {
  const busy = median(valuesOf(peer, 'proxyBusy'));
  if (!saturates || !(busy < busyPercent)) return [];
  return [
    `${subject} was not the bottleneck: it was busy for ${Math.floor(busy)}% of the time, so its requests/s are those of the load.`,
  ];
}

function disturbance({ samples }: PeerResult, subject: string): string[] {
  const disturbed = samples.filter(({ foreign }) => (foreign ?? 0) > disturbedPercent).length;
  if (disturbed === 0) return [];
  return [
    `${subject}: other programs took more than ${disturbedPercent}% of a core in ${disturbed} of ${samples.length} rounds.`,
  ];
}

const titles: Readonly<Record<PeerName, string>> = {
  tidegate: 'Tidegate',
  haproxy: 'HAProxy',
  nginx: 'nginx',
  'nginx-lua': 'nginx + Lua',
  fastify: '@fastify/http-proxy',
  floor: 'floor',
};

export function titleOf(name: PeerName): string {
  return titles[name];
}
