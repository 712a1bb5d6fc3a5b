// Turns YAML into plain values with their places. Anchors and merge keys are resolved here, so that a node is converted once
// however often it is used, and what all of it unfolds to is bounded.
import { dirname, resolve } from 'node:path';
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type Scalar,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import { type Environment, expandText } from './expand.js';
import type { Place, Span } from './place.js';
import type { Location, Problem, ProblemCode } from './problem.js';
import { problemOf } from './source.js';
import { readTextFile } from './textFile.js';

/** Bounds on what one file may make the loader do. */
const maxSecretBytes = 1024 * 1024;
const maxValues = 5_000_000;
const maxDepth = 100;

const tooDeep = `expected at most ${maxDepth} levels of maps and lists`;

export class YamlReader {
  readonly problems: Problem[] = [];
  /** What `$file` named, absolute. */
  readonly files: string[] = [];
  readonly #text: string;
  readonly #file: string;
  readonly #env: Environment;
  readonly #lines = new LineCounter();
  readonly #anchors = new Map<string, Place>();
  /** Anchors whose node is being read: an alias to one of them would contain itself. */
  readonly #open = new Set<string>();
  #depth = 0;

  /** `file` names the text in messages; `$file` paths begin at its folder. */
  constructor(text: string, file: string, env: Environment) {
    this.#text = text;
    this.#file = file;
    this.#env = env;
  }

