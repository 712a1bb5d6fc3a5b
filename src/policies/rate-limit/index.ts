// `use: rate-limit`: charges each request to counters of the core, which lets it pass or answers it.
import { z } from 'zod';
import { choice, expected, headerName, wholeNumber } from '../../config/schema/scalars.js';
import { definePolicy } from '../../policy/define.js';
import { type Input, tlsFacts } from '../../policy/inputs.js';
import {
  type AllowFields,
  allow,
  type ChargeDraft,
  type VerdictDraft,
} from '../../policy/verdict.js';
import * as option from '../options.js';
import {
  inputKey,
  inputOf,
  keyPart,
  type Part,
  partValue,
  plainParts,
  type Values,
} from './key.js';
import { limitList } from './limits.js';
import { RecentVerdicts } from './recent.js';

const attribute = z
  .strictObject({
    policy: z.string(expected('the name of a policy')).min(1).describe('The policy that sets it.'),
    name: z.string(expected('a name')).min(1).describe('Of the attribute.'),
  })
  .describe('An attribute that an earlier policy of the route sets.');

const part = z.union(
  [
    choice(plainParts),
    z.strictObject({ header: headerName().describe('The value of this header.') }),
    z.strictObject({ cookie: option.cookieName().describe('The value of this cookie.') }),
    z.strictObject({ query: option.queryName().describe('This query parameter.') }),
    z.strictObject({
      param: z.string(expected('a name')).min(1).describe("This parameter of the route's path."),
    }),
    z.strictObject({
      tls: choice(tlsFacts).describe(
        "This fact of the client's TLS, such as `ja4` or the `fingerprint` of its certificate.",
      ),
    }),
    z.strictObject({ attribute }),
  ],
  expected(
    'consumer, credential, address, route, host, method, path, scheme, or a map with header, cookie, query, param, tls or attribute',
  ),
);

const mostCost = 2 ** 20;

const options = z.strictObject({
  limits: limitList.describe(
    '1 to 8 limits. A request is charged to all of them or, where one is used up, to none.',
  ),
  by: z
    .union(
      [part.transform((one) => [one]), z.array(part).min(1).max(4)],
      expected('one of consumer, credential, address, route, …, or a list of 1 to 4 of them'),
    )
    .prefault('consumer')
    .describe('What has a counter of its own: each value, or each combination of values.'),
  fallback: choice(['address', 'route', 'none'])
    .default('address')
    .describe(
      'Stands in for what a request does not have: its address, its route; `none`: such a request is not limited.',
    ),
  cost: z
    .union(
      [
        wholeNumber(0, mostCost),
        z.strictObject({
          header: headerName().describe(
            'A header of the request: a whole number from 1 on; anything else counts as 1.',
          ),
        }),
        z.strictObject({ attribute }),
      ],
      expected('a whole number, or a map with header or attribute'),
    )
    .default(1)
    .describe('What a request costs. At most 1048576.'),
  headers: choice(['ratelimit', 'x-ratelimit', 'both', 'none'])
    .default('both')
    .describe(
      'What responses say of the limits: `RateLimit` and `RateLimit-Policy`, `X-RateLimit-Limit`, `-Remaining` and `-Reset`, or both.',
    ),
  status: wholeNumber(400, 599).default(429).describe('The status where a limit is used up.'),
  reason: z
    .string(expected('a text'))
    .max(1024, expected('at most 1024 characters'))
    .regex(/^[^\0-\x1f\x7f]+$/, expected('one line of text'))
    .optional()
    .describe('A sentence for the client where a limit is used up.'),
  scope: choice(['policy', 'route'])
    .default('policy')
    .describe('Whether the routes that have this policy share counters, or each has its own.'),
  replayFor: option.replayFor('1m'),
});

type Options = z.output<typeof options>;

/** Of keys and values whose verdicts are kept, in UTF-16 units: what a client makes long fills no worker's memory. */
const longestKept = 512;

/** A part of the key, with what does not change from request to request. */
interface KeyPart {
  readonly input: string;
  readonly tag: string;
  /** In the place of `tag` where the request does not have the part. */
  readonly absentTag: string;
}

