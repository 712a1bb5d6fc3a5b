// `use: api-key`: a request is from the consumer whose key it carries.
import { z } from 'zod';
import { apiKey, consumerFields, keyDigest } from '../../config/schema/consumers.js';
import { expected } from '../../config/schema/scalars.js';
import type { Consumer } from '../../policy/consumer.js';
import { definePolicy } from '../../policy/define.js';
import * as input from '../../policy/inputs.js';
import type { KnownConsumer } from '../../policy/knownConsumer.js';
import { allow, deny, type VerdictDraft } from '../../policy/verdict.js';
import { cookieIn, withoutCookies } from '../cookies.js';
import { mayPass } from '../groups.js';
import { type Identity, identityEdits, publicConsumer } from '../identity.js';
import * as option from '../options.js';
import { type KeyEntry, KeyStore } from './store.js';

const ownKey = z
  .strictObject({
    key: apiKey().optional().describe('The key: 8 to 1024 visible ASCII characters.'),
    sha256: keyDigest().optional(),
    consumer: z.strictObject(consumerFields).describe('Whose key it is.'),
  })
  .transform(({ key, sha256, consumer }, context) => {
    if (key !== undefined && sha256 !== undefined) {
      context.issues.push({
        code: 'custom',
        message: 'expected key or sha256, not both',
        input: '',
      });
      return z.NEVER;
    }
    const digest = key ?? sha256;
    if (digest === undefined) {
      context.issues.push({ code: 'custom', message: 'expected key or sha256', input: '' });
      return z.NEVER;
    }
    return { digest, consumer };
  });

const options = z.strictObject({
  header: option
    .several(option.header(), 'the name of a header')
    .optional()
    .describe(
      'Where the key may stand: headers. Default: `x-api-key`, where neither `query` nor `cookie` is given.',
    ),
  query: option
    .several(option.queryName(), 'the name of a query parameter')
    .optional()
    .describe('Where the key may stand: query parameters.'),
  cookie: option
    .several(option.cookieName(), 'the name of a cookie')
    .optional()
    .describe(
      'Where the key may stand: cookies. Headers go before the query, the query before cookies.',
    ),
  prefix: z
    .string(expected('a text'))
    .min(1, expected('a text that is not empty'))
    .optional()
    .describe(
      'What stands before the key in a header, such as `ApiKey ` in `authorization`; in any case. A header without it has no key.',
    ),
  hide: option.hide(),
  keys: z
    .array(ownKey, expected('a list of maps'))
    .prefault([])
    .describe("Keys beside those of the configuration's `consumers`."),
  anonymous: option.anonymous(),
  realm: option.realm(),
  onPreflight: option.onPreflight(),
  identityHeaders: option.identityHeaders(),
  ...option.groupOptions,
  replayFor: option.replayFor('30s'),
});

type Options = z.output<typeof options>;

/** Of denials: long enough for a client that tries again and again, too short to matter to one that has a new key. */
const denialReplay = 5000;

interface Places {
  readonly headers: readonly string[];
  readonly queries: readonly string[];
  readonly cookies: readonly string[];
}

function placesOf({ header, query = [], cookie = [] }: Options): Places {
  const headers = header ?? (query.length + cookie.length === 0 ? ['x-api-key'] : []);
  return { headers: headers.map((name) => name.toLowerCase()), queries: query, cookies: cookie };
}

type Values = Readonly<Record<string, unknown>>;

class ApiKeys {
  readonly #options: Options;
  readonly #places: Places;
  readonly #store = new KeyStore();
  readonly #cookieNames: ReadonlySet<string>;
  readonly #missing: VerdictDraft;
  readonly #unknown: VerdictDraft;
  readonly #outsider: VerdictDraft;
  readonly #anonymous: Identity | undefined;

