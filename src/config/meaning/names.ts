// The names that a file gives, whether or not the rest of what bears them is right.
import { nearest } from '../nearest.js';
import type { ConfigPath } from '../problem.js';
import { oneOf } from '../schema/scalars.js';
import type { Finding } from '../source.js';
import { quote, valueAt } from '../value.js';

const kinds = {
  listeners: 'listener',
  routes: 'route',
  policies: 'policy',
  upstreams: 'upstream',
} as const;
type Section = keyof typeof kinds;

export class Names {
  readonly #names = new Map<Section, Map<string, number>>();
  readonly #report: (finding: Finding) => void;

  /** Reports names that are given twice. */
  constructor(value: unknown, report: (finding: Finding) => void) {
    this.#report = report;
    for (const section of Object.keys(kinds) as Section[])
      this.#names.set(section, this.#collect(section, value));
  }

  /** Reports a reference to what is not there; true when it is. */
  refer(section: Section, name: string, path: ConfigPath): boolean {
    const names = this.#names.get(section) ?? new Map<string, number>();
    if (names.has(name)) return true;
    const known = [...names.keys()];
    const near = nearest(name, known);
    const kind = kinds[section];
    this.#report({
      code: 'unknown_reference',
      path,
      message: `expected the name of ${article(kind)} ${kind} but received ${quote(name)}`,
      hint: near === undefined ? knownNames(section, known) : `did you mean ${quote(near)}?`,
    });
    return false;
  }

  #collect(section: Section, value: unknown): Map<string, number> {
    const names = new Map<string, number>();
    const items = valueAt(value, [section]);
    for (const [index, item] of (Array.isArray(items) ? items : []).entries()) {
      const name = valueAt(item, ['name']);
      if (typeof name !== 'string') continue;
      const first = names.get(name);
      if (first === undefined) {
        names.set(name, index);
        continue;
      }
      this.#report({
        code: 'duplicate_name',
        path: [section, index, 'name'],
        message: `expected a name of its own but ${quote(name)} is the name of ${section}[${first}]`,
      });
    }
    return names;
  }
}

function article(word: string): string {
  return /^[aeiou]/.test(word) ? 'an' : 'a';
}

function knownNames(section: Section, names: string[]): string {
  if (names.length === 0) return `the file has no ${section}`;
  return names.length <= 8
    ? `there is ${oneOf(names.map(quote)).replace(/ or (?="[^"]*"$)/, ' and ')}`
    : `the file has ${names.length} ${section}`;
}
