// The results file: what was measured, on what, round by round.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { MetricName, Sample } from './metrics.js';
import type { PeerName } from './peers/peer.js';

export interface PeerResult {
  name: PeerName;
  version: string;
  /** One for each round. */
  samples: Sample[];
}

export interface VariantResult {
  name: string;
  peers: PeerResult[];
}

export interface ScenarioResult {
  name: string;
  title: string;
  note: string;
  date: string;
  seconds: number;
  load: string;
  headline: MetricName;
  columns: readonly MetricName[];
  ratios: readonly MetricName[];
  saturates: boolean;
  /** Requests a second, where they were fixed. */
  rate?: number;
  variants: VariantResult[];
}

export interface Machine {
  cpu: string;
  cores: number;
  proxyCore: number;
  loadCores: number[];
  kernel: string;
  node: string;
  priority: boolean;
}

export interface Results {
  machine: Machine;
  /** Proxies that took no part, and why. */
  absent: Partial<Record<PeerName, string>>;
  scenarios: ScenarioResult[];
}

const format = 1;

/** The scenarios of an earlier run on the same machine; none when there are none to go on from. */
export function readEarlier(folder: string, machine: Machine): ScenarioResult[] {
  let text: string;
  try {
    text = readFileSync(path.join(folder, 'compare.json'), 'utf8');
  } catch {
    return [];
  }
  const earlier = JSON.parse(text) as Results & { format: number };
  const same = JSON.stringify(earlier.machine) === JSON.stringify(machine);
  return earlier.format === format && same ? earlier.scenarios : [];
}

/** Earlier scenarios, with those that ran again replaced, in the given order. */
export function mergeScenarios(
  earlier: readonly ScenarioResult[],
  now: readonly ScenarioResult[],
  order: readonly string[],
): ScenarioResult[] {
  const kept = earlier.filter((old) => !now.some(({ name }) => name === old.name));
  return [...kept, ...now].sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
}

export function writeResults(
  folder: string,
  results: Results,
  texts: Record<string, string>,
): void {
  mkdirSync(folder, { recursive: true });
  const json = `${JSON.stringify({ format, ...results }, rounded, 1)}\n`;
  writeFileSync(path.join(folder, 'compare.json'), json);
  for (const [name, text] of Object.entries(texts)) writeFileSync(path.join(folder, name), text);
}

/** Four digits behind the point are more than any of it is worth. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toFixed(4)) : value;
}
