// Rounds: in each, every proxy is measured once in every variant, in an order that rotates.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { WireLoad } from './loads/wires.js';
import { measureIdle, measureLoad, measureReload } from './measure.js';
import { measureFlood, measureHandshakeFlood } from './measure-floods.js';
import { measureBlock, measureExact, measureKill } from './measure-policies.js';
import { formatMetric, metrics, type Sample } from './metrics.js';
import type { Options } from './options.js';
import { peers } from './peers/index.js';
import type { Located, PeerName } from './peers/peer.js';
import { headerLines } from './policy-work.js';
import type { Machine, ScenarioResult } from './results.js';
import { freePort, RunningPeer } from './running-peer.js';
import type { Scenario, Variant } from './scenarios.js';
import { median } from './stats.js';
import { makeFolder, removeFolder } from './temporary.js';
import { type Certificate, isEncrypted, plainWires } from './wires.js';

/** More than this of either core used by other programs, in percent: the measurement is repeated. */
export const disturbedPercent = 10;

export interface Bench {
  options: Options;
  machine: Machine;
  load: WireLoad;
  /** Of the proxies that encrypt; undefined where none can be made. */
  certificate: Certificate | undefined;
  located: ReadonlyMap<PeerName, Located>;
  say(line: string): void;
}

interface Unit {
  variant: Variant;
  name: PeerName;
}

/** The list, begun at another place. */
export function rotate<Item>(items: readonly Item[], by: number): Item[] {
  const start = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}

export async function runScenario(bench: Bench, scenario: Scenario): Promise<ScenarioResult> {
  const located = [...bench.located.keys()];
  const namesOf = (variant: Variant) =>
    located.filter((name) => (variant.peers ?? scenario.peers).includes(name));
  const slowest = scenario.variants.find(({ halfOfSlowest }) => halfOfSlowest);
  const rate = slowest && (await halfOfSlowestPeak(bench, scenario, slowest, namesOf(slowest)));
  const units = scenario.variants.flatMap((variant) =>
    namesOf(variant).map((name): Unit => ({ variant, name })),
  );
  const samples = new Map(units.map((unit) => [unit, [] as Sample[]]));
  for (let round = 0; round < bench.options.rounds; round += 1) {
    for (const unit of rotate(units, round)) {
      const sample = await measureUndisturbed(bench, scenario, unit, rate);
      samples.get(unit)?.push(sample);
      bench.say(progress(bench, scenario, unit, round, sample));
    }
  }
  const { name, title, note, headline, columns, ratios, saturates } = scenario;
  return {
    name,
    title,
    note,
    date: new Date().toISOString(),
    seconds: scenario.seconds ?? bench.options.seconds,
    load: bench.load.description,
    headline,
    columns,
    ratios,
    saturates,
    ...(rate !== undefined && { rate }),
    variants: scenario.variants.map((variant) => ({
      name: variant.name,
      peers: units
        .filter((unit) => unit.variant === variant)
        .map((unit) => ({
          name: unit.name,
          version: bench.located.get(unit.name)?.version ?? '',
          samples: samples.get(unit) ?? [],
        })),
    })),
  };
}

/** The least disturbed of a few tries. */
async function measureUndisturbed(
  bench: Bench,
  scenario: Scenario,
  unit: Unit,
  rate: number | undefined,
): Promise<Sample> {
  const foreign = (sample: Sample) => sample.foreign ?? 0;
  let best = await measure(bench, scenario, unit, rate);
  for (let i = 0; i < bench.options.retries && foreign(best) > disturbedPercent; i += 1) {
    const next = await measure(bench, scenario, unit, rate);
    if (foreign(next) < foreign(best)) best = next;
  }
  return best;
}

async function measure(
  bench: Bench,
  scenario: Scenario,
  { variant, name }: Unit,
  rate: number | undefined,
): Promise<Sample> {
  const { load, machine } = bench;
  const peer = await startPeer(bench, scenario, variant, name);
  const folder = makeFolder('load');
  try {
    const request = {
      ...requestOf(bench, scenario, variant, peer, rate),
      ...writeHeaders(variant, folder),
    };
    switch (scenario.kind) {
      case 'idle':
        return await measureIdle(peer, load, request);
      case 'reload':
        return await measureReload(peer, load, request);
      case 'kill':
        return await measureKill(peer, load, request);
      case 'hellos':
        return await measureHandshakeFlood(peer, load, request, machine, variant.flooded ?? false);
      case 'floods':
        return await measureFlood(peer, load, request, machine, variant.flood ?? 'ping');
      case 'exact':
        return await measureExact(load, request, allowedBy(variant));
      case 'block':
        // Without a rate it is the peak that is measured, which the rate will be half of.
        if (rate !== undefined)
          return await measureBlock(peer, load, request, variant.blocks ?? false);
        return await measureLoad(peer, load, request, machine, undefined);
      case 'load':
        return await measureLoad(peer, load, request, machine, variant.bodyBytes);
    }
  } finally {
    await peer.stop();
    removeFolder(folder);
  }
}

