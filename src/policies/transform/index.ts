// `use: transform`: edits the heads of requests and responses, the path and the query.
import { z } from 'zod';
import { expected, headerName, text } from '../../config/schema/scalars.js';
import { definePolicy } from '../../policy/define.js';
import { whyRefused } from '../../policy/fields.js';
import * as input from '../../policy/inputs.js';
import { allow, deny, type HeadEdits, type VerdictDraft } from '../../policy/verdict.js';
import * as option from '../options.js';
import { parseTemplate, render, type Template, type Values } from './template.js';

const editable = headerName().refine(
  (name) => whyRefused(name.toLowerCase()) === undefined,
  expected('a header that a policy may edit: not one that frames or routes the message'),
);
const parameter = option.queryName();

const template = () =>
  text('a text', (value) =>
    /[\0-\x08\x0a-\x1f\x7f]/.test(value)
      ? { ok: false as const, expected: 'a text without line breaks and other controls' }
      : parseTemplate(value),
  );

/** A key that is none says why. */
const mapOf = (what: string) => ({
  error: (issue: z.core.$ZodRawIssue) =>
    issue.code === 'invalid_key' ? issue.issues[0]?.message : `expected a map from ${what}`,
});

const texts = (name: typeof editable | typeof parameter) =>
  z.record(name, template(), mapOf('names to texts')).prefault({});

const several = (name: typeof editable | typeof parameter) =>
  z
    .record(
      name,
      z.union(
        [template().transform((one) => [one]), z.array(template())],
        expected('a text, or a list of texts'),
      ),
      mapOf('names to texts'),
    )
    .prefault({});

const names = (name: typeof editable | typeof parameter) =>
  z.array(name, expected('a list of names')).prefault([]);

const renames = (name: typeof editable | typeof parameter) =>
  z.record(name, name, mapOf('old names to new ones')).prefault({});

const requestEdits = (name: typeof editable | typeof parameter) => ({
  remove: names(name).describe('Takes them away.'),
  rename: renames(name).describe(
    'Gives the values of one name to another, in place of what that one had.',
  ),
  replace: texts(name).describe('Sets what is there; adds nothing.'),
  default: texts(name).describe('Sets what is not there; changes nothing.'),
  set: texts(name).describe('Sets, in place of everything of that name.'),
  add: several(name).describe('Adds, beside what is there.'),
});

