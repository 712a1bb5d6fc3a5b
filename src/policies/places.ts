// Where in a request a credential may stand: finding it there, and removing it before the request goes upstream.
import * as input from '../policy/inputs.js';
import type { RequestEdits } from '../policy/verdict.js';
import { type BodyFields, bodyFields } from './bodyFields.js';
import { cookieIn, withoutCookies } from './cookies.js';
import { propertyName } from './propertyName.js';

/** Inputs of a policy, by their keys. */
export type Values = Readonly<Record<string, unknown>>;

export interface PlaceNames {
  /** Lower case. */
  readonly headers: readonly string[];
  readonly queries: readonly string[];
  readonly cookies: readonly string[];
  readonly bodies?: BodyPlaces | undefined;
}

/** Fields of a body, which is looked at up to `limit` bytes. */
export interface BodyPlaces {
  readonly names: readonly string[];
  readonly limit: number;
}

/** What of a header's value is the credential; undefined for one that holds something else. */
export type ReadHeader = (value: string, name: string) => string | undefined;

export function placeInputs({
  headers,
  queries,
  cookies,
  bodies,
}: PlaceNames): Record<string, input.Input<unknown>> {
  const inputs: Record<string, input.Input<unknown>> = {};
  for (const { name, key } of placesOf('header', headers)) inputs[key] = input.header(name);
  for (const { name, key } of placesOf('query', queries)) inputs[key] = input.query(name);
  // All of them, since what is left of them has to be written anew.
  if (cookies.length > 0) inputs['cookies'] = input.headers('cookie');
  if (bodies !== undefined) {
    inputs[bodyKey] = input.body({ as: 'bytes', limit: bodies.limit, longer: 'pass' });
    inputs[typeKey] = input.header('content-type');
  }
  return inputs;
}

// Keys that no place has.
const bodyKey = 'body';
const typeKey = 'type of the body';

/** A place of one name, and the key of its input: made once, not for every request. */
interface Place {
  readonly name: string;
  readonly key: string;
}

function placesOf(kind: 'header' | 'query', names: readonly string[]): readonly Place[] {
  return names.map((name) => ({ name, key: propertyName(`${kind} ${name}`) }));
}

export class Places {
  readonly #headers: readonly Place[];
  readonly #queries: readonly Place[];
  readonly #cookies: readonly string[];
  readonly #read: ReadHeader;
  /** A header of that name holds a credential and nothing else. */
  readonly #ownHeaders: boolean;
  readonly #cookieNames: ReadonlySet<string>;
  readonly #bodyNames: ReadonlySet<string>;
  /** Of the last request: it is read once for all that is asked of it. */
  #lookedAt: { readonly values: Values; readonly body: BodyFields | undefined } | undefined;

  /** Without `read`, the whole value of a header is the credential. */
  constructor({ headers, queries, cookies, bodies }: PlaceNames, read?: ReadHeader) {
    this.#headers = placesOf('header', headers);
    this.#queries = placesOf('query', queries);
    this.#cookies = cookies;
    this.#read = read ?? ((value) => value);
    this.#ownHeaders = read === undefined;
    this.#cookieNames = new Set(cookies);
    this.#bodyNames = new Set(bodies?.names);
  }

  /** Headers go before the query, the query before cookies, cookies before the body. An empty one is none. */
  find(values: Values): string | undefined {
    for (const place of this.#headers) {
      const found = this.#inHeader(values, place);
      if (found !== undefined && found !== '') return found;
    }
    for (const { key } of this.#queries) {
      const found = values[key];
      if (typeof found === 'string' && found !== '') return found;
    }
    for (const name of this.#cookies) {
      const found = cookieIn(linesIn(values), name);
      if (found !== undefined && found !== '') return found;
    }
    if (this.#bodyNames.size === 0) return undefined;
    const body = this.#bodyIn(values);
    for (const name of this.#bodyNames) {
      const found = body?.find(name);
      if (found !== undefined && found !== '') return found;
    }
    return undefined;
  }

  /** Requests in which find() has found something all need the same removal: what is not there costs nothing to remove. */
  isPlain(values: Values): boolean {
    return (
      (this.#ownHeaders || this.#headers.length === 1) &&
      this.#queries.every(({ key }) => values[key] === undefined) &&
      (this.#cookies.length === 0 || linesIn(values).length === 0) &&
      (this.#bodyNames.size === 0 || this.#bodyIn(values) === undefined)
    );
  }

  /** Removes everything in which a credential may stand, whether or not it is one. */
  removal(
    values: Values,
  ): Required<Pick<RequestEdits, 'set' | 'remove'>> & Pick<RequestEdits, 'query' | 'body'> {
    const remove = this.#headers
      .filter((place) => this.#ownHeaders || this.#inHeader(values, place) !== undefined)
      .map(({ name }) => name);
    const sent = this.#queries
      .filter(({ key }) => values[key] !== undefined)
      .map(({ name }) => name);
    const lines = this.#cookies.length === 0 ? [] : linesIn(values);
    const hasCookie = this.#cookies.some((name) => cookieIn(lines, name) !== undefined);
    const left = hasCookie ? withoutCookies(lines, this.#cookieNames) : '';
    if (hasCookie && left === '') remove.push('cookie');
    return {
      set: left === '' ? {} : { cookie: left },
      remove,
      query: sent.length === 0 ? undefined : { remove: sent },
      body: this.#bodyNames.size === 0 ? undefined : this.#bodyIn(values)?.without(this.#bodyNames),
    };
  }

  /** Undefined for one without fields, and for one that is longer than what is looked at. */
  #bodyIn(values: Values): BodyFields | undefined {
    if (this.#lookedAt?.values === values) return this.#lookedAt.body;
    const bytes = values[bodyKey] as Uint8Array | undefined;
    const body = bytes && bodyFields(bytes, values[typeKey] as string | undefined);
    this.#lookedAt = { values, body };
    return body;
  }

  #inHeader(values: Values, { name, key }: Place): string | undefined {
    const value = values[key];
    return typeof value === 'string' ? this.#read(value, name) : undefined;
  }
}

function linesIn(values: Values): readonly string[] {
  return values['cookies'] as readonly string[];
}