class Limiter {
  readonly #options: Options;
  /** Names of policies have no bar, with which parts begin. */
  readonly #name: string;
  readonly #parts: readonly KeyPart[];
  readonly #costInput: string | undefined;
  readonly #unlimited: VerdictDraft;
  /** By their keys. */
  readonly #recent = new RecentVerdicts();
  /** Of the only part, where there is one and the cost is always the same. */
  readonly #onlyInput: string | undefined;
  /** By the value of that part, which saves most requests making a key. */
  readonly #recentValues = new RecentVerdicts();

  constructor(name: string, given: Options) {
    const { by, fallback, cost, scope, replayFor } = given;
    const parts: readonly Part[] = scope === 'route' ? ['route', ...by] : by;
    this.#options = given;
    this.#name = name;
    this.#parts = parts.map((each) => {
      const tag = tagOf(each);
      return { input: inputKey(each), tag, absentTag: `no ${tag} ${fallback}` };
    });
    this.#costInput = typeof cost === 'number' ? undefined : inputKey(cost);
    const [only] = this.#parts;
    const isOne = this.#parts.length === 1 && this.#costInput === undefined;
    this.#onlyInput = isOne ? only?.input : undefined;
    this.#unlimited = allow({ replayFor });
  }

  decide(values: Values): VerdictDraft {
    const value = this.#shortValue(values);
    if (value !== undefined) {
      const known = this.#recentValues.find(value);
      if (known !== undefined) return known;
    }
    const key = this.#keyOf(values);
    if (key === undefined) return this.#unlimited;
    if (this.#costInput !== undefined) return allow(this.#fieldsOf(key, values));
    if (value !== undefined) return this.#recentValues.add(value, this.#fieldsOf(key, values));
    if (key.length > longestKept) return allow(this.#fieldsOf(key, values));
    return this.#recent.find(key) ?? this.#recent.add(key, this.#fieldsOf(key, values));
  }

  /** Of the only part. What is long is not kept. */
  #shortValue(values: Values): string | undefined {
    if (this.#onlyInput === undefined) return undefined;
    const value = partValue(this.#onlyInput, values);
    return value !== undefined && value.length <= longestKept ? value : undefined;
  }

  #fieldsOf(key: string, values: Values): AllowFields {
    const { limits, headers, status, reason, replayFor } = this.#options;
    const cost = this.#costOf(values);
    const charges: ChargeDraft[] = [];
    for (const { limit, name } of limits) {
      charges.push({ limit, key, cost, name, headers, status, reason });
    }
    return { charges, replayFor };
  }

  #keyOf(values: Values): string | undefined {
    const { fallback } = this.#options;
    let key = this.#name;
    for (const { input, tag, absentTag } of this.#parts) {
      const value = partValue(input, values);
      if (value !== undefined) key += keyPart(tag, value);
      else if (fallback === 'none') return undefined;
      else key += keyPart(absentTag, partValue(fallback, values) ?? '');
    }
    return key;
  }

  #costOf(values: Values): number {
    const { cost } = this.#options;
    if (typeof cost === 'number') return cost;
    const text = this.#costInput === undefined ? undefined : partValue(this.#costInput, values);
    if (text === undefined || !/^[0-9]{1,15}$/.test(text)) return 1;
    return Math.min(Math.max(Number(text), 1), mostCost);
  }
}

/** Of a few letters; which header or parameter it is, the place in the key says. */
function tagOf(each: Part): string {
  return typeof each === 'string' ? each : (Object.keys(each)[0] ?? '');
}

export default definePolicy({
  options,
  inputs({ by, fallback, cost, scope }) {
    const parts: Part[] = [...by];
    if (scope === 'route') parts.push('route');
    if (fallback !== 'none') parts.push(fallback);
    if (typeof cost !== 'number') parts.push(cost);
    const inputs: Record<string, Input<unknown>> = {};
    for (const each of parts) inputs[inputKey(each)] = inputOf(each);
    return inputs;
  },
  setup: ({ name, options: given }) => new Limiter(name, given),
  decide: ({ inputs, state }) => state.decide(inputs),
});
