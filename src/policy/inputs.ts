// What a policy reads of a request: small serialisable declarations whose types carry the type of the value.
import { parseSize } from '../config/units.js';
import type { Consumer } from './consumer.js';
import { isToken } from './fields.js';

type NamedKind = 'header' | 'headers' | 'cookie' | 'query' | 'param' | 'tls';
type PlainKind = 'path' | 'method' | 'clientAddress' | 'host' | 'scheme' | 'routeName' | 'consumer';

export type BodyForm = 'text' | 'json' | 'bytes';

/** Of the head of a request, and what is known about it: what both hooks can read. */
export type HeadSpec =
  | { readonly kind: NamedKind; readonly name: string }
  | { readonly kind: PlainKind };

/** A declaration as plain data: what the configuration compiles and what crosses threads. */
export type InputSpec =
  | HeadSpec
  | { readonly kind: 'attribute'; readonly policy: string; readonly name: string }
  | BodySpec;

export interface BodySpec {
  readonly kind: 'body';
  /** In bytes. */
  readonly limit: number;
  readonly as: BodyForm;
  readonly longer: Longer;
}

/**
 * What becomes of a message whose body is longer than the limit: `fail` answers 413, or 502 where a response is; `pass` goes on without
 * a body to read.
 */
export type Longer = 'fail' | 'pass';

/** A declaration with the key under which `decide` finds its value. */
export type InputDeclaration = InputSpec & { readonly key: string };

declare const valueType: unique symbol;

/** Says what the value of a declaration is; the symbol exists for the compiler only. */
export interface Carries<Value> {
  readonly [valueType]?: () => Value;
}

/** A declaration whose value is a `Value`. */
export type Input<Value> = InputSpec & Carries<Value>;
export type HeadInput<Value> = HeadSpec & Carries<Value>;

export type InputRecord = Readonly<Record<string, Input<unknown>>>;

/** What a hook sees of a record of declarations. */
export type InputValues<Inputs extends Readonly<Record<string, Carries<unknown>>>> = {
  readonly [Key in keyof Inputs]: Inputs[Key] extends Carries<infer Value> ? Value : never;
};

export type AttributeValue = string | number | boolean;

/** The value of a header; several lines of one name are joined by `, `. */
export function header(name: string): HeadInput<string | undefined> {
  return { kind: 'header', name: headerName(name) };
}

/** Every line of a header, in order. */
export function headers(name: string): HeadInput<readonly string[]> {
  return { kind: 'headers', name: headerName(name) };
}

/** The first cookie of that name. */
export function cookie(name: string): HeadInput<string | undefined> {
  if (!isToken(name))
    throw new TypeError(`expected the name of a cookie but received ${show(name)}`);
  return { kind: 'cookie', name };
}

/** The first query parameter of that name, decoded. */
export function query(name: string): HeadInput<string | undefined> {
  return { kind: 'query', name: filled(name, 'the name of a query parameter') };
}

/** A parameter of the route's path: `id` of `/orders/:id`. */
export function param(name: string): HeadInput<string | undefined> {
  return { kind: 'param', name: filled(name, 'the name of a path parameter') };
}

/** The path as it was routed, without the query. */
export function path(): HeadInput<string> {
  return { kind: 'path' };
}

export function method(): HeadInput<string> {
  return { kind: 'method' };
}

/** The client's address without port; the one that trusted proxies report, if the listener trusts any. */
export function clientAddress(): HeadInput<string> {
  return { kind: 'clientAddress' };
}

/** The host of the request, lower case, without port. */
export function host(): HeadInput<string> {
  return { kind: 'host' };
}

export function scheme(): HeadInput<'http' | 'https'> {
  return { kind: 'scheme' };
}

/** Facts of TLS on the client's connection. */
export const tlsFacts = [
  'version',
  'cipher',
  'sni',
  'alpn',
  'subject',
  'sans',
  'fingerprint',
  'ja4',
  'verification',
] as const;
export type TlsFact = (typeof tlsFacts)[number];