function allowedBy({ policies }: Variant): number {
  return policies?.kind === 'limited' ? policies.count : Number.NaN;
}

function writeHeaders({ policies }: Variant, folder: string): { headers?: string } {
  const lines = headerLines(policies);
  if (lines.length === 0) return {};
  const file = path.join(folder, 'headers');
  writeFileSync(file, `${lines.join('\n')}\n`);
  return { headers: file };
}

async function startPeer(
  { machine, load, located, certificate }: Bench,
  { kind, threads, policyWorkers, everyCore }: Scenario,
  variant: Variant,
  name: PeerName,
): Promise<RunningPeer> {
  const program = located.get(name)?.program ?? '';
  const { client } = variant.wires ?? plainWires;
  const setup = {
    originPort: load.originPort,
    connections: variant.connections,
    headers: variant.headers ?? 'default',
    routes: variant.routes,
    bufferBytes: variant.bufferBytes,
    accessLog: variant.accessLog ?? false,
    generation: kind === 'reload' ? 0 : undefined,
    policies: variant.policies,
    wires: variant.wires,
    grpc: variant.grpc,
    certificate: isEncrypted(client) ? certificate : undefined,
    threads,
    policyWorkers,
    ownTimeouts: kind === 'floods',
    adminPort: kind === 'kill' || kind === 'floods' ? await freePort() : undefined,
  } as const;
  // A first answer of a mebibyte, or none to an empty upload, would say no more than a short one.
  const probe = variant.routes === undefined ? '/b/64' : variant.path.replace('{n}', '0');
  const cores = [machine.proxyCore, ...(everyCore ? machine.loadCores : [])];
  return RunningPeer.start(peers[name], program, setup, probe, cores);
}

function requestOf(
  { options }: Bench,
  scenario: Scenario,
  variant: Variant,
  peer: RunningPeer,
  halfOfPeak: number | undefined,
) {
  const { connections, path, paths, fresh, resumed, upload, wires, streams } = variant;
  const rate = variant.halfOfSlowest ? halfOfPeak : variant.rate;
  return {
    port: peer.port,
    connections,
    seconds: scenario.seconds ?? options.seconds,
    path,
    ...(paths !== undefined && { paths }),
    ...(fresh !== undefined && { fresh }),
    ...(resumed !== undefined && { resumed }),
    ...(upload !== undefined && { upload }),
    ...(wires !== undefined && { wire: wires.client }),
    ...(streams !== undefined && { streams }),
    ...(variant.grpc && { grpc: true }),
    ...(rate !== undefined && { rate }),
  };
}

/** A short run of each proxy (the floor is none) at the scenario's requests, as fast as it goes. */
async function halfOfSlowestPeak(
  bench: Bench,
  scenario: Scenario,
  variant: Variant,
  names: readonly PeerName[],
): Promise<number> {
  const proxies = names.filter((name) => name !== 'floor');
  const peaks: number[] = [];
  for (const name of proxies.length > 0 ? proxies : names) {
    const runs: number[] = [];
    for (let i = 0; i < 3; i += 1) {
      const sample = await measureUndisturbed(bench, scenario, { variant, name }, undefined);
      runs.push(sample.requestsPerSecond ?? 0);
    }
    peaks.push(median(runs));
    bench.say(
      `${scenario.name}: peak of ${name} ${formatMetric('requestsPerSecond', peaks.at(-1))}/s`,
    );
  }
  return Math.max(100, Math.floor(Math.min(...peaks) / 2 / 100) * 100);
}

function progress(
  { options }: Bench,
  scenario: Scenario,
  { variant, name }: Unit,
  round: number,
  sample: Sample,
): string {
  const shown = [...new Set([scenario.headline, ...scenario.ratios])].map(
    (metric) =>
      `${metrics[metric].title} ${formatMetric(metric, sample[metric])} ${metrics[metric].unit}`,
  );
  const foreign = sample.foreign ?? 0;
  if (foreign > disturbedPercent) shown.push(`disturbed: ${foreign.toFixed(0)}% to other programs`);
  const what = variant.name === '' ? scenario.name : `${scenario.name} ${variant.name}`;
  return `${what} ${round + 1}/${options.rounds} ${name}: ${shown.join(', ')}`.trimEnd();
}
