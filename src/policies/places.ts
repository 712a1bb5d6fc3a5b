// Where in a request a credential may stand: finding it there, and removing it before the request goes upstream.
import * as input from '../policy/inputs.js';
import type { RequestEdits } from '../policy/verdict.js';
import { cookieIn, withoutCookies } from './cookies.js';

/** Inputs of a policy, by their keys. */
export type Values = Readonly<Record<string, unknown>>;

export interface PlaceNames {
  /** Lower case. */
  readonly headers: readonly string[];
  readonly queries: readonly string[];
  readonly cookies: readonly string[];
}

/** What of a header's value is the credential; undefined for one that holds something else. */
export type ReadHeader = (value: string, name: string) => string | undefined;

export function placeInputs({
  headers,
  queries,
  cookies,
}: PlaceNames): Record<string, input.Input<unknown>> {
  const inputs: Record<string, input.Input<unknown>> = {};
  for (const name of headers) inputs[`header ${name}`] = input.header(name);
  for (const name of queries) inputs[`query ${name}`] = input.query(name);
  // All of them, since what is left of them has to be written anew.
  if (cookies.length > 0) inputs['cookies'] = input.headers('cookie');
  return inputs;
}

export class Places {
  readonly #names: PlaceNames;
  readonly #read: ReadHeader;
  /** A header of that name holds a credential and nothing else. */
  readonly #ownHeaders: boolean;
  readonly #cookieNames: ReadonlySet<string>;

  /** Without `read`, the whole value of a header is the credential. */
  constructor(names: PlaceNames, read?: ReadHeader) {
    this.#names = names;
    this.#read = read ?? ((value) => value);
    this.#ownHeaders = read === undefined;
    this.#cookieNames = new Set(names.cookies);
  }

  /** Headers go before the query, the query before cookies. An empty one is none. */
  find(values: Values): string | undefined {
    const { headers, queries, cookies } = this.#names;
    for (const name of headers) {
      const found = this.#inHeader(values, name);
      if (found !== undefined && found !== '') return found;
    }
    for (const name of queries) {
      const found = values[`query ${name}`];
      if (typeof found === 'string' && found !== '') return found;
    }
    for (const name of cookies) {
      const found = cookieIn(linesIn(values), name);
      if (found !== undefined && found !== '') return found;
    }
    return undefined;
  }

  /** Requests in which find() has found something all need the same removal: what is not there costs nothing to remove. */
  isPlain(values: Values): boolean {
    const { headers, queries, cookies } = this.#names;
    return (
      (this.#ownHeaders || headers.length === 1) &&
      queries.every((name) => values[`query ${name}`] === undefined) &&
      (cookies.length === 0 || linesIn(values).length === 0)
    );
  }

  /** Removes everything in which a credential may stand, whether or not it is one. */
  removal(
    values: Values,
  ): Required<Pick<RequestEdits, 'set' | 'remove'>> & Pick<RequestEdits, 'query'> {
    const { headers, queries, cookies } = this.#names;
    const remove = this.#ownHeaders
      ? [...headers]
      : headers.filter((name) => this.#inHeader(values, name) !== undefined);
    const sent = queries.filter((name) => values[`query ${name}`] !== undefined);
    const lines = cookies.length === 0 ? [] : linesIn(values);
    const hasCookie = cookies.some((name) => cookieIn(lines, name) !== undefined);
    const left = hasCookie ? withoutCookies(lines, this.#cookieNames) : '';
    if (hasCookie && left === '') remove.push('cookie');
    return {
      set: left === '' ? {} : { cookie: left },
      remove,
      query: sent.length === 0 ? undefined : { remove: sent },
    };
  }

  #inHeader(values: Values, name: string): string | undefined {
    const value = values[`header ${name}`];
    return typeof value === 'string' ? this.#read(value, name) : undefined;
  }
}

function linesIn(values: Values): readonly string[] {
  return values['cookies'] as readonly string[];
}
