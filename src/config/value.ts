// Raw values: looking into them, and naming them in messages.
import type { ConfigPath } from './problem.js';
import type { Origin } from './source.js';

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
