// As much of a wrong configuration as can be read, so that the rest can be checked too.
import type { z } from 'zod';
import { type Issue, issuesOf } from './issues.js';
import type { ConfigPath } from './problem.js';
import { type ConsumerSettings, consumerSchema } from './schema/consumers.js';
import type {
  Config,
  ListenerSettings,
  PolicySettings,
  RouteSettings,
  UpstreamSettings,
} from './schema/index.js';
import { listenerSchema } from './schema/listener.js';
import { policySchema } from './schema/policy.js';
import { adminSchema, processSchema } from './schema/process.js';
import { routeSchema } from './schema/route.js';
import { upstreamSchema } from './schema/upstream.js';
import { valueAt } from './value.js';

/** The configuration as far as it can be read. An item that cannot keeps its place in the list. */
export interface Draft {
  process: Config['process'] | undefined;
  admin: Config['admin'] | undefined;
  listeners: (ListenerSettings | undefined)[];
  routes: (RouteSettings | undefined)[];
  policies: (PolicySettings | undefined)[];
  /** Those that stand in the file itself. */
  consumers: (ConsumerSettings | undefined)[];
  upstreams: (UpstreamSettings | undefined)[];
}

/** By the path of a list that lost items, in the draft: the index that each item has in the file. */
export type KeptItems = Map<string, number[]>;

/** Cuts away what the schema refuses, and notes in `kept` which items of lists are left. */
export function draftOf(value: unknown, kept: KeptItems): Draft {
  const list = <S extends z.ZodType>(key: string, schema: S): (z.output<S> | undefined)[] => {
    const items = valueAt(value, [key]);
    return Array.isArray(items)
      ? items.map((item, index) => salvage(schema, item, [key, index], kept))
      : [];
  };
  return {
    process: salvage(processSchema, valueAt(value, ['process']), ['process'], kept),
    admin: salvage(adminSchema, valueAt(value, ['admin']), ['admin'], kept),
    listeners: list('listeners', listenerSchema),
    routes: list('routes', routeSchema),
    policies: list('policies', policySchema),
    consumers: list('consumers', consumerSchema),
    upstreams: list('upstreams', upstreamSchema),
  };
}

/** Cuts away what is wrong until the rest can be read; undefined when that takes everything. */
function salvage<S extends z.ZodType>(
  schema: S,
  raw: unknown,
  base: ConfigPath,
  kept: KeptItems,
): z.output<S> | undefined {
  let value = raw;
  // Cutting can uncover that a key is missing or a list empty, once for each level above.
  for (let round = 0; round < 20; round += 1) {
    const result = schema.safeParse(value, { reportInput: true });
    if (result.success) return result.data;
    const cuts = issuesOf(result.error).flatMap(cutsOf);
    if (cuts.some((path) => path.length === 0)) return undefined;
    value = without(value, cuts, base, kept);
  }
  return undefined;
}

/** What must go for the rest to be read. A missing key takes its map along. */
function cutsOf(issue: Issue): ConfigPath[] {
  const path = issue.path as ConfigPath;
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => [...path, key]);
  const missing = issue.code !== 'custom' && issue.input === undefined;
  return [missing ? path.slice(0, -1) : path];
}

function without(value: unknown, cuts: ConfigPath[], base: ConfigPath, kept: KeptItems): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const isCut = (step: string | number) => cuts.some((cut) => cut.length === 1 && cut[0] === step);
  const rest = (step: string | number, item: unknown) => {
    const below = cuts.filter((cut) => cut[0] === step).map((cut) => cut.slice(1));
    return below.length === 0 ? item : without(item, below, [...base, step], kept);
  };
  if (Array.isArray(value)) {
    const left = [...value.keys()].filter((index) => !isCut(index));
    const before = kept.get(JSON.stringify(base)) ?? [...value.keys()];
    kept.set(
      JSON.stringify(base),
      left.map((index) => before[index] ?? index),
    );
    return left.map((index) => rest(index, value[index]));
  }
  const entries = Object.entries(value).filter(([key]) => !isCut(key));
  return Object.fromEntries(entries.map(([key, item]) => [key, rest(key, item)]));
}
