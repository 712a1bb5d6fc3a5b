// What the schema finds wrong, in words for people: the place, what was expected, what came, and what was probably meant.
import type { z } from 'zod';
import { knownKeys } from './jsonSchema.js';
import { nearest } from './nearest.js';
import type { ConfigPath } from './problem.js';
import { oneOf } from './schema/scalars.js';
import { isSecret } from './secrets.js';
import type { Finding, Source } from './source.js';
import { describeValue, quote, valueAt } from './value.js';

/** Its path is a ConfigPath from the root that was parsed. */
export type Issue = z.core.$ZodIssue;

/** The issues of a parse with `reportInput`. */
export function issuesOf(error: z.ZodError): Issue[] {
  return error.issues.flatMap((issue) => flatten(issue, []));
}

export function describeIssues(issues: Issue[], source: Source): Finding[] {
  return withoutEchoes(issues).flatMap((issue) => describe(issue, source));
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
  const secret = origin === undefined && isSecret(path);
  const received = secret
    ? 'what is not shown here'
    : (receivedOf(issue) ?? describeValue(issue.input, origin));
  // Hints quote what came.
  const hint = origin === undefined && !secret ? hintOf(issue) : undefined;
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
