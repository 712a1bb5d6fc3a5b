// Reads YAML into plain values and remembers where each of them stood. Anchors and merge keys are resolved here,
// so that a value is converted once however often it is used, and what it unfolds to is bounded.
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import { type Environment, expandText } from './expand.js';
import type { ConfigPath, Location, Problem, ProblemCode } from './problem.js';
import { type Origin, problemOf, type Source } from './source.js';

/** Bounds on what one file may make the loader do. */
const maxFileBytes = 64 * 1024 * 1024;
const maxSecretBytes = 1024 * 1024;
const maxValues = 5_000_000;
const maxDepth = 100;

/** Offsets into the text. */
type Span = readonly [start: number, end: number];

/** A converted node: its value, its place, and how many values it unfolds to. */
interface Place {
  value: unknown;
  span: Span;
  size: number;
  origin?: Origin;
  entries?: Map<string, { key: Span; place: Place }>;
  items?: Place[];
}

export type Read = { ok: true; source: Source } | { ok: false; problems: Problem[] };

export function readYamlFile(file: string, env: Environment): Read {
  const path = resolve(file);
  let text: string;
  try {
    text = readBounded(path, maxFileBytes);
  } catch (error) {
    return { ok: false, problems: [problemOf(file, 'config_unreadable', reasonOf(error))] };
  }
  return readYaml(text, file, env);
}

/** `file` names the text in messages; `$file` paths begin at its folder. */
export function readYaml(text: string, file: string, env: Environment): Read {
  const reader = new YamlReader(text, file, env);
  const root = reader.read();
  if (root === undefined || reader.problems.length > 0)
    return { ok: false, problems: reader.problems };
  const source: Source = {
    file,
    files: [resolve(file), ...reader.files],
    value: root.value,
    locate: (path, at) => reader.location(spanOf(root, path, at)),
    origin: (path) => placeOf(root, path)?.origin,
  };
  return { ok: true, source };
}

function placeOf(root: Place, path: ConfigPath): Place | undefined {
  let place: Place | undefined = root;
  for (const step of path) {
    place = typeof step === 'number' ? place?.items?.[step] : place?.entries?.get(step)?.place;
  }
  return place;
}

function spanOf(root: Place, path: ConfigPath, at: 'key' | 'value'): Span {
  let place = root;
  let span = root.span;
  for (const [index, step] of path.entries()) {
    const entry = typeof step === 'number' ? undefined : place.entries?.get(step);
    const next = typeof step === 'number' ? place.items?.[step] : entry?.place;
    if (next === undefined) break;
    const last = index === path.length - 1;
    // A map or list of a key that is pointed at as a whole is best seen at its key.
    const asKey = entry !== undefined && ((last && at === 'key') || next.span[0] === next.span[1]);
    span = asKey ? entry.key : next.span;
    place = next;
  }
  return span;
}

class YamlReader {
  readonly problems: Problem[] = [];
  readonly files: string[] = [];
  readonly #text: string;
  readonly #file: string;
  readonly #env: Environment;
  readonly #lines = new LineCounter();
  readonly #anchors = new Map<string, Place>();
  /** Anchors whose node is being read: an alias to one of them would contain itself. */
  readonly #open = new Set<string>();
  #depth = 0;

  constructor(text: string, file: string, env: Environment) {
    this.#text = text;
    this.#file = file;
    this.#env = env;
  }

