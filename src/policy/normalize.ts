// The border between a policy's code and the gateway: whatever `decide` returned becomes a Verdict, or a problem.
// Plain checks without a schema library, because it runs on every request that crosses.
import { type Checked, fail, found, type Unfit } from './checked.js';
import type { Consumer } from './consumer.js';
import { hasControl, isToken, trimField, whyRefused } from './fields.js';
import type { AttributeValue } from './inputs.js';
import { checkDuration, checkLimit, type Limit } from './limit.js';

/** `name` of a header is lower case. */
export type Edit =
  | { readonly op: 'set' | 'add'; readonly name: string; readonly value: string }
  | { readonly op: 'remove'; readonly name: string };

export interface Charge {
  readonly limit: Limit;
  readonly key: string;
  readonly cost: number;
}

interface Common {
  readonly consumer?: Consumer;
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  readonly charges: readonly Charge[];
  /** Milliseconds; 0: decided anew each time. */
  readonly replayFor: number;
  /** Milliseconds. */
  readonly staleIfError: number;
  readonly tags: readonly string[];
}

interface Onward extends Common {
  /** In the order in which they apply. */
  readonly request: readonly Edit[];
  readonly response: readonly Edit[];
  readonly path?: string;
  readonly query: readonly Edit[];
}

/** `[lower-case name, value]`, in order. */
export type Fields = readonly (readonly [name: string, value: string])[];

/** A verdict that keeps every promise of the types of `verdict.ts`; a redirect has become a response. */
export type Verdict =
  | ({ readonly kind: 'allow' } & Onward)
  | ({ readonly kind: 'route-to'; readonly upstream: string } & Onward)
  | ({
      readonly kind: 'deny';
      readonly status: number;
      readonly reason?: string;
      readonly fields: Fields;
      /** Absent: the gateway writes its own. */
      readonly body?: string | Uint8Array;
    } & Common)
  | ({
      readonly kind: 'respond';
      readonly status: number;
      readonly fields: Fields;
      readonly body: string | Uint8Array;
    } & Common);

export const verdictLimits = {
  /** Edits of one head, and fields of one answer. */
  fields: 64,
  /** Names and values of one head together, in UTF-16 units. */
  fieldLength: 64 * 1024,
  /** Names of consumers and upstreams, in bytes. */
  name: 256,
  reason: 1024,
  cost: 2 ** 20,
  charges: 16,
} as const;

const kinds = 'allow, deny, respond, redirect or routeTo';
const redirects: ReadonlySet<unknown> = new Set([301, 302, 303, 307, 308]);

type Loose = Readonly<Record<string, unknown>>;

const commonKeys = [
  'kind',
  'consumer',
  'attributes',
  'charges',
  'replayFor',
  'staleIfError',
  'tags',
];
const keysOf = {
  allow: new Set([...commonKeys, 'request', 'response']),
  'route-to': new Set([...commonKeys, 'request', 'response', 'upstream']),
  deny: new Set([...commonKeys, 'status', 'reason', 'headers', 'body']),
  respond: new Set([...commonKeys, 'status', 'headers', 'body']),
  redirect: new Set([...commonKeys, 'status', 'location']),
} as const;
const requestKeys = new Set(['set', 'add', 'remove', 'path', 'query']);
const headKeys = new Set(['set', 'add', 'remove']);
const consumerKeys = new Set(['id', 'name', 'groups', 'tags']);
const chargeKeys = new Set(['limit', 'key', 'cost']);

export function normalizeVerdict(value: unknown): Checked<Verdict> {
  if (!isObject(value)) {
    const remedy = value === undefined ? 'each way through decide ends in a return' : undefined;
    return fail('', `a verdict (${kinds})`, value, remedy);
  }
  const kind = value['kind'];
  if (typeof kind !== 'string' || !Object.hasOwn(keysOf, kind)) {
    return fail('kind', `a verdict made by ${kinds}`, kind);
  }
  const known = kind as keyof typeof keysOf;
  const stranger = strangerIn(value, keysOf[known], '');
  if (stranger !== undefined) return stranger;
  const common = commonOf(value);
  if (!common.ok) return common;
  switch (known) {
    case 'allow':
      return onwardOf(value, common.value, { kind: 'allow' });
    case 'route-to': {
      const upstream = nameOf(value['upstream'], 'upstream', 'the name of an upstream');
      if (!upstream.ok) return upstream;
      return onwardOf(value, common.value, { kind: 'route-to', upstream: upstream.value });
    }
    case 'deny':
      return denyOf(value, common.value);
    case 'respond':
      return respondOf(value, common.value);
    case 'redirect':
      return redirectOf(value, common.value);
  }
}

