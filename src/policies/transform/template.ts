// Texts with parts of the request in braces: `user {consumer.id} of {header.x-tenant:-nobody}`.
import { accept, type Parsed, refuse } from '../../config/parsed.js';
import type { Consumer } from '../../policy/consumer.js';
import * as input from '../../policy/inputs.js';
import type { ResponseInput } from '../../policy/responseInputs.js';

export type Values = Readonly<Record<string, unknown>>;

export type Part =
  | { readonly kind: 'literal'; readonly text: string }
  | {
      readonly kind: 'value';
      /** As it is written, such as `header.x-tenant`. */
      readonly name: string;
      /** Key and declaration of the input that it comes from. */
      readonly key: string;
      readonly input: input.Input<unknown>;
      /** Stands in where the request does not have it. */
      readonly fallback: string | undefined;
    };

export type Template = readonly Part[];

/** Of `decide`, by their keys. */
export type Inputs = Record<string, input.Input<unknown>>;
/** Of `respond`. */
export type ResponseInputs = Record<string, input.HeadInput<unknown> | ResponseInput<unknown>>;

const plain: Readonly<Record<string, () => input.Input<unknown>>> = {
  path: input.path,
  host: input.host,
  method: input.method,
  scheme: input.scheme,
  clientAddress: input.clientAddress,
  routeName: input.routeName,
};

const named: Readonly<Record<string, (name: string) => input.Input<unknown>>> = {
  header: input.header,
  query: input.query,
  param: input.param,
  cookie: input.cookie,
};

const consumerFields = ['id', 'name', 'groups', 'tags'] as const;

/** Every name that may stand in braces, for documents and messages. */
export const templateNames: readonly string[] = [
  ...Object.keys(plain),
  ...Object.keys(named).map((kind) => `${kind}.NAME`),
  ...consumerFields.map((field) => `consumer.${field}`),
  'attribute.POLICY.NAME',
];

const rule = `a text, in braces only ${templateNames.join(', ')} ({{ and }} are braces)`;

export function parseTemplate(text: string): Parsed<Template> {
  const parts: Part[] = [];
  let literal = '';
  for (const [token] of text.matchAll(/\{\{|\}\}|\{[^{}]*\}|[{}]|[^{}]+/g)) {
    if (token === '{{' || token === '}}') literal += token[0];
    else if (token === '{' || token === '}') return refuse(rule);
    else if (token.startsWith('{')) {
      const part = parseValue(token.slice(1, -1));
      if (part === undefined) return refuse(rule);
      if (literal !== '') parts.push({ kind: 'literal', text: literal });
      literal = '';
      parts.push(part);
    } else literal += token;
  }
  if (literal !== '' || parts.length === 0) parts.push({ kind: 'literal', text: literal });
  return accept(parts);
}

function parseValue(written: string): Part | undefined {
  const cut = written.indexOf(':-');
  const name = cut < 0 ? written : written.slice(0, cut);
  const fallback = cut < 0 ? undefined : written.slice(cut + 2);
  const found = inputOf(name);
  return found && { kind: 'value', name, ...found, fallback };
}

function inputOf(name: string): { key: string; input: input.Input<unknown> } | undefined {
  if (Object.hasOwn(plain, name)) {
    const declared = plain[name]?.();
    return declared && { key: name, input: declared };
  }
  const [, kind = '', rest = ''] = /^([a-z]+)\.(.+)$/.exec(name) ?? [];
  try {
    if (Object.hasOwn(named, kind)) {
      const declared = named[kind]?.(rest);
      return declared && { key: name, input: declared };
    }
    if (kind === 'attribute') {
      const [, policy = '', attribute = ''] = /^([^.]+)\.(.+)$/.exec(rest) ?? [];
      return { key: name, input: input.attribute(policy, attribute) };
    }
  } catch {
    return undefined;
  }
  const isField = (consumerFields as readonly string[]).includes(rest);
  return kind === 'consumer' && isField ? { key: 'consumer', input: input.consumer() } : undefined;
}

export function isConstant(template: Template): boolean {
  return template.every(({ kind }) => kind === 'literal');
}

/** Adds what a text reads. */
export function declareTemplate(template: Template, inputs: Inputs): void {
  for (const part of template) if (part.kind === 'value') inputs[part.key] = part.input;
}

/** The first part that is not there any more when the response comes: what other policies have found out, but for who it is. */
export function lateIn(template: Template): string | undefined {
  for (const part of template) {
    if (part.kind !== 'value' || part.name === 'consumer.id') continue;
    if (part.input.kind === 'attribute' || part.input.kind === 'consumer') return part.name;
  }
  return undefined;
}

/** Adds what a text reads of the request when the response is here: lateIn() of it is undefined. */
export function declareLate(template: Template, inputs: ResponseInputs): void {
  for (const part of template) {
    if (part.kind !== 'value') continue;
    const { input: declared } = part;
    if (declared.kind !== 'attribute' && declared.kind !== 'body') inputs[part.key] = declared;
  }
}

/** Undefined where the request does not have it, and there is nothing to stand in. */
export function valueIn(
  part: Extract<Part, { kind: 'value' }>,
  values: Values,
): string | undefined {
  const value = values[part.key];
  const text = part.key === 'consumer' ? consumerText(value, part.name) : value;
  return text === undefined || text === '' ? part.fallback : String(text);
}

function consumerText(value: unknown, name: string): string | undefined {
  const field = name.slice('consumer.'.length) as (typeof consumerFields)[number];
  const text = (value as Consumer | undefined)?.[field];
  return typeof text === 'object' ? text.join(', ') : text;
}

/** Undefined where one of its values is not there. `encode` makes each value fit its place. */
export function render(
  template: Template,
  values: Values,
  encode: (value: string, part: Part) => string,
): string | undefined {
  let text = '';
  for (const part of template) {
    if (part.kind === 'literal') {
      text += part.text;
      continue;
    }
    const value = valueIn(part, values);
    if (value === undefined) return undefined;
    text += encode(value, part);
  }
  return text;
}
