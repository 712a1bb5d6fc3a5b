// `use: transform`: edits heads and JSON bodies of requests and responses, method, path and query.
import { z } from 'zod';
import { expected, headerName, size, text } from '../../config/schema/scalars.js';
import { definePolicy } from '../../policy/define.js';
import { whyRefused } from '../../policy/fields.js';
import * as input from '../../policy/inputs.js';
import { isJsonType, jsonTypes } from '../../policy/jsonType.js';
import { methodMisfit } from '../../policy/method.js';
import { response } from '../../policy/responseInputs.js';
import {
  allow,
  deny,
  edit,
  type HeadEdits,
  type ReviewDraft,
  type VerdictDraft,
} from '../../policy/verdict.js';
import * as option from '../options.js';
import { type EditSettings, Edits, headerSide, querySide } from './edits.js';
import { JsonEdits, type JsonSettings, type JsonValue, NoJson, parsePath } from './json.js';
import {
  declareLate,
  declareTemplate,
  type Inputs,
  lateIn,
  parseTemplate,
  type ResponseInputs,
  render,
  type Template,
  type Values,
} from './template.js';

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

const headEdits = (name: typeof editable | typeof parameter) => ({
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

const method = () =>
  text('a method such as POST', (value) => {
    const expected = methodMisfit(value);
    if (expected !== undefined) return { ok: false, expected };
    const upper = value.toUpperCase();
    if (value === upper) return { ok: true, value };
    return { ok: false, expected: 'a method such as POST in upper case', hint: `write ${upper}` };
  });

const jsonPath = () => text('a path such as customer.name', parsePath);

const keyName = () =>
  z
    .string(expected('a name'))
    .refine((name) => name !== '' && name !== '__proto__', expected('a name of a JSON object'));

/** A text is a template; everything else is what it is. */
const jsonValue = () =>
  z.union(
    [
      template().transform((parts): JsonValue => ({ kind: 'text', template: parts })),
      z
        .json()
        .refine((value) => typeof value !== 'string')
        .transform((value): JsonValue => ({ kind: 'constant', value })),
    ],
    expected('a text, in which braces are parts of the request, or any other value of JSON'),
  );

/** Pairs, because a path is no key of an object any more. */
function jsonMap<Value extends z.ZodType>(value: Value, what: string) {
  return z
    .record(z.string(), value, mapOf(what))
    .transform((map, ctx) =>
      Object.entries(map).flatMap(([key, each]) => {
        const path = parsePath(key);
        if (path.ok) return [[path.value, each as z.output<Value>] as const];
        ctx.addIssue({ code: 'custom', path: [key], message: `expected ${path.expected}` });
        return [];
      }),
    )
    .prefault({} as never);
}

const jsonEdits = (longer: string) =>
  z.strictObject({
    remove: z
      .array(jsonPath(), expected('a list of paths'))
      .prefault([])
      .describe('Takes them away.'),
    rename: jsonMap(keyName(), 'paths to new names').describe(
      'Gives what is at a path another name, in the same object.',
    ),
    replace: jsonMap(jsonValue(), 'paths to values').describe('Sets what is there; adds nothing.'),
    default: jsonMap(jsonValue(), 'paths to values').describe(
      'Sets what is not there; changes nothing.',
    ),
    set: jsonMap(jsonValue(), 'paths to values').describe('Sets, whether it is there or not.'),
    append: jsonMap(jsonValue(), 'paths to values').describe(
      'Adds an element to the end of the array that is there, or to a new one.',
    ),
    limit: size(1, 128 * 1024)
      .prefault('128KiB')
      .describe(`Of the body, at most 128KiB. ${longer}`),
  });

interface ResponseOptions extends Required<EditSettings> {
  readonly json?: (JsonSettings & { readonly limit: number }) | undefined;
}

/** Whether the response has to be there: the rest is said with the verdict about the request, and replayed with it. */
function needsResponse({ rename, replace, default: defaults, json }: ResponseOptions): boolean {
  const looking = [rename, replace, defaults].some((edits) => Object.keys(edits).length > 0);
  return looking || json !== undefined;
}

function refuseLate(response: ResponseOptions, ctx: z.core.$RefinementCtx<ResponseOptions>): void {
  if (!needsResponse(response)) return;
  const { templates } = new ResponseEdits(response);
  for (const template of templates) {
    const late = lateIn(template);
    if (late === undefined) continue;
    ctx.addIssue({
      code: 'custom',
      message: `expected no {${late}} beside rename, replace, default and json: of what policies have found out a response has {consumer.id} only`,
    });
  }
}

const options = z.strictObject({
  request: z
    .strictObject({
      ...headEdits(editable),
      method: method()
        .optional()
        .describe(
          'The method that the upstream sees. HEAD, upgrades and gRPC keep theirs ([what that means](../policies.md#edits)).',
        ),
      path: path
        .optional()
        .describe(
          'The path that the upstream sees. Values are percent-encoded; one that would lead out of its segment is answered 400.',
        ),
      query: z
        .strictObject(headEdits(parameter))
        .prefault({})
        .describe('Query parameters, by their decoded names and values.'),
      json: jsonEdits('Requests with longer ones are answered 413.')
        .optional()
        .describe('The body, where it is JSON by its `content-type`. Others pass as they are.'),
    })
    .prefault({})
    .describe('What the upstream gets.'),
  response: z
    .strictObject({
      ...headEdits(editable),
      json: jsonEdits('Longer responses are answered 502.')
        .optional()
        .describe('The body, where it is JSON by its `content-type`. Others pass as they are.'),
    })
    .superRefine(refuseLate)
    .prefault({})
    .describe('What the client gets. Texts hold parts of the request.'),
  replayFor: option.replayFor('1m'),
});

type Options = z.output<typeof options>;
/** A value that holds more than a segment, or is a step in the tree. */
class Outside extends Error {}

function pathOf(template: Template, values: Values): string | undefined {
  const text = render(template, values, (value, part) => {
    // It has been through the router, and is encoded.
    if (part.kind === 'value' && part.name === 'path') return encodeRest(value);
    if (/[/\\]/.test(value)) throw new Outside();
    return encodeURIComponent(value);
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

/** The edits of a response: head, then body. */
class ResponseEdits {
  readonly head: Edits;
  readonly json: JsonEdits | undefined;
  readonly limit: number;

  constructor({ json, ...head }: ResponseOptions) {
    this.head = new Edits(head, headerSide);
    this.json = json && new JsonEdits(json);
    this.limit = json?.limit ?? 0;
  }

  get templates(): Template[] {
    return [...this.head.templates(), ...(this.json?.templates() ?? [])];
  }

  /** What make() reads. */
  get inputs(): ResponseInputs {
    const inputs: ResponseInputs = {};
    for (const { name, key } of this.head.looksAt()) inputs[key] = response.headers(name);
    for (const template of this.templates) declareLate(template, inputs);
    if (this.json !== undefined) {
      inputs[bodyKey] = response.body({ as: 'text', limit: this.limit, types: jsonTypes });
    }
    return inputs;
  }

  make(values: Values): ReviewDraft {
    const head = this.head.make(values);
    const text = this.json && (values[bodyKey] as string | undefined);
    if (text === undefined || this.json === undefined) return head && edit(head);
    try {
      return edit({ ...head, body: this.json.make(text, values) });
    } catch (error) {
      if (!(error instanceof NoJson)) throw error;
      return deny({ status: 502, reason: 'the response is not JSON' });
    }
  }
}

class Transformer {
  readonly #replayFor: number;
  readonly #method: string | undefined;
  readonly #path: Template | undefined;
  readonly #request: Edits;
  readonly #query: Edits;
  readonly #response: ResponseEdits;
  /** The edits of the response are made when it is there. */
  readonly responds: boolean;
  readonly #json: { readonly edits: JsonEdits; readonly limit: number } | undefined;

  constructor({ request, response, replayFor }: Options) {
    this.#replayFor = replayFor;
    this.#method = request.method;
    this.#path = request.path;
    this.#request = new Edits(request, headerSide);
    this.#query = new Edits(request.query, querySide);
    this.#response = new ResponseEdits(response);
    this.responds = needsResponse(response);
    this.#json = request.json && {
      edits: new JsonEdits(request.json),
      limit: request.json.limit,
    };
  }

  /** What decide() reads. */
  get inputs(): Inputs {
    const inputs: Inputs = {};
    for (const { name, key } of this.#request.looksAt()) inputs[key] = input.headers(name);
    for (const { name, key } of this.#query.looksAt()) inputs[key] = input.query(name);
    const texts = [
      ...this.#request.templates(),
      ...this.#query.templates(),
      ...(this.responds ? [] : this.#response.templates),
      ...(this.#json?.edits.templates() ?? []),
      ...(this.#path === undefined ? [] : [this.#path]),
    ];
    for (const text of texts) declareTemplate(text, inputs);
    if (this.#json !== undefined) {
      inputs[bodyKey] = input.body({ as: 'text', limit: this.#json.limit });
      inputs[typeKey] = input.header('content-type');
    }
    return inputs;
  }

  /** What respond() reads. */
  get responseInputs(): ResponseInputs | undefined {
    return this.responds ? this.#response.inputs : undefined;
  }

  decide(values: Values): VerdictDraft {
    // Bodies are seldom equal: keeping them would push out what is asked for again.
    const text = this.#json === undefined ? '' : (values[bodyKey] as string);
    const replayFor = text === '' ? this.#replayFor : 0;
    let path: string | undefined;
    let body: string | undefined;
    try {
      path = this.#path === undefined ? undefined : pathOf(this.#path, values);
      body = text === '' ? undefined : this.#bodyOf(text, values);
    } catch (error) {
      const reason = refusalOf(error);
      if (reason === undefined) throw error;
      return deny({ status: 400, reason, replayFor: Math.min(replayFor, 5000) });
    }
    const head = this.#headOf(values);
    const query = this.#query.make(values);
    const method = this.#method;
    return allow({
      request:
        method === undefined && path === undefined && query === undefined && body === undefined
          ? head
          : { set: head?.set, add: head?.add, remove: head?.remove, method, path, query, body },
      response: this.responds ? undefined : this.#response.head.make(values),
      replayFor,
    });
  }

  respond(values: Values): ReviewDraft {
    return this.#response.make(values);
  }

  #headOf(values: Values): HeadEdits | undefined {
    const head = this.#request.make(values);
    if (this.#response.json === undefined) return head;
    // A compressed body could not be edited.
    return { ...head, set: { ...head?.set, 'accept-encoding': 'identity' } };
  }

  /** Undefined where it stays as it is. */
  #bodyOf(text: string, values: Values): string | undefined {
    const type = values[typeKey] as string | undefined;
    return isJsonType(type) ? this.#json?.edits.make(text, values) : undefined;
  }
}

// Keys that no text in braces has.
const bodyKey = 'the body';
const typeKey = 'its type';
function refusalOf(error: unknown): string | undefined {
  if (error instanceof Outside) return 'the request names what cannot be a part of a path';
  return error instanceof NoJson ? 'the body is not JSON' : undefined;
}

export default definePolicy({
  options,
  inputs: (given) => new Transformer(given).inputs,
  setup: ({ options: given }) => new Transformer(given),
  decide: ({ inputs, state }) => state.decide(inputs),
  responseInputs: (given) => new Transformer(given).responseInputs,
  respond: ({ inputs, state }) => state.respond(inputs),
});