function onwardOf(
  value: Loose,
  common: Common,
  head: { kind: 'allow' } | { kind: 'route-to'; upstream: string },
): Checked<Verdict> {
  const request = value['request'];
  const edits = editsOf(request, 'request', requestKeys, headerItem);
  if (!edits.ok) return edits;
  const response = editsOf(value['response'], 'response', headKeys, headerItem);
  if (!response.ok) return response;
  const { path, query } = isObject(request) ? request : {};
  const queryEdits = editsOf(query, 'request.query', headKeys, queryItem);
  if (!queryEdits.ok) return queryEdits;
  if (path !== undefined && !isPath(path)) {
    return fail('request.path', 'a percent-encoded path that begins with / and has no query', path);
  }
  return found({
    ...head,
    ...common,
    request: edits.value,
    response: response.value,
    query: queryEdits.value,
    ...(path === undefined ? {} : { path }),
  });
}

function denyOf(value: Loose, common: Common): Checked<Verdict> {
  const { status = 403, reason, body, headers } = value;
  if (!isStatus(status, 400)) return fail('status', 'a status from 400 to 599', status);
  if (reason !== undefined && !isLine(reason, verdictLimits.reason)) {
    return fail('reason', `one line of at most ${verdictLimits.reason} characters`, reason);
  }
  if (body !== undefined && !isBody(body)) return fail('body', 'a string or a Uint8Array', body);
  const fields = fieldsOf(headers);
  if (!fields.ok) return fields;
  return found({
    kind: 'deny',
    ...common,
    status,
    fields: fields.value,
    ...(reason === undefined ? {} : { reason }),
    ...(body === undefined ? {} : { body }),
  });
}

function respondOf(value: Loose, common: Common): Checked<Verdict> {
  const { status = 200, body = '', headers } = value;
  if (!isStatus(status, 200)) return fail('status', 'a status from 200 to 599', status);
  if (!isBody(body))
    return fail('body', 'a string or a Uint8Array', body, 'JSON.stringify it first');
  if ((status === 204 || status === 304) && body.length > 0) {
    return fail('body', `no body, because a response with status ${status} has none,`, body);
  }
  const fields = fieldsOf(headers);
  if (!fields.ok) return fields;
  return found({ kind: 'respond', ...common, status, fields: fields.value, body });
}

function redirectOf(value: Loose, common: Common): Checked<Verdict> {
  const { status = 302, location } = value;
  if (typeof status !== 'number' || !redirects.has(status)) {
    return fail('status', '301, 302, 303, 307 or 308', status);
  }
  if (typeof location !== 'string' || !/^[!-~]+$/.test(location)) {
    const remedy = 'encodeURI makes one of a text with spaces or other letters';
    return fail('location', 'a URI without spaces, controls and line breaks', location, remedy);
  }
  return found({ kind: 'respond', ...common, status, fields: [['location', location]], body: '' });
}

function commonOf(value: Loose): Checked<Common> {
  const { consumer, attributes, charges } = value;
  const replayFor = checkDuration(value['replayFor'] ?? 0, 'replayFor');
  if (!replayFor.ok) return replayFor;
  const staleIfError = checkDuration(value['staleIfError'] ?? 0, 'staleIfError');
  if (!staleIfError.ok) return staleIfError;
  const tags = namesOf(value['tags'], 'tags');
  if (!tags.ok) return tags;
  const charged = chargesOf(charges);
  if (!charged.ok) return charged;
  const who = consumer === undefined ? undefined : consumerOf(consumer);
  if (who?.ok === false) return who;
  const said = attributes === undefined ? undefined : attributesOf(attributes);
  if (said?.ok === false) return said;
  return found({
    charges: charged.value,
    replayFor: replayFor.value,
    staleIfError: staleIfError.value,
    tags: tags.value,
    ...(who === undefined ? {} : { consumer: who.value }),
    ...(said === undefined ? {} : { attributes: said.value }),
  });
}

