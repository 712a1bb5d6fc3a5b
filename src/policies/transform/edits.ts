// Edits of one head or query, compiled when the policy is set up: what does not depend on the request is made once.
import type { HeadEdits } from '../../policy/verdict.js';
import { isConstant, render, type Template, type Values } from './template.js';

/** As the options have them. */
export interface EditSettings {
  readonly remove: readonly string[];
  readonly set: Readonly<Record<string, Template>>;
  readonly add: Readonly<Record<string, readonly Template[]>>;
  /** From old names to new ones. */
  readonly rename?: Readonly<Record<string, string>>;
  readonly replace?: Readonly<Record<string, Template>>;
  readonly default?: Readonly<Record<string, Template>>;
}

/** What is different between headers and query parameters. */
export interface Side {
  /** Equal for names that mean the same. */
  readonly name: (name: string) => string;
  readonly encode: (value: string) => string;
  /** Where an edit that depends on what is there finds it. */
  readonly key: (name: string) => string;
}

export const headerSide: Side = {
  name: (name) => name.toLowerCase(),
  encode: oneLine,
  key: (name) => `lines ${name}`,
};

export const querySide: Side = {
  name: (name) => name,
  encode: (value) => value,
  key: (name) => `query.${name}`,
};

const control = /[\0-\x08\x0a-\x1f\x7f]/g;

/** Controls, line breaks above all, become escapes: none of them can begin another header. */
function oneLine(value: string): string {
  return value.search(control) < 0 ? value : value.replaceAll(control, encodeURIComponent);
}

interface MadeEdits {
  readonly set: Record<string, string>;
  readonly add: Record<string, string[]>;
  readonly remove: string[];
}

type Pairs<T> = readonly (readonly [name: string, value: T])[];

export class Edits {
  readonly #side: Side;
  readonly #remove: readonly string[];
  readonly #rename: Pairs<string>;
  readonly #replace: Pairs<Template>;
  readonly #default: Pairs<Template>;
  readonly #set: Pairs<Template>;
  readonly #add: Pairs<readonly Template[]>;
  readonly #constant: { readonly edits: HeadEdits | undefined } | undefined;

  constructor(settings: EditSettings, side: Side) {
    const pairs = <T>(map: Readonly<Record<string, T>> = {}): Pairs<T> =>
      Object.entries(map).map(([name, value]) => [side.name(name), value]);
    this.#side = side;
    this.#remove = settings.remove.map(side.name);
    this.#rename = pairs(settings.rename).map(([from, to]) => [from, side.name(to)]);
    this.#replace = pairs(settings.replace);
    this.#default = pairs(settings.default);
    this.#set = pairs(settings.set);
    this.#add = pairs(settings.add);
    this.#constant = this.#isConstant() ? { edits: withoutNothing(this.#make({})) } : undefined;
  }

  /** The names whose values make() looks at, and where it finds them. */
  *looksAt(): Iterable<{ name: string; key: string }> {
    for (const [name] of [...this.#rename, ...this.#replace, ...this.#default]) {
      yield { name, key: this.#side.key(name) };
    }
  }

  /** All that it writes. */
  *templates(): Iterable<Template> {
    for (const [, template] of [this.#replace, this.#default, this.#set].flat()) yield template;
    for (const [, templates] of this.#add) yield* templates;
  }

  /** Undefined where nothing is to be edited. */
  make(values: Values): HeadEdits | undefined {
    return this.#constant === undefined ? withoutNothing(this.#make(values)) : this.#constant.edits;
  }

  #isConstant(): boolean {
    return (
      this.#rename.length + this.#replace.length + this.#default.length === 0 &&
      this.#set.every(([, template]) => isConstant(template)) &&
      this.#add.every(([, templates]) => templates.every(isConstant))
    );
  }

  /** One after the other: remove, rename, replace, default, set, add; each sees what those before it have left. */
  #make(values: Values): MadeEdits {
    const { encode, key } = this.#side;
    // Without a prototype: `constructor` is a name like any other.
    const made: MadeEdits = {
      set: Object.create(null),
      add: Object.create(null),
      remove: [...this.#remove],
    };
    const left = (name: string) =>
      made.add[name] ?? (made.remove.includes(name) ? [] : linesOf(values[key(name)]));
    for (const [from, to] of this.#rename) {
      const lines = left(from);
      if (lines.length === 0) continue;
      take(made, from);
      take(made, to);
      made.add[to] = [...lines];
    }
    for (const [name, text] of this.#replace) {
      if (left(name).length > 0) put(made, name, render(text, values, encode));
    }
    for (const [name, text] of this.#default) {
      if (made.set[name] === undefined && left(name).length === 0) {
        put(made, name, render(text, values, encode));
      }
    }
    for (const [name, text] of this.#set) put(made, name, render(text, values, encode));
    for (const [name, texts] of this.#add) {
      for (const text of texts) {
        const value = render(text, values, encode);
        if (value === undefined) continue;
        made.add[name] ??= [];
        made.add[name].push(value);
      }
    }
    return made;
  }
}

function take({ add, remove }: MadeEdits, name: string): void {
  if (add[name] !== undefined) delete add[name];
  remove.push(name);
}

/** Setting takes the place of all that was there. Where there is no value, what a client has sent must not stand for it. */
function put(made: MadeEdits, name: string, value: string | undefined): void {
  if (value === undefined) {
    take(made, name);
    delete made.set[name];
    return;
  }
  if (made.add[name] !== undefined) delete made.add[name];
  made.set[name] = value;
}

function withoutNothing(made: MadeEdits): HeadEdits | undefined {
  if (made.remove.length > 0) return made;
  for (const _ in made.set) return made;
  for (const _ in made.add) return made;
  return undefined;
}

function linesOf(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value;
  return typeof value === 'string' ? [value] : [];
}
