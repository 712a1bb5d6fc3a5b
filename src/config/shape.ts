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
}

type Issue = z.core.$ZodIssue;

export function checkShape(source: Source): Shape {
  const result = configSchema.safeParse(source.value, { reportInput: true });
  if (result.success) {
    return { findings: [], config: result.data, draft: result.data, isBroken: () => false };
  }
  const issues = result.error.issues.flatMap((issue) => flatten(issue, []));
  const broken = new Set(issues.flatMap((issue) => prefixesOf(issue.path as ConfigPath)));
  return {
    findings: issues.flatMap((issue) => describe(issue, source)),
    config: undefined,
    draft: salvageAll(source.value),
    isBroken: (path) => broken.has(JSON.stringify(path)),
  };
}

function prefixesOf(path: ConfigPath): string[] {
  return Array.from({ length: path.length + 1 }, (_, length) =>
    JSON.stringify(path.slice(0, length)),
  );
}

function salvageAll(value: unknown): Draft {
  const list = <S extends z.ZodType>(key: string, schema: S): (z.output<S> | undefined)[] => {
    const items = valueAt(value, [key]);
    return Array.isArray(items) ? items.map((item) => salvage(schema, item)) : [];
  };
  return {
    admin: salvage(adminSchema, valueAt(value, ['admin'])),
    listeners: list('listeners', listenerSchema),
    routes: list('routes', routeSchema),
    upstreams: list('upstreams', upstreamSchema),
  };
}

/** Cuts away what is wrong until the rest can be read; undefined when that takes everything. */
function salvage<S extends z.ZodType>(schema: S, raw: unknown): z.output<S> | undefined {
  let value = raw;
  // Each round cuts a key or more; cutting can uncover missing keys, so a few rounds are needed.
  for (let round = 0; round < 20; round += 1) {
    const result = schema.safeParse(value, { reportInput: true });
    if (result.success) return result.data;
    const cuts = result.error.issues.flatMap((issue) => flatten(issue, [])).flatMap(cutsOf);
    if (cuts.some((path) => path.length === 0)) return undefined;
    value = without(value, cuts);
  }
  return undefined;
}

/** What must go: a list with a wrong item goes whole (indices stay true), a missing key takes its map along. */
function cutsOf(issue: Issue): ConfigPath[] {
  const path = issue.path as ConfigPath;
  const index = path.findIndex((step) => typeof step === 'number');
  if (index !== -1) return [path.slice(0, index)];
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => [...path, key]);
  const missing = issue.code !== 'custom' && issue.input === undefined;
  return [missing ? path.slice(0, -1) : path];
}

function without(value: unknown, cuts: ConfigPath[]): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(
    ([key]) => !cuts.some((cut) => cut.length === 1 && cut[0] === key),
  );
  return Object.fromEntries(
    kept.map(([key, item]) => {
      const below = cuts.filter((cut) => cut[0] === key).map((cut) => cut.slice(1));
      return [key, below.length === 0 ? item : without(item, below)];
    }),
  );
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
  const received = describeValue(issue.input, source.origin(path));
  return [
    {
      code: 'wrong_value',
      path,
      message: `${message} but received ${received}`,
      hint: hintOf(issue),
    },
  ];
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
  if (issue.code === 'invalid_type' && issue.expected === 'string') {
    const scalar = ['number', 'boolean'].includes(typeof issue.input);
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