function consumerOf(value: unknown): Checked<Consumer> {
  if (!isObject(value)) return fail('consumer', 'an object with an id', value);
  const stranger = strangerIn(value, consumerKeys, 'consumer');
  if (stranger !== undefined) return stranger;
  const id = nameOf(value['id'], 'consumer.id', 'the id of a consumer');
  if (!id.ok) return id;
  const { name } = value;
  if (name !== undefined && !isLine(name, verdictLimits.name)) {
    return fail('consumer.name', `one line of at most ${verdictLimits.name} characters`, name);
  }
  const groups = namesOf(value['groups'], 'consumer.groups');
  if (!groups.ok) return groups;
  const tags = namesOf(value['tags'], 'consumer.tags');
  if (!tags.ok) return tags;
  return found({
    id: id.value,
    ...(name === undefined ? {} : { name }),
    ...(groups.value.length === 0 ? {} : { groups: groups.value }),
    ...(tags.value.length === 0 ? {} : { tags: tags.value }),
  });
}

function attributesOf(value: unknown): Checked<Readonly<Record<string, AttributeValue>>> {
  if (!isObject(value)) return fail('attributes', 'an object', value);
  const attributes: [string, AttributeValue][] = [];
  for (const [name, each] of Object.entries(value)) {
    if (each === undefined) continue;
    if (!isAttribute(each)) {
      return fail(`attributes${step(name)}`, 'a string, a finite number or a boolean', each);
    }
    attributes.push([name, each]);
  }
  // fromEntries defines its keys: a name such as __proto__ stays a name.
  return found(Object.fromEntries(attributes));
}

function chargesOf(value: unknown): Checked<readonly Charge[]> {
  if (value === undefined) return found(none);
  if (!Array.isArray(value)) return fail('charges', 'an array', value);
  if (value.length > verdictLimits.charges) {
    return fail('charges', `at most ${verdictLimits.charges} charges`, value.length);
  }
  const charges: Charge[] = [];
  for (const [index, each] of value.entries()) {
    const at = `charges[${index}]`;
    if (!isObject(each)) return fail(at, 'an object with limit and key', each);
    const stranger = strangerIn(each, chargeKeys, at);
    if (stranger !== undefined) return stranger;
    const { key, cost = 1 } = each;
    if (typeof key !== 'string' || key === '') return fail(`${at}.key`, 'a text', key);
    if (!isWhole(cost, 0, verdictLimits.cost)) {
      return fail(`${at}.cost`, `a whole number from 0 to ${verdictLimits.cost}`, cost);
    }
    const limit = checkLimit(each['limit'], `${at}.limit`);
    if (!limit.ok) return limit;
    charges.push({ limit: limit.value, key, cost });
  }
  return found(charges);
}

type Item = (name: string, value: string, at: string) => Checked<readonly [string, string]>;

function editsOf(
  value: unknown,
  at: string,
  keys: ReadonlySet<string>,
  item: Item,
): Checked<readonly Edit[]> {
  if (value === undefined) return found(none);
  if (!isObject(value)) return fail(at, `an object with ${[...keys].join(', ')}`, value);
  const stranger = strangerIn(value, keys, at);
  if (stranger !== undefined) return stranger;
  const { set, add, remove } = value;
  const edits: Edit[] = [];
  if (remove !== undefined) {
    if (!Array.isArray(remove)) return fail(`${at}.remove`, 'an array of names', remove);
    for (const [index, name] of remove.entries()) {
      if (typeof name !== 'string') return fail(`${at}.remove[${index}]`, 'a name', name);
      const checked = item(name, '', `${at}.remove[${index}]`);
      if (!checked.ok) return checked;
      edits.push({ op: 'remove', name: checked.value[0] });
    }
  }
  const setPairs = pairsOf(set, `${at}.set`, item, false);
  if (!setPairs.ok) return setPairs;
  for (const [name, text] of setPairs.value) edits.push({ op: 'set', name, value: text });
  const addPairs = pairsOf(add, `${at}.add`, item, true);
  if (!addPairs.ok) return addPairs;
  for (const [name, text] of addPairs.value) edits.push({ op: 'add', name, value: text });
  if (edits.length > verdictLimits.fields) {
    return fail(at, `at most ${verdictLimits.fields} edits`, edits.length);
  }
  return tooLong(edits, at) ?? found(edits);
}