const path = template().refine(
  ([first]) => (first?.kind === 'literal' ? /^\/[^?#]*$/.test(first.text) : first?.name === 'path'),
  expected('a path that begins with / or {path}'),
);

const options = z.strictObject({
  request: z
    .strictObject({
      ...requestEdits(editable),
      path: path
        .optional()
        .describe(
          'The path that the upstream sees. Values are percent-encoded; one that would lead out of its segment is answered 400.',
        ),
      query: z
        .strictObject(requestEdits(parameter))
        .prefault({})
        .describe('Query parameters, by their decoded names and values.'),
    })
    .prefault({})
    .describe('What the upstream gets.'),
  response: z
    .strictObject({
      remove: names(editable).describe('Takes them away.'),
      set: texts(editable).describe('Sets, in place of everything of that name.'),
      add: several(editable).describe('Adds, beside what is there.'),
    })
    .prefault({})
    .describe('What the client gets. Texts hold parts of the request.'),
  replayFor: option.replayFor('1m'),
});

type Options = z.output<typeof options>;
type RequestEdits = Pick<
  Options['request'],
  'remove' | 'rename' | 'replace' | 'default' | 'set' | 'add'
>;

/** Where a value is looked up that an edit of an existing name needs. */
interface Side {
  /** Equal for names that mean the same. */
  readonly name: (name: string) => string;
  readonly encode: (value: string) => string;
  readonly key: (name: string) => string;
  readonly input: (name: string) => input.Input<unknown>;
}

const headerSide: Side = {
  name: (name) => name.toLowerCase(),
  encode: oneLine,
  key: (name) => `lines ${name.toLowerCase()}`,
  input: input.headers,
};

const querySide: Side = {
  name: (name) => name,
  encode: (value) => value,
  key: (name) => `query.${name}`,
  input: input.query,
};

/** Controls, line breaks above all, become escapes: none of them can begin another header. */
function oneLine(value: string): string {
  return value
    .replaceAll(/[\0-\x08\x0a-\x1f\x7f]/g, encodeURIComponent)
    .replaceAll(/\p{Surrogate}/gu, '\uFFFD');
}

interface MadeEdits {
  readonly set: Record<string, string>;
  readonly add: Record<string, string[]>;
  readonly remove: string[];
}

/** One after the other: remove, rename, replace, default, set, add; each sees what those before it have left. */
function editsOf(edits: RequestEdits, values: Values, side: Side): MadeEdits {
  const set: Record<string, string> = {};
  const add: Record<string, string[]> = {};
  const remove = edits.remove.map(side.name);
  const removed = new Set(remove);
  const left = (name: string) =>
    add[name] ?? (removed.has(name) ? [] : linesOf(values[side.key(name)]));
  const take = (name: string) => {
    remove.push(name);
    removed.add(name);
    delete add[name];
  };
  for (const [from, to] of pairsOf(edits.rename, side)) {
    const lines = left(from);
    if (lines.length === 0) continue;
    take(from);
    take(side.name(to));
    add[side.name(to)] = [...lines];
  }
  const put = (name: string, text: Template) => {
    const value = render(text, values, side.encode);
    // What a client has sent in its place must not stand for it.
    take(name);
    if (value !== undefined) set[name] = value;
  };
  for (const [name, text] of pairsOf(edits.replace, side))
    if (left(name).length > 0) put(name, text);
  for (const [name, text] of pairsOf(edits.default, side)) {
    if (left(name).length === 0 && set[name] === undefined) put(name, text);
  }
  for (const [name, text] of pairsOf(edits.set, side)) put(name, text);
  for (const [name, list] of pairsOf(edits.add, side)) {
    const more = list.flatMap((each) => render(each, values, side.encode) ?? []);
    if (more.length > 0) add[name] = [...(add[name] ?? []), ...more];
  }
  return { set, add, remove: remove.filter((name) => set[name] === undefined) };
}

function pairsOf<T>(map: Readonly<Record<string, T>>, side: Side): [name: string, value: T][] {
  return Object.entries(map).map(([name, value]) => [side.name(name), value]);
}

function linesOf(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value;
  return typeof value === 'string' ? [value] : [];
}

/** A value that holds more than a segment, or is a step in the tree. */
class Outside extends Error {}

function pathOf(template: Template, values: Values): string | undefined {
  const text = render(template, values, (value, part) => {
    // It has been through the router, and is encoded.
    if (part.kind === 'value' && part.name === 'path') return encodeRest(value);
    if (/[/\\]/.test(value)) throw new Outside();
    return encodeURIComponent(value.replaceAll(/\p{Surrogate}/gu, '\uFFFD'));
  });
  if (text === undefined) return undefined;
  if (text.split('/').some(isStep)) throw new Outside();
  return encodeRest(text);
}

/** `.` and `..`, however they are written: servers resolve them. */
function isStep(segment: string): boolean {
  return /^(?:\.|%2e){1,2}$/i.test(segment);
}

/** Leaves escapes and what may stand in a path as they are. */
function encodeRest(path: string): string {
  return path.replaceAll(/%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~!$&'()*+,;=:@/%]+/g, (rest) =>
    encodeURIComponent(rest),
  );
}

class Transformer {
  readonly #options: Options;

  constructor(given: Options) {
    this.#options = given;
  }

  decide(values: Values): VerdictDraft {
    const { request, response, replayFor } = this.#options;
    let path: string | undefined;
    try {
      path = request.path === undefined ? undefined : pathOf(request.path, values);
    } catch (error) {
      if (!(error instanceof Outside)) throw error;
      const reason = 'the request names what cannot be a part of a path';
      return deny({ status: 400, reason, replayFor: Math.min(replayFor, 5000) });
    }
    const query = querySideEdits(request.query, values);
    const head = editsOf(request, values, headerSide);
    const answer = { ...response, rename: {}, replace: {}, default: {} };
    return allow({
      request: { ...head, path, query },
      response: editsOf(answer, values, headerSide),
      replayFor,
    });
  }
}

function querySideEdits(edits: RequestEdits, values: Values): HeadEdits | undefined {
  const made = editsOf(edits, values, querySide);
  const nothing =
    made.remove.length === 0 &&
    Object.keys(made.set).length === 0 &&
    Object.keys(made.add).length === 0;
  return nothing ? undefined : made;
}

function declare(
  edits: RequestEdits,
  side: Side,
  inputs: Record<string, input.Input<unknown>>,
): void {
  const read = [edits.rename, edits.replace, edits.default].flatMap((map) => Object.keys(map));
  for (const name of read) inputs[side.key(name)] = side.input(name);
  const all = [edits.replace, edits.default, edits.set, edits.add];
  for (const each of all.flatMap((map) => Object.values<Template | Template[]>(map))) {
    declareTemplate(each, inputs);
  }
}

function declareTemplate(
  template: Template | readonly Template[],
  inputs: Record<string, input.Input<unknown>>,
): void {
  for (const part of template.flat()) {
    if (part.kind === 'value') inputs[part.key] = part.input;
  }
}

export default definePolicy({
  options,
  inputs({ request, response }) {
    const inputs: Record<string, input.Input<unknown>> = {};
    declare(request, headerSide, inputs);
    declare(request.query, querySide, inputs);
    declare({ ...response, rename: {}, replace: {}, default: {} }, headerSide, inputs);
    if (request.path !== undefined) declareTemplate(request.path, inputs);
    return inputs;
  },
  setup: ({ options: given }) => new Transformer(given),
  decide: ({ inputs, state }) => state.decide(inputs),
});
