// Options that a configuration module gives have to cross to workers: what cannot is found here, at its place.
import type { ConfigPath } from '../config/problem.js';

export interface Stranger {
  /** From the value that was looked into. */
  path: ConfigPath;
  /** Completes "but received". */
  what: string;
}

/** What in a value is not made of texts, finite numbers, true, false, null, lists and maps; undefined stands for nothing. */
export function strangersIn(value: unknown): Stranger[] {
  const strangers: Stranger[] = [];
  visit(value, [], new Set(), strangers);
  return strangers;
}

function visit(value: unknown, path: ConfigPath, above: Set<object>, strangers: Stranger[]): void {
  const what = strangeness(value, above);
  if (what !== undefined) {
    strangers.push({ path, what });
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  above.add(value);
  const entries: Iterable<[string | number, unknown]> = Array.isArray(value)
    ? value.entries()
    : Object.entries(value);
  for (const [step, item] of entries) visit(item, [...path, step], above, strangers);
  above.delete(value);
}

function strangeness(value: unknown, above: ReadonlySet<object>): string | undefined {
  switch (typeof value) {
    case 'function':
      return 'a function';
    case 'symbol':
      return 'a symbol';
    case 'bigint':
      return 'a bigint';
    case 'number':
      return Number.isFinite(value) ? undefined : String(value);
    case 'object':
      break;
    default:
      return undefined;
  }
  if (value === null) return undefined;
  if (above.has(value)) return 'what contains itself';
  if (Array.isArray(value)) return undefined;
  const prototype: unknown = Object.getPrototypeOf(value);
  // A map of another realm has another Object, and its prototype has none above it either.
  if (prototype === null || Object.getPrototypeOf(prototype) === null) return undefined;
  const { name } = value.constructor ?? {};
  return typeof name === 'string' && name !== '' ? `a ${name}` : 'an object of a class';
}
