// Edits of a JSON body by paths: `customer.name`, `items.0.id`, `items.*.id`.
import { LosslessNumber, parse, stringify } from 'lossless-json';
import { accept, type Parsed, refuse } from '../../config/parsed.js';
import { render, type Template, type Values } from './template.js';

/** Keys, or positions of an array; `*` is each of them. */
export type JsonPath = readonly string[];

const rule =
  'a path such as customer.name or items.*.id: keys between dots (\\. is a dot of a key), at most 32';

export function parsePath(text: string): Parsed<JsonPath> {
  const keys = [...text.matchAll(/(?:^|\.)((?:\\.|[^.\\])*)/gs)].map(([, key = '']) =>
    key.replaceAll(/\\(.)/gs, '$1'),
  );
  const rebuilt = keys.map((key) => key.replaceAll(/[.\\]/g, '\\$&')).join('.');
  // A key of this name would be the prototype of an object in many a program behind us.
  const good = rebuilt === text && keys.every((key) => key !== '' && key !== '__proto__');
  return good && keys.length <= 32 ? accept(keys) : refuse(rule);
}

/** A text with parts of the request, or any other value of JSON as it stands. */
export type JsonValue =
  | { readonly kind: 'text'; readonly template: Template }
  | { readonly kind: 'constant'; readonly value: unknown };

type Pairs<T> = readonly (readonly [path: JsonPath, value: T])[];

/** As the options have them. */
export interface JsonSettings {
  readonly remove: readonly JsonPath[];
  /** To a name in the same object. */
  readonly rename: Pairs<string>;
  readonly replace: Pairs<JsonValue>;
  readonly default: Pairs<JsonValue>;
  readonly set: Pairs<JsonValue>;
  readonly append: Pairs<JsonValue>;
}

/** The body is not JSON. */
export class NoJson extends Error {}

export class JsonEdits {
  readonly #settings: JsonSettings;
  readonly #valued: Pairs<JsonValue>;

  constructor(settings: JsonSettings) {
    this.#settings = settings;
    const { replace, default: defaults, set, append } = settings;
    this.#valued = [replace, defaults, set, append].flat();
  }

  get isEmpty(): boolean {
    const { remove, rename } = this.#settings;
    return remove.length + rename.length + this.#valued.length === 0;
  }

  /** All that it writes beside constants. */
  *templates(): Iterable<Template> {
    for (const [, value] of this.#valued) if (value.kind === 'text') yield value.template;
  }

  /** The text with all edits made, one after the other: remove, rename, replace, default, set, append. Throws NoJson. */
  make(text: string, values: Values): string {
    const wide = wideNumber.test(text);
    const root = { body: parsed(text, wide) };
    const { remove, rename, replace, default: defaults, set, append } = this.#settings;
    for (const path of remove) {
      eachPlace(root, path, 'existing', ({ holder, key }) => take(holder, key));
    }
    for (const [path, name] of rename) {
      eachPlace(root, path, 'existing', ({ holder, key }) => {
        if (Array.isArray(holder)) return;
        const value = valueAt(holder, key);
        take(holder, key);
        put(holder, name, value);
      });
    }
    const edit = (
      pairs: Pairs<JsonValue>,
      which: Which,
      change: (place: Place, v: unknown) => void,
    ) => {
      for (const [path, value] of pairs) {
        const made = valueFor(value, values);
        if (made !== undefined) eachPlace(root, path, which, (place) => change(place, made));
      }
    };
    edit(replace, 'existing', ({ holder, key }, value) => put(holder, key, value));
    edit(defaults, 'made', ({ holder, key }, value) => {
      if (!has(holder, key)) put(holder, key, value);
    });
    edit(set, 'made', ({ holder, key }, value) => put(holder, key, value));
    edit(append, 'made', ({ holder, key }, value) => {
      const list = has(holder, key) ? valueAt(holder, key) : [];
      if (!Array.isArray(list)) return;
      list.push(value);
      put(holder, key, list);
    });
    return (wide ? stringify(root.body) : JSON.stringify(root.body)) as string;
  }
}

/** Of what a double cannot hold to the digit; texts that only look like it lose nothing but time. */
const wideNumber = /[0-9.]{16}|[0-9][eE][+-]?[0-9]{3}/;

/** Numbers come through as they are written, where that makes a difference. */
function parsed(text: string, wide: boolean): unknown {
  try {
    if (!wide) return JSON.parse(text);
    return parse(text, undefined, { onDuplicateKey: ({ newValue }) => newValue });
  } catch {
    throw new NoJson();
  }
}

/** Undefined where the request does not have what a text is made of: then nothing is edited. */
function valueFor(value: JsonValue, values: Values): unknown {
  // Each place gets its own, since later edits may go into it.
  if (value.kind === 'constant') return structuredClone(value.value);
  return render(value.template, values, (part) => part);
}

type Holder = Record<string, unknown> | unknown[];

interface Place {
  readonly holder: Holder;
  readonly key: string;
}

/** `made`: objects that are not there on the way are. A `*` never makes anything. */
type Which = 'existing' | 'made';

function eachPlace(
  root: { body: unknown },
  path: JsonPath,
  which: Which,
  visit: (place: Place) => void,
): void {
  const walk = (holder: unknown, depth: number): void => {
    if (!isHolder(holder)) return;
    const key = path[depth] as string;
    const last = depth === path.length - 1;
    if (key === '*') {
      // From the end, so that taking one away moves none that is still to come.
      for (const each of Object.keys(holder).reverse()) {
        if (last) visit({ holder, key: each });
        else walk(valueAt(holder, each), depth + 1);
      }
      return;
    }
    if (Array.isArray(holder) && !/^(?:0|[1-9]\d{0,8})$/.test(key)) return;
    if (last) {
      // An array grows at its end only.
      const fits = !Array.isArray(holder) || Number(key) <= holder.length;
      if (has(holder, key) || (which === 'made' && fits)) visit({ holder, key });
      return;
    }
    if (!has(holder, key)) {
      if (which === 'existing' || Array.isArray(holder)) return;
      put(holder, key, {});
    }
    walk(valueAt(holder, key), depth + 1);
  };
  walk(root.body, 0);
}

function isHolder(value: unknown): value is Holder {
  return typeof value === 'object' && value !== null && !(value instanceof LosslessNumber);
}

function has(holder: Holder, key: string): boolean {
  return Object.hasOwn(holder, key);
}

function valueAt(holder: Holder, key: string): unknown {
  return has(holder, key) ? (holder as Record<string, unknown>)[key] : undefined;
}

function put(holder: Holder, key: string, value: unknown): void {
  (holder as Record<string, unknown>)[key] = value;
}

function take(holder: Holder, key: string): void {
  if (Array.isArray(holder)) holder.splice(Number(key), 1);
  else delete holder[key];
}