  constructor(options: Options, consumers: readonly KnownConsumer[]) {
    this.#options = options;
    this.#places = placesOf(options);
    this.#cookieNames = new Set(this.#places.cookies);
    this.#store.addConsumers(consumers);
    for (const [index, { digest, consumer }] of options.keys.entries()) {
      if (this.#store.add(digest, consumer)) continue;
      throw new Error(`expected a key of its own but keys[${index}] is one of another consumer`);
    }
    const challenge = { 'www-authenticate': `ApiKey realm="${options.realm}"` };
    const replayFor = Math.min(options.replayFor, denialReplay);
    const refused = (reason: string) =>
      deny({ status: 401, reason, headers: challenge, replayFor });
    this.#missing = refused('the request has no API key');
    this.#unknown = refused('the API key is not a known one');
    this.#outsider = deny({ reason: 'the consumer is in no group that may pass', replayFor });
    this.#anonymous = anonymousOf(options.anonymous, consumers);
  }

  decide(values: Values): VerdictDraft {
    if (!this.#options.onPreflight && values['method'] === 'OPTIONS')
      return this.#onward(undefined, values);
    const key = this.#keyOf(values);
    if (key === undefined) return this.#withoutKey(values);
    const entry = this.#store.find(key);
    if (entry === undefined) return this.#unknown;
    if (!this.#isPlain(values)) return this.#verdictFor(entry, values);
    entry.verdict ??= this.#verdictFor(entry, values);
    return entry.verdict;
  }

  #withoutKey(values: Values): VerdictDraft {
    const { replayFor } = this.#options;
    if (this.#anonymous === undefined) return this.#missing;
    // Somebody whom an earlier policy knows is not made anonymous.
    if (values['consumer'] !== undefined) return allow({ replayFor });
    return mayPass(this.#anonymous.consumer, this.#options)
      ? this.#onward(this.#anonymous, values)
      : this.#outsider;
  }

  #keyOf(values: Values): string | undefined {
    const { headers, queries, cookies } = this.#places;
    for (const name of headers) {
      const key = this.#withoutPrefix(values[`header ${name}`]);
      if (key !== undefined) return key;
    }
    for (const name of queries) {
      const key = values[`query ${name}`];
      if (typeof key === 'string' && key !== '') return key;
    }
    for (const name of cookies) {
      const key = cookieIn(values['cookies'] as readonly string[], name);
      if (key !== undefined && key !== '') return key;
    }
    return undefined;
  }

  #withoutPrefix(value: unknown): string | undefined {
    const { prefix } = this.#options;
    if (typeof value !== 'string' || value === '') return undefined;
    if (prefix === undefined) return value;
    const start = value.slice(0, prefix.length);
    return start.toLowerCase() === prefix.toLowerCase()
      ? value.slice(prefix.length).trimStart()
      : undefined;
  }

  /** Every request with this key gets the same edits: removing a header that is not there costs nothing. */
  #isPlain(values: Values): boolean {
    const { headers, queries, cookies } = this.#places;
    if (!this.#options.hide) return true;
    return (
      (this.#options.prefix === undefined || headers.length === 1) &&
      queries.every((name) => values[`query ${name}`] === undefined) &&
      (cookies.length === 0 || (values['cookies'] as readonly string[]).length === 0)
    );
  }

  #verdictFor({ consumer, credentialId }: KeyEntry, values: Values): VerdictDraft {
    return mayPass(consumer, this.#options)
      ? this.#onward({ consumer, credentialId }, values)
      : this.#outsider;
  }

  #onward(identity: Identity | undefined, values: Values): VerdictDraft {
    const { replayFor, identityHeaders, hide } = this.#options;
    const { set, remove } = identityHeaders ? identityEdits(identity) : { set: {}, remove: [] };
    const hidden = hide ? this.#hidden(values) : nothingHidden;
    const { cookie } = hidden;
    return allow({
      consumer: identity?.consumer,
      request: {
        set: cookie === undefined || cookie === '' ? set : { ...set, cookie },
        remove: [...remove, ...hidden.headers, ...(cookie === '' ? ['cookie'] : [])],
        query: hidden.queries.length === 0 ? undefined : { remove: hidden.queries },
      },
      replayFor,
    });
  }

  /** Everything in which a key may stand, whether or not it is one. A header without the prefix is somebody else's. */
  #hidden(values: Values): Hidden {
    const { headers, queries, cookies } = this.#places;
    const { prefix } = this.#options;
    const lines = cookies.length === 0 ? [] : (values['cookies'] as readonly string[]);
    const hasCookie = cookies.some((name) => cookieIn(lines, name) !== undefined);
    return {
      headers:
        prefix === undefined
          ? headers
          : headers.filter((name) => this.#withoutPrefix(values[`header ${name}`]) !== undefined),
      queries: queries.filter((name) => values[`query ${name}`] !== undefined),
      cookie: hasCookie ? withoutCookies(lines, this.#cookieNames) : undefined,
    };
  }
}

interface Hidden {
  readonly headers: readonly string[];
  readonly queries: readonly string[];
  /** What the request's cookies become; undefined where they stay as they are. */
  readonly cookie: string | undefined;
}

const nothingHidden: Hidden = { headers: [], queries: [], cookie: undefined };

function anonymousOf(
  id: string | undefined,
  consumers: readonly KnownConsumer[],
): Identity | undefined {
  if (id === undefined) return undefined;
  const consumer: Consumer = consumers.find((each) => each.id === id) ?? { id };
  return { consumer: publicConsumer(consumer), anonymous: true };
}

export default definePolicy({
  options,
  consumers: true,
  inputs(given) {
    const { headers, queries, cookies } = placesOf(given);
    const named = [
      ...headers.map((name) => [`header ${name}`, input.header(name)] as const),
      ...queries.map((name) => [`query ${name}`, input.query(name)] as const),
    ];
    const inputs: Record<string, input.Input<unknown>> = Object.fromEntries(named);
    if (cookies.length > 0) inputs['cookies'] = input.headers('cookie');
    if (!given.onPreflight) inputs['method'] = input.method();
    if (given.anonymous !== undefined) inputs['consumer'] = input.consumer();
    return inputs;
  },
  setup: ({ options: given, consumers }) => new ApiKeys(given, consumers),
  decide: ({ inputs, state }) => state.decide(inputs),
});
