// Requests that a test makes up, and the inputs that a policy reads of them, as the gateway would.
import type { Consumer } from '../consumer.js';
import type { AttributeValue, BodySpec, InputDeclaration, TlsFact } from '../inputs.js';

export interface MadeUpRequest {
  /** GET by default. */
  readonly method?: string;
  /** A path with its query, or a whole URL; `/` by default. */
  readonly url?: string;
  /** Names in any case; an array is several lines. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** The client's address; 127.0.0.1 by default. */
  readonly client?: string;
  /** Parameters of the route's path. */
  readonly params?: Readonly<Record<string, string>>;
  /** `test` by default. */
  readonly routeName?: string;
  /** Of the client's connection; nothing by default. */
  readonly tls?: Readonly<Partial<Record<TlsFact, string>>>;
  /** Anything but text and bytes is sent as JSON. */
  readonly body?: unknown;
  /** As an earlier policy would have said. */
  readonly consumer?: Consumer;
  /** By policy, then by name: as earlier policies would have said. */
  readonly attributes?: Readonly<Record<string, Readonly<Record<string, AttributeValue>>>>;
  /** What the policy sees as `ctx.signal`. */
  readonly signal?: AbortSignal;
}

/** A request with every default in its place. */
export interface FullRequest {
  readonly method: string;
  readonly scheme: 'http' | 'https';
  readonly host: string;
  /** Without query. */
  readonly path: string;
  /** Without `?`; as written. */
  readonly query: string;
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly body: Uint8Array;
  readonly made: MadeUpRequest;
}

export function complete(made: MadeUpRequest): FullRequest {
  const headers = new Map<string, string[]>();
  for (const [name, value] of Object.entries(made.headers ?? {})) {
    const lines = headers.get(name.toLowerCase()) ?? [];
    headers.set(name.toLowerCase(), lines.concat(value));
  }
  const { url = '/' } = made;
  const [, scheme, authority, target = '/'] = /^(?:(https?):\/\/([^/?#]*))?([^#]*)/.exec(url) ?? [];
  const [path = '', query = ''] = splitOnce(target, '?');
  const host = authority ?? headers.get('host')?.[0] ?? 'localhost';
  headers.set('host', [host]);
  return {
    method: made.method ?? 'GET',
    scheme: scheme === 'https' ? 'https' : 'http',
    host: host.replace(/:\d*$/, '').toLowerCase(),
    path: path === '' ? '/' : path,
    query,
    headers,
    body: bytesOf(made.body),
    made,
  };
}

export function readInput(input: InputDeclaration, request: FullRequest): unknown {
  const { made, headers } = request;
  switch (input.kind) {
    case 'header':
      return headers.get(input.name)?.join(', ');
    case 'headers':
      return headers.get(input.name) ?? [];
    case 'cookie':
      return cookieOf(headers.get('cookie') ?? [], input.name);
    case 'query':
      return queryOf(request.query).find(([name]) => name === input.name)?.[1];
    case 'param':
      return ownValue(made.params, input.name);
    case 'path':
    case 'method':
    case 'host':
    case 'scheme':
      return request[input.kind];
    case 'clientAddress':
      return made.client ?? '127.0.0.1';
    case 'tls':
      return made.tls?.[input.name as TlsFact];
    case 'routeName':
      return made.routeName ?? 'test';
    case 'consumer':
      return made.consumer;
    case 'attribute':
      return ownValue(ownValue(made.attributes, input.policy), input.name);
    case 'body':
      return bodyOf(request.body, input);
  }
}

function ownValue<T>(record: Readonly<Record<string, T>> | undefined, name: string): T | undefined {
  return record !== undefined && Object.hasOwn(record, name) ? record[name] : undefined;
}

/** RFC 6265, 4.2: the first of that name over all lines, without one pair of quotes. */
function cookieOf(lines: readonly string[], wanted: string): string | undefined {
  for (const pair of lines.flatMap((line) => line.split(';'))) {
    const [name = '', value] = splitOnce(pair.trim(), '=');
    if (name === wanted && value !== undefined) return value.replace(/^"(.*)"$/, '$1');
  }
  return undefined;
}

/** Decoded pairs in order. A `+` is a space; an escape that is none stays as it is. */
export function queryOf(query: string): [name: string, value: string][] {
  return query
    .split('&')
    .filter((part) => part !== '')
    .map((part) => {
      const [name = '', value = ''] = splitOnce(part, '=');
      return [decode(name), decode(value)];
    });
}

function decode(text: string): string {
  return text.replaceAll('+', ' ').replace(/(?:%[0-9A-Fa-f]{2})+/g, (escapes) => {
    try {
      return decodeURIComponent(escapes);
    } catch {
      return Buffer.from(escapes.replaceAll('%', ''), 'hex').toString('latin1');
    }
  });
}

function bodyOf(bytes: Uint8Array, { as, limit, longer }: BodySpec): unknown {
  if (bytes.length > limit) {
    if (longer === 'pass') return undefined;
    throw new Error(
      `the body has ${bytes.length} bytes and the policy reads ${limit}: such a request does not reach it`,
    );
  }
  if (as === 'bytes') return bytes;
  const text = Buffer.from(bytes).toString();
  if (as === 'text') return text;
  try {
    return text === '' ? undefined : JSON.parse(text);
  } catch (cause) {
    throw new Error('the body is not JSON: such a request does not reach the policy', { cause });
  }
}

export function bytesOf(body: unknown): Uint8Array {
  if (body instanceof Uint8Array) return body;
  if (body === undefined) return new Uint8Array();
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + separator.length)];
}
