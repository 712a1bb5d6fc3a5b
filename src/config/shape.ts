// Holds a raw value against the schema. What is wrong is reported and cut away, so that the rest can be checked too.
import type { z } from 'zod';
import { knownKeys } from './jsonSchema.js';
import { nearest } from './nearest.js';
import type { ConfigPath } from './problem.js';
import {
  type Config,
  configSchema,
  type ListenerSettings,
  type RouteSettings,
  type UpstreamSettings,
} from './schema/index.js';
import { listenerSchema } from './schema/listener.js';
import { adminSchema } from './schema/process.js';
import { routeSchema } from './schema/route.js';
import { oneOf } from './schema/scalars.js';
import { upstreamSchema } from './schema/upstream.js';
import type { Finding, Origin, Source } from './source.js';

/** The configuration as far as it can be read. An item that cannot keeps its place in the list. */
export interface Draft {
  admin: Config['admin'] | undefined;
  listeners: (ListenerSettings | undefined)[];
  routes: (RouteSettings | undefined)[];
  upstreams: (UpstreamSettings | undefined)[];
}

export interface Shape {
  findings: Finding[];
  /** Undefined when there are findings. */
  config: Config | undefined;
  draft: Draft;
  /** Something at or below the path was wrong and is not in the draft as it was written. */
  isBroken(path: ConfigPath): boolean;
  /** Where what stands at a path of the draft stands in the file: items before it may have been left out. */
  written(path: ConfigPath): ConfigPath;
}

type Issue = z.core.$ZodIssue;

export function checkShape(source: Source): Shape {
  const result = configSchema.safeParse(source.value, { reportInput: true });
  if (result.success) {
    return {
      findings: [],
      config: result.data,
      draft: result.data,
      isBroken: () => false,
      written: (path) => path,
    };
  }
  const issues = result.error.issues.flatMap((issue) => flatten(issue, []));
  const broken = new Set(issues.flatMap((issue) => prefixesOf(issue.path as ConfigPath)));
  const kept: KeptItems = new Map();
  return {
    findings: withoutEchoes(issues).flatMap((issue) => describe(issue, source)),
    config: undefined,
    draft: salvageAll(source.value, kept),
    isBroken: (path) => broken.has(JSON.stringify(path)),
    written: (path) =>
      path.map((step, index) => {
        const indices =
          typeof step === 'number' ? kept.get(JSON.stringify(path.slice(0, index))) : undefined;
        return indices?.[Number(step)] ?? step;
      }),
  };
}

/** A misspelt key is one mistake: that the right one is missing, or the whole incomplete, is not said again. */
function withoutEchoes(issues: Issue[]): Issue[] {
  const misspelt = new Set<string>();
  const incomplete = new Set<string>();
  for (const issue of issues) {
    if (issue.code !== 'unrecognized_keys') continue;
    const path = issue.path as ConfigPath;
    incomplete.add(JSON.stringify(path));
    for (const key of issue.keys) {
      const near = nearest(key, knownKeys(path) ?? []);
      if (near !== undefined) misspelt.add(JSON.stringify([...path, near]));
    }
  }
  return issues.filter((issue) => {
    const path = JSON.stringify(issue.path);
    if (issue.code === 'custom') return !incomplete.has(path);
    return issue.input !== undefined || !misspelt.has(path);
  });
}

function prefixesOf(path: ConfigPath): string[] {
  return Array.from({ length: path.length + 1 }, (_, length) =>
    JSON.stringify(path.slice(0, length)),
  );
}

/** By the path of a list that lost items, in the draft: the index that each item has in the file. */
type KeptItems = Map<string, number[]>;