/**
 * What was agreed on with the client: `version` (`TLSv1.3`), `cipher` (as IANA names it), `sni` (the name that the client asked
 * for), `alpn` (`http/1.1`), `ja4` (the fingerprint of the client's first message); of the client's verified certificate `subject` (`CN=api,O=Example`), `sans` (`DNS:a.example,URI:…`)
 * and `fingerprint` (the SHA-256 of it, in hexadecimal digits); of a certificate that it showed `verification`: `ok`, or what is wrong with it, in
 * OpenSSL's words. Undefined in the clear, and where there is nothing to say.
 */
export function tls(fact: TlsFact): HeadInput<string | undefined> {
  if (!tlsFacts.includes(fact)) {
    throw new TypeError(`expected one of ${tlsFacts.join(', ')} but received ${show(fact)}`);
  }
  return { kind: 'tls', name: fact };
}

export function routeName(): HeadInput<string> {
  return { kind: 'routeName' };
}

/** Who the request is from, as an earlier policy of the route found out. */
export function consumer(): HeadInput<Consumer | undefined> {
  return { kind: 'consumer' };
}

/** An attribute that an earlier policy of the route has set; `policyName` is its name in the configuration. */
export function attribute(policyName: string, name: string): Input<AttributeValue | undefined> {
  const policy = filled(policyName, 'the name of a policy');
  return { kind: 'attribute', policy, name: filled(name, 'the name of an attribute') };
}

interface BodyValues {
  /** Empty when there is no body. */
  text: string;
  /** Undefined when there is no body. */
  json: unknown;
  /** Empty when there is no body. */
  bytes: Uint8Array;
}

/**
 * The whole body. `limit` is a size such as 64KiB, or bytes; requests with longer ones do not reach the policy, or with
 * `longer: 'pass'` reach it without.
 */
export function body<As extends BodyForm>(settings: {
  limit: string | number;
  as: As;
  longer?: 'fail';
}): Input<BodyValues[As]>;
export function body<As extends BodyForm>(settings: {
  limit: string | number;
  as: As;
  longer: Longer;
}): Input<BodyValues[As] | undefined>;
export function body(settings: {
  limit: string | number;
  as: BodyForm;
  longer?: Longer;
}): Input<unknown> {
  const { limit, as, longer = 'fail' } = settings;
  if (!bodyForms.includes(as)) {
    throw new TypeError(
      `expected text, json or bytes for the form of a body but received ${show(as)}`,
    );
  }
  return { kind: 'body', limit: bytesOf(limit), as, longer: longerOf(longer) };
}

export function longerOf(longer: unknown): Longer {
  if (longer === 'fail' || longer === 'pass') return longer;
  throw new TypeError(`expected fail or pass for longer bodies but received ${show(longer)}`);
}

const bodyForms: readonly BodyForm[] = ['text', 'json', 'bytes'];

export function bytesOf(limit: string | number): number {
  const parsed = typeof limit === 'string' ? parseSize(limit) : undefined;
  const bytes = parsed?.ok === true ? parsed.value : limit;
  if (typeof bytes === 'number' && Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new TypeError(
    `expected a size such as 64KiB for the limit of a body but received ${show(limit)}`,
  );
}

export function headerName(name: string): string {
  if (isToken(name)) return name.toLowerCase();
  throw new TypeError(`expected the name of a header but received ${show(name)}`);
}

function filled(name: string, what: string): string {
  if (typeof name === 'string' && name !== '') return name;
  throw new TypeError(`expected ${what} but received ${show(name)}`);
}

export function show(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value);
}

const namedKinds: ReadonlySet<unknown> = new Set<NamedKind>([
  'header',
  'headers',
  'cookie',
  'query',
  'param',
  'tls',
]);
const plainKinds: ReadonlySet<unknown> = new Set<PlainKind>([
  'path',
  'method',
  'clientAddress',
  'host',
  'scheme',
  'routeName',
  'consumer',
]);

/** Whether a value has the shape that one of the functions above returns. */
export function isInput(value: unknown): value is Input<unknown> {
  if (typeof value !== 'object' || value === null || !('kind' in value)) return false;
  if (plainKinds.has(value.kind)) return true;
  if (value.kind === 'body') return 'limit' in value && 'as' in value && 'longer' in value;
  const named = 'name' in value && typeof value.name === 'string';
  return named && (namedKinds.has(value.kind) || (value.kind === 'attribute' && 'policy' in value));
}