  /** Undefined, with a problem, when the text as a whole cannot be read. */
  read(): Place | undefined {
    const document = this.#parse();
    if (this.#reportSyntax(document)) return undefined;
    if (document.contents === null) {
      this.#report([0, 0], 'yaml_syntax', 'expected a map but the file is empty');
      return undefined;
    }
    const root = this.#read(document.contents);
    if (root.size <= maxValues) return root;
    const message = `expected at most ${maxValues} values when aliases are unfolded`;
    this.#report([0, 0], 'yaml_syntax', message);
    return undefined;
  }

  location(span: Span): Location {
    const { line, col } = this.#lines.linePos(span[0]);
    const start = this.#lines.lineStarts[line - 1] ?? 0;
    const end = this.#text.indexOf('\n', start);
    const excerpt = this.#text.slice(start, end === -1 ? undefined : end).replace(/\r$/, '');
    const length = Math.min(span[1] - span[0], excerpt.length - (col - 1));
    return { line, column: col, excerpt, length: Math.max(1, length) };
  }

  #parse(): Document.Parsed {
    return parseDocument(this.#text, {
      lineCounter: this.#lines,
      prettyErrors: false,
      version: '1.2',
      schema: 'core',
    });
  }

  /** True when nothing can be made of the document; then only the first error is more than a consequence. */
  #reportSyntax({ errors, warnings }: Document.Parsed): boolean {
    const [syntax] = errors.filter(({ code }) => code !== 'DUPLICATE_KEY');
    const findings = [...errors, ...warnings].filter(({ code, name }) => {
      return code === 'DUPLICATE_KEY' || name === 'YAMLWarning';
    });
    for (const finding of syntax === undefined ? findings : [...findings, syntax]) {
      this.#reportYaml(finding.code, finding.message, finding.pos[0]);
    }
    return syntax !== undefined;
  }

  #reportYaml(code: string, message: string, at: number): void {
    const [word = ''] = /^(?:"[^"\n]*"|'[^'\n]*'|[^\s:,\]}]+)/.exec(this.#text.slice(at)) ?? [];
    const span: Span = [at, at + word.length];
    if (code === 'DUPLICATE_KEY') {
      this.#report(span, 'yaml_duplicate_key', `the key ${word} is there already in this map`);
    } else if (code === 'MULTIPLE_DOCS') {
      this.#report(span, 'yaml_syntax', 'expected one YAML document but a second one begins here');
    } else if (code === 'RESOURCE_EXHAUSTION') {
      this.#report(span, 'yaml_syntax', tooDeep);
    } else {
      const hint = word.startsWith('{') ? 'a text with { in it needs quotes here' : undefined;
      const text = message.charAt(0).toLowerCase() + message.slice(1);
      this.#report(span, 'yaml_syntax', text, hint);
    }
  }

  #read(node: Node | null, fallback: Span = [0, 0]): Place {
    if (node === null) return { value: null, span: fallback, size: 1 };
    if (isAlias(node)) return this.#readAlias(node.source, spanOfNode(node));
    const anchor = isScalar(node) || isMap(node) || isSeq(node) ? node.anchor : undefined;
    if (anchor !== undefined) this.#open.add(anchor);
    this.#depth += 1;
    const place = this.#readValue(node);
    this.#depth -= 1;
    if (anchor !== undefined) {
      this.#open.delete(anchor);
      this.#anchors.set(anchor, place);
    }
    return place;
  }

  #readAlias(anchor: string, span: Span): Place {
    const place = this.#anchors.get(anchor);
    if (place !== undefined && !this.#open.has(anchor)) return place;
    const what = this.#open.has(anchor) ? 'contains itself' : 'has no anchor before it';
    return this.#unread(span, 'yaml_syntax', `the alias *${anchor} ${what}`);
  }

  #readValue(node: Node): Place {
    const span = spanOfNode(node);
    if (this.#depth > maxDepth) {
      return this.#unread(span, 'yaml_syntax', tooDeep);
    }
    if (isMap(node)) return this.#readMap(node, span);
    if (isSeq(node)) return this.#readSeq(node, span);
    if (isScalar(node)) return this.#readScalar(node, span);
    throw new Error('a YAML node that is no alias, map, list or scalar');
  }

  #readScalar({ value: written, type }: Scalar, span: Span): Place {
    if (typeof written !== 'string') return { value: written, span, size: 1 };
    const expansion = expandText(written, this.#env);
    if (!expansion.ok) {
      const code = 'unset' in expansion ? 'env_unset' : 'wrong_value';
      return this.#unread(span, code, `expected ${expansion.expected}`, expansion.hint);
    }
    const { text, expanded } = expansion.value;
    if (!expanded) return { value: text, span, size: 1 };
    const value = type === 'PLAIN' ? plainValue(written, text) : text;
    return { value, span, size: 1, origin: { kind: 'env', written } };
  }

  #readSeq(node: YAMLSeq, span: Span): Place {
    const items = node.items.map((item) => this.#read(item as Node | null, span));
    return { value: items.map((item) => item.value), span, items, size: sizeOf(items) };
  }

  #readMap(node: YAMLMap, span: Span): Place {
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
    const secret = entries.size === 1 ? entries.get('$file') : undefined;
    if (secret !== undefined) return this.#readSecret(secret.place.value, span);
    const places = [...entries.values()].map((entry) => entry.place);
    const value = Object.fromEntries([...entries].map(([key, entry]) => [key, entry.place.value]));
    return { value, span, entries, size: sizeOf(places) };
  }

  #mergeSources(place: Place, span: Span): Place[] {
    const places = place.items ?? [place];
    if (places.every((item) => item.entries !== undefined)) return places;
    this.#report(span, 'yaml_syntax', 'expected a map, or a list of maps, to merge with <<');
    return [];
  }

  #keyOf(key: Node | null, span: Span): string | undefined {
    const value: unknown = isScalar(key) ? key.value : undefined;
    const name = ['string', 'number', 'boolean'].includes(typeof value) ? String(value) : undefined;
    if (name !== undefined && name !== '__proto__') return name;
    this.#report(span, 'yaml_syntax', 'expected a text as key');
    return undefined;
  }

  /** `{ $file: PATH }` is the file's text without one final line break. */
  #readSecret(written: unknown, span: Span): Place {
    if (typeof written !== 'string' || written === '') {
      return this.#unread(span, 'wrong_value', 'expected a path in $file');
    }
    const path = resolve(dirname(this.#file), written);
    this.files.push(path);
    try {
      const text = readTextFile(path, written, maxSecretBytes);
      const origin = { kind: 'file', path: written } as const;
      return { value: text.replace(/\r?\n$/, ''), span, size: 1, origin };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const message = `expected a readable file in $file but ${reason}`;
      return this.#unread(span, 'config_unreadable', message);
    }
  }

  #unread(span: Span, code: ProblemCode, message: string, hint?: string): Place {
    this.#report(span, code, message, hint);
    return { value: '', span, size: 1, origin: { kind: 'unread' } };
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