  read(): Place | undefined {
    const document = this.#parse();
    if (document === undefined) return undefined;
    for (const error of [...document.errors, ...document.warnings]) {
      const duplicate = error.code === 'DUPLICATE_KEY';
      this.#report(
        error.pos,
        duplicate ? 'yaml_duplicate_key' : 'yaml_syntax',
        this.#syntaxMessage(error.code, error.message, error.pos),
      );
    }
    if (document.contents === null) {
      this.#report([0, 0], 'yaml_syntax', 'expected a map but the file is empty');
      return undefined;
    }
    if (document.errors.length > 0) return undefined;
    const root = this.#read(document.contents);
    if (root.size > maxValues) {
      this.#report([0, 0], 'yaml_syntax', `expected at most ${maxValues} values, aliases unfolded`);
      return undefined;
    }
    return root;
  }

  location(span: Span): Location {
    const { line, col } = this.#lines.linePos(span[0]);
    const start = this.#lines.lineStarts[line - 1] ?? 0;
    const end = this.#text.indexOf('\n', start);
    const excerpt = this.#text.slice(start, end === -1 ? undefined : end).replace(/\r$/, '');
    const length = Math.min(span[1] - span[0], excerpt.length - (col - 1));
    return { line, column: col, excerpt, length: Math.max(1, length) };
  }

  #parse() {
    try {
      return parseDocument(this.#text, {
        lineCounter: this.#lines,
        prettyErrors: false,
        version: '1.2',
        schema: 'core',
      });
    } catch (error) {
      // The parser recurses: thousands of open brackets exhaust the stack.
      if (!(error instanceof RangeError)) throw error;
      this.#report([0, 0], 'yaml_syntax', 'the file is nested too deeply');
      return undefined;
    }
  }

  #syntaxMessage(code: string, message: string, pos: [number, number]): string {
    if (code === 'DUPLICATE_KEY')
      return `the key ${this.#text.slice(...pos).split(':')[0]} is there already in this map`;
    if (code === 'MULTIPLE_DOCS') return 'expected one YAML document but a second one begins here';
    return message.charAt(0).toLowerCase() + message.slice(1);
  }

  #read(node: Node | null, fallback: Span = [0, 0]): Place {
    if (node === null) return { value: null, span: fallback, size: 1 };
    if (isAlias(node)) return this.#readAlias(node.source, spanOfNode(node));
    const anchor = isScalar(node) || isMap(node) || isSeq(node) ? node.anchor : undefined;
    if (anchor !== undefined) this.#open.add(anchor);
    this.#depth += 1;
    const place = this.#depth > maxDepth ? this.#tooDeep(spanOfNode(node)) : this.#readValue(node);
    this.#depth -= 1;
    if (anchor !== undefined) {
      this.#open.delete(anchor);
      this.#anchors.set(anchor, place);
    }
    return place;
  }

  #tooDeep(span: Span): Place {
    this.#report(span, 'yaml_syntax', `expected at most ${maxDepth} levels of maps and lists`);
    return { value: null, span, size: 1 };
  }

  #readAlias(anchor: string, span: Span): Place {
    const place = this.#anchors.get(anchor);
    if (place !== undefined && !this.#open.has(anchor)) return place;
    const what = this.#open.has(anchor) ? 'contains itself' : 'has no anchor before it';
    this.#report(span, 'yaml_syntax', `the alias *${anchor} ${what}`);
    return { value: null, span, size: 1 };
  }

  #readValue(node: Node): Place {
    if (isMap(node)) return this.#readMap(node);
    if (isSeq(node)) return this.#readSeq(node);
    const span = spanOfNode(node);
    if (!isScalar(node)) throw new Error('a YAML node that is no alias, map, list or scalar');
    if (typeof node.value !== 'string') return { value: node.value, span, size: 1 };
    const expanded = expandText(node.value, this.#env);
    if (!expanded.ok) {
      this.#report(
        span,
        'unset' in expanded ? 'env_unset' : 'wrong_value',
        `expected ${expanded.expected}`,
        expanded.hint,
      );
      return { value: '', span, size: 1 };
    }
    if (!expanded.value.expanded) return { value: expanded.value.text, span, size: 1 };
    const origin: Origin = { kind: 'env', written: node.value };
    return {
      value:
        node.type === 'PLAIN' ? plainValue(node.value, expanded.value.text) : expanded.value.text,
      span,
      size: 1,
      origin,
    };
  }

  #readSeq(node: YAMLSeq): Place {
    const span = spanOfNode(node);
    const items = node.items.map((item) => this.#read(item as Node | null, span));
    return { value: items.map((item) => item.value), span, items, size: sizeOf(items) };
  }

  #readMap(node: YAMLMap): Place {
    const span = spanOfNode(node);
    const entries: NonNullable<Place['entries']> = new Map();
    const merged: Place[] = [];
    for (const pair of node.items as Pair<Node | null, Node | null>[]) {
      const keySpan = pair.key === null ? span : spanOfNode(pair.key);
      const place = this.#read(pair.value, keySpan);
      if (isMergeKey(pair.key)) {
        merged.push(...this.#mergeSources(place, keySpan));
        continue;
      }
      const key = this.#keyOf(pair.key, keySpan);
      if (key !== undefined) entries.set(key, { key: keySpan, place });
    }
    // What stands in the map itself wins, then the earlier of the merged maps.
    for (const place of merged) {
      for (const [key, entry] of place.entries ?? []) {
        if (!entries.has(key)) entries.set(key, entry);
      }
    }
    const value = Object.fromEntries([...entries].map(([key, entry]) => [key, entry.place.value]));
    const size = sizeOf([...entries.values()].map((entry) => entry.place));
    if (entries.size === 1 && entries.has('$file'))
      return this.#readSecret(entries.get('$file')?.place.value, span);
    return { value, span, entries, size };
  }

  #mergeSources(place: Place, span: Span): Place[] {
    const places = place.items ?? [place];
    if (places.every((item) => item.entries !== undefined)) return places;
    this.#report(span, 'yaml_syntax', 'expected a map, or a list of maps, to merge with <<');
    return [];
  }

  #keyOf(key: Node | null, span: Span): string | undefined {
    if (
      isScalar(key) &&
      (typeof key.value === 'string' ||
        typeof key.value === 'number' ||
        typeof key.value === 'boolean')
    ) {
      const name = String(key.value);
      if (name !== '__proto__') return name;
    }
    this.#report(span, 'yaml_syntax', 'expected a text as key');
    return undefined;
  }

  /** `{ $file: PATH }` is the file's text without one final line break. */
  #readSecret(written: unknown, span: Span): Place {
    if (typeof written !== 'string' || written === '') {
      this.#report(span, 'wrong_value', 'expected a path in $file');
      return { value: '', span, size: 1 };
    }
    const path = resolve(dirname(this.#file), written);
    this.files.push(path);
    let value = '';
    try {
      value = readBounded(path, maxSecretBytes).replace(/\r?\n$/, '');
    } catch (error) {
      this.#report(
        span,
        'config_unreadable',
        `expected a readable file in $file but ${reasonOf(error)}`,
      );
    }
    return { value, span, size: 1, origin: { kind: 'file', path: written } };
  }

  #report(span: Span, code: ProblemCode, message: string, hint?: string): void {
    const problem = problemOf(this.#file, code, message, this.location(span));
    this.problems.push(hint === undefined ? problem : { ...problem, hint });
  }
}

