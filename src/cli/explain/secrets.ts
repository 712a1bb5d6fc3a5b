// What is secret in a request and in the options of policies, so that what policies make of it does not show it.
import { queryOf } from '../../policy/testing/request.js';
import type { ExplainedRequest } from './request.js';

/** In place of a secret. */
export const hidden = '‹hidden›';

const secretName =
  /authorization|cookie|credential|pass(?:word|wd|phrase)|secret|session|signature|token|(?:^|[-_])(?:auth|key|pwd|sig)(?:$|[-_])|(?:api|private)[-_]?key/i;

/** By its name, of a header, a parameter, an attribute or an option: `x-api-key`, `access_token`. */
export function isSecretName(name: string): boolean {
  return secretName.test(name);
}

/** Shorter ones would hide words that are no secrets. */
const shortest = 4;

/** The values that must not be shown, wherever they turn up: policies copy them into headers, keys, logs and errors. */
export class Secrets {
  readonly #values: readonly string[];

  constructor(values: Iterable<string>) {
    const long = [...new Set(values)].filter(({ length }) => length >= shortest);
    // Those that hold others first.
    this.#values = long.toSorted((a, b) => b.length - a.length);
  }

  static of(request: ExplainedRequest, options: readonly unknown[]): Secrets {
    const values = [jsonOf(request.body), ...options].flatMap((each) => ofData(each));
    return new Secrets([...ofRequest(request), ...values]);
  }

  hide(text: string): string {
    return this.#values.reduce((shown, value) => shown.replaceAll(value, hidden), text);
  }

  /** Of something with a name. */
  value(name: string, text: string): string {
    return isSecretName(name) ? hidden : this.hide(text);
  }

  /** In the texts of any plain data. */
  within(value: unknown): unknown {
    if (typeof value === 'string') return this.hide(value);
    if (Array.isArray(value)) return value.map((each) => this.within(each));
    if (typeof value !== 'object' || value === null) return value;
    const entries = Object.entries(value).map(([name, each]) => [
      name,
      isSecretName(name) && typeof each !== 'object' ? hidden : this.within(each),
    ]);
    return Object.fromEntries(entries);
  }
}

/** Whole values, and their words: `Bearer abc`, `a=1; session=abc`. */
function ofRequest({ headers, target }: ExplainedRequest): string[] {
  const [, query = ''] = target.split('?');
  return [...headers, ...queryOf(query)]
    .filter(([name]) => isSecretName(name))
    .flatMap(([, value]) => [value, ...value.split(/[\s;,]+/).flatMap(withoutName)]);
}

function withoutName(word: string): string[] {
  const at = word.indexOf('=');
  return at <= 0 || at === word.length - 1 ? [word] : [word, word.slice(at + 1)];
}

function jsonOf(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

/** Every text below a name that is one of a secret. */
function ofData(value: unknown, secret = false): string[] {
  if (typeof value === 'string') return secret ? [value] : [];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, each]) =>
    ofData(each, secret || (!Array.isArray(value) && isSecretName(name))),
  );
}