function fieldsOf(headers: unknown): Checked<Fields> {
  const pairs = pairsOf(headers, 'headers', headerItem, true);
  if (!pairs.ok) return pairs;
  if (pairs.value.length > verdictLimits.fields) {
    return fail('headers', `at most ${verdictLimits.fields} fields`, pairs.value.length);
  }
  const sized = pairs.value.map(([name, value]) => ({ op: 'set' as const, name, value }));
  return tooLong(sized, 'headers') ?? pairs;
}

function pairsOf(value: unknown, at: string, item: Item, several: boolean): Checked<Fields> {
  if (value === undefined) return found(none);
  if (!isObject(value)) return fail(at, 'an object of names and values', value);
  const pairs: (readonly [string, string])[] = [];
  for (const name of Object.keys(value)) {
    const given = value[name];
    const texts: readonly unknown[] = several && Array.isArray(given) ? given : [given];
    for (const text of texts) {
      const place = at + step(name);
      if (typeof text !== 'string') {
        const remedy = text === undefined ? 'leave the name out' : 'String(…) makes one';
        return fail(place, 'a string', text, remedy);
      }
      const pair = item(name, text, place);
      if (!pair.ok) return pair;
      pairs.push(pair.value);
    }
  }
  return found(pairs);
}

function headerItem(name: string, value: string, at: string): Checked<readonly [string, string]> {
  if (!isToken(name)) return fail(at, 'the name of a header', name);
  const lower = name.toLowerCase();
  const why = whyRefused(lower);
  if (why !== undefined) return fail(at, 'a header that a policy may edit', name, why);
  if (hasControl(value)) {
    const remedy = 'a line break in a value would begin another header';
    return fail(at, 'a value without line breaks and other controls', value, remedy);
  }
  return found([lower, trimField(value)]);
}

function queryItem(name: string, value: string, at: string): Checked<readonly [string, string]> {
  if (isBroken(name) || isBroken(value)) return fail(at, 'text without half surrogates', value);
  return found([name, value]);
}

function tooLong(edits: readonly Edit[], at: string): Unfit | undefined {
  let length = 0;
  for (const edit of edits) {
    length += edit.name.length + (edit.op === 'remove' ? 0 : edit.value.length);
  }
  if (length <= verdictLimits.fieldLength) return undefined;
  return fail(at, `names and values of at most ${verdictLimits.fieldLength} characters`, length);
}

function namesOf(value: unknown, at: string): Checked<readonly string[]> {
  if (value === undefined) return found(none);
  if (!Array.isArray(value)) return fail(at, 'an array of names', value);
  for (const [index, each] of value.entries()) {
    const name = nameOf(each, `${at}[${index}]`, 'a name');
    if (!name.ok) return name;
  }
  return found([...value]);
}

function nameOf(value: unknown, at: string, what: string): Checked<string> {
  const fits =
    typeof value === 'string' &&
    value !== '' &&
    !hasControl(value) &&
    // A UTF-16 unit is at most three bytes, so that most names need no count.
    (value.length * 3 <= verdictLimits.name || Buffer.byteLength(value) <= verdictLimits.name);
  if (fits) return found(value);
  return fail(at, `${what}: 1 to ${verdictLimits.name} bytes without controls`, value);
}

function strangerIn(value: Loose, keys: ReadonlySet<string>, at: string): Unfit | undefined {
  for (const key of Object.keys(value)) {
    if (keys.has(key)) continue;
    const [place, known] = [
      at === '' ? key : at + step(key),
      [...keys].filter((k) => k !== 'kind'),
    ];
    const message = `unknown key "${key}": expected ${known.join(', ')}`;
    return { ok: false, problem: { at: place, message } };
  }
  return undefined;
}

const none: readonly never[] = [];

/** Half a surrogate pair has no UTF-8. */
function isBroken(text: string): boolean {
  return /\p{Surrogate}/u.test(text);
}

function isObject(value: unknown): value is Loose {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isWhole(value: unknown, least: number, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most;
}

function isStatus(value: unknown, least: number): value is number {
  return isWhole(value, least, 599);
}

function isLine(value: unknown, most: number): value is string {
  return typeof value === 'string' && value.length <= most && !hasControl(value);
}

function isBody(value: unknown): value is string | Uint8Array {
  return typeof value === 'string' || value instanceof Uint8Array;
}

function isAttribute(value: unknown): value is AttributeValue {
  if (typeof value === 'number') return Number.isFinite(value);
  return typeof value === 'string' || typeof value === 'boolean';
}

function isPath(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    /^\/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*$/.test(value)
  );
}

function step(key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}