function salvageAll(value: unknown, kept: KeptItems): Draft {
  const list = <S extends z.ZodType>(key: string, schema: S): (z.output<S> | undefined)[] => {
    const items = valueAt(value, [key]);
    return Array.isArray(items)
      ? items.map((item, index) => salvage(schema, item, [key, index], kept))
      : [];
  };
  return {
    admin: salvage(adminSchema, valueAt(value, ['admin']), ['admin'], kept),
    listeners: list('listeners', listenerSchema),
    routes: list('routes', routeSchema),
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
    const cuts = result.error.issues.flatMap((issue) => flatten(issue, [])).flatMap(cutsOf);
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

/** An issue of a union becomes those of the one option that the value was meant for, when that can be told. */
function flatten(issue: Issue, base: ConfigPath): Issue[] {
  const path = [...base, ...(issue.path as ConfigPath)];
  if (issue.code !== 'invalid_union') return [{ ...issue, path: [...path] }];
  const options = issue.errors.map((errors) => errors.flatMap((inner) => flatten(inner, path)));
  const meant = options.filter(
    (errors) => !errors.some((inner) => isOtherType(inner, path.length)),
  );
  const [only] = meant;
  return meant.length === 1 && only !== undefined ? only : [{ ...issue, path: [...path] }];
}

function isOtherType(issue: Issue, depth: number): boolean {
  return (
    issue.path.length === depth &&
    ['invalid_type', 'invalid_value', 'invalid_union'].includes(issue.code)
  );
}

function describe(issue: Issue, source: Source): Finding[] {
  const path = issue.path as ConfigPath;
  if (source.origin(path)?.kind === 'unread') return [];
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => unknownKey([...path, key]));
  if (issue.code === 'invalid_key') {
    const message = issue.issues[0]?.message ?? issue.message;
    return [
      {
        code: 'wrong_value',
        path,
        at: 'key',
        message: `${message} but received ${quote(String(path.at(-1)))}`,
      },
    ];
  }
  const message = issue.message.startsWith('expected ') ? issue.message : 'expected a map';
  if (issue.input === undefined && hasNoValue(source.value, path)) {
    const key = String(path.at(-1));
    return [
      {
        code: 'missing_key',
        path,
        at: 'key',
        message: `the key ${quote(key)} is missing: ${message}`,
      },
    ];
  }
  const origin = source.origin(path);
  const received = receivedOf(issue) ?? describeValue(issue.input, origin);
  // Hints quote what came.
  const hint = origin === undefined ? hintOf(issue) : undefined;
  return [{ code: 'wrong_value', path, message: `${message} but received ${received}`, hint }];
}

function receivedOf(issue: Issue): string | undefined {
  const received: unknown = issue.code === 'custom' ? issue.params?.['received'] : undefined;
  return typeof received === 'string' ? received : undefined;
}

function unknownKey(path: ConfigPath): Finding {
  const key = String(path.at(-1));
  const known = knownKeys(path.slice(0, -1)) ?? [];
  const near = nearest(key, known);
  return {
    code: 'unknown_key',
    path,
    at: 'key',
    message: `unknown key ${quote(key)}: expected ${oneOf(known)}`,
    hint: near === undefined ? undefined : `did you mean ${quote(near)}?`,
  };
}

function hintOf(issue: Issue): string | undefined {
  if (issue.code === 'custom' && typeof issue.params?.['hint'] === 'string')
    return issue.params['hint'];
  if (issue.code === 'invalid_value' && typeof issue.input === 'string') {
    const near = nearest(issue.input, issue.values.map(String));
    return near === undefined ? undefined : `did you mean ${near}?`;
  }
  if (issue.code === 'invalid_union' && typeof issue.input === 'string') {
    const words = wordsOf(issue);
    const near = nearest(issue.input, words);
    return near === undefined ? undefined : `did you mean ${near}?`;
  }
  const scalar = ['string', 'number', 'boolean'].includes(typeof issue.input);
  if (issue.code === 'invalid_type' && issue.expected === 'array' && scalar) {
    return `a list of one is written [${issue.input}]`;
  }
  if (issue.code === 'invalid_type' && issue.expected === 'string') {
    if (typeof issue.input === 'number' && issue.message.startsWith('expected a duration')) {
      return `write ${issue.input}s or ${issue.input}ms`;
    }
    return scalar ? `a text that looks like a ${typeof issue.input} needs quotes` : undefined;
  }
  return undefined;
}

/** The words that an option of the union would have been. */
function wordsOf(issue: Extract<Issue, { code: 'invalid_union' }>): string[] {
  return issue.errors
    .flat()
    .flatMap((inner) => (inner.code === 'invalid_value' ? inner.values.map(String) : []));
}

function hasNoValue(value: unknown, path: ConfigPath): boolean {
  return path.length > 0 && valueAt(value, path) === undefined;
}

/** The raw value at a path; undefined when there is none. */
export function valueAt(value: unknown, path: ConfigPath): unknown {
  let at = value;
  for (const step of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, step)) return undefined;
    at = (at as Record<string | number, unknown>)[step];
  }
  return at;
}

export function quote(text: string): string {
  return JSON.stringify(text);
}

/** What came, for people. Text of the environment and of files is not shown. */
export function describeValue(value: unknown, origin: Origin | undefined): string {
  if (origin?.kind === 'env') return `what ${origin.written} stands for`;
  if (origin?.kind === 'file') return `the text of ${origin.path}`;
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return 'a map';
  if (typeof value === 'string') {
    return value.length > 80 ? `${quote(value.slice(0, 77))}…` : quote(value);
  }
  return typeof value === 'function' ? 'a function' : String(value);
}