function spanOfNode(node: Node): Span {
  const [start, end] = node.range ?? [0, 0];
  return [start, end];
}

function sizeOf(places: Place[]): number {
  return places.reduce((sum, place) => sum + place.size, 1);
}

function isMergeKey(key: Node | null): boolean {
  return isScalar(key) && key.type === 'PLAIN' && key.value === '<<';
}

/** An unquoted scalar that is nothing but one `${…}` may give a number or a boolean; a text in all other cases. */
function plainValue(written: string, text: string): unknown {
  if (!/^\$\{[^}]*\}$/.test(written)) return text;
  if (/^-?(?:0|[1-9]\d{0,14})$/.test(text)) return Number(text);
  return text === 'true' || text === 'false' ? text === 'true' : text;
}

function readBounded(path: string, maxBytes: number): string {
  const stat = statSync(path);
  if (!stat.isFile()) throw new Error(`${path} is not a file`);
  if (stat.size > maxBytes) throw new Error(`${path} is larger than ${maxBytes} bytes`);
  return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error ? error.code : undefined;
  const path = 'path' in error ? String(error.path) : 'the file';
  if (code === 'ENOENT') return `${path} does not exist`;
  if (code === 'EACCES') return `${path} may not be read`;
  if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return 'the file is not UTF-8';
  return error.message;
}
