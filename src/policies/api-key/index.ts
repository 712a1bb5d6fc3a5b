// `use: api-key`: a request is from the consumer whose key it carries.
import { z } from 'zod';
import { consumerFields, keyDigest, plainKey } from '../../config/schema/consumers.js';
import { expected, size } from '../../config/schema/scalars.js';
import { definePolicy } from '../../policy/define.js';
import * as input from '../../policy/inputs.js';
import type { KnownConsumer } from '../../policy/knownConsumer.js';
import { allow, deny, type RequestEdits, type VerdictDraft } from '../../policy/verdict.js';
import { merged } from '../edits.js';
import { mayPass } from '../groups.js';
import { anonymousIdentity, type Identity, identityEdits } from '../identity.js';
import * as option from '../options.js';
import { type PlaceNames, Places, placeInputs, type ReadHeader, type Values } from '../places.js';
import { type KeyEntry, KeyStore } from './store.js';

const ownKey = z
  .strictObject({
    key: plainKey().optional().describe('The key: 8 to 1024 visible ASCII characters.'),
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
      'Where the key may stand: headers. Default: `x-api-key`, where none of `query`, `cookie` and `body` is given.',
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
  body: option
    .several(option.fieldName(), 'the name of a field')
    .optional()
    .describe(
      'Where the key may stand, where it stands nowhere else: fields of a body that is a JSON object or a form.',
    ),
  bodySize: size(1, 128 * 1024)
    .prefault('16KiB')
    .describe(
      'Bodies up to this size are looked at, at most 128KiB. In a longer one there is no key.',
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

function placesOf({ header, query = [], cookie = [], body, bodySize }: Options): PlaceNames {
  const isElsewhere = query.length + cookie.length > 0 || body !== undefined;
  const headers = header ?? (isElsewhere ? [] : ['x-api-key']);
  return {
    headers: headers.map((name) => name.toLowerCase()),
    queries: query,
    cookies: cookie,
    bodies: body && { names: body, limit: bodySize },
  };
}

function withoutPrefix(prefix: string): ReadHeader {
  const start = prefix.toLowerCase();
  return (value) =>
    value.slice(0, start.length).toLowerCase() === start
      ? value.slice(start.length).trimStart()
      : undefined;
}

class ApiKeys {
  readonly #options: Options;
  readonly #places: Places;
  readonly #store = new KeyStore();
  readonly #missing: VerdictDraft;
  readonly #unknown: VerdictDraft;
  readonly #outsider: VerdictDraft;
  readonly #anonymous: Identity | undefined;

  constructor(options: Options, consumers: readonly KnownConsumer[]) {
    this.#options = options;
    const { prefix } = options;
    this.#places = new Places(
      placesOf(options),
      prefix === undefined ? undefined : withoutPrefix(prefix),
    );
    this.#store.addConsumers(consumers);
    for (const [index, { digest, consumer }] of options.keys.entries()) {
      if (this.#store.add(digest, consumer)) continue;
      throw new Error(`expected a key of its own but keys[${index}] is one of another consumer`);
    }
    const challenge = { 'www-authenticate': `ApiKey realm="${options.realm}"` };
    const replayFor = Math.min(options.replayFor, denialReplay);
    const refused = (reason: string) =>
      Object.freeze(deny({ status: 401, reason, headers: challenge, replayFor }));
    this.#missing = refused('the request has no API key');
    this.#unknown = refused('the API key is not a known one');
    this.#outsider = Object.freeze(
      deny({ reason: 'the consumer is in no group that may pass', replayFor }),
    );
    this.#anonymous = anonymousIdentity(options.anonymous, consumers);
  }

  decide(values: Values): VerdictDraft {
    const { hide, onPreflight } = this.#options;
    if (!onPreflight && values['method'] === 'OPTIONS') return this.#onward(undefined, values);
    const key = this.#places.find(values);
    if (key === undefined) return this.#withoutKey(values);
    const entry = this.#store.find(key);
    if (entry === undefined) return this.#unknown;
    if (hide && !this.#places.isPlain(values)) return this.#verdictFor(entry, values);
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

  #verdictFor({ consumer }: KeyEntry, values: Values): VerdictDraft {
    return mayPass(consumer, this.#options)
      ? this.#onward({ consumer, credentialId: consumer.credential }, values)
      : this.#outsider;
  }

  #onward(identity: Identity | undefined, values: Values): VerdictDraft {
    const { replayFor, identityHeaders, hide } = this.#options;
    const edits: RequestEdits[] = [];
    if (identityHeaders) edits.push(identityEdits(identity));
    if (hide) edits.push(this.#places.removal(values));
    const fields = { consumer: identity?.consumer, request: merged(edits), replayFor };
    // Not by allow(): verdicts that are kept here would teach V8 that what allow() makes lives long, and every policy's would be
    // put among the old objects, which costs each of them microseconds of garbage collection. Frozen, it is checked once.
    return Object.freeze({ kind: 'allow', fields });
  }
}

export default definePolicy({
  options,
  consumers: true,
  inputs(given) {
    const inputs = placeInputs(placesOf(given));
    if (!given.onPreflight) inputs['method'] = input.method();
    if (given.anonymous !== undefined) inputs['consumer'] = input.consumer();
    return inputs;
  },
  setup: ({ options: given, consumers }) => new ApiKeys(given, consumers),
  decide: ({ inputs, state }) => state.decide(inputs),
});
