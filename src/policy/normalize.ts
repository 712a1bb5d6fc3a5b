// The border between a policy's code and the gateway: whatever `decide` returned becomes a Verdict, or a problem.
// Plain checks without a schema library, because it runs on every request that crosses.
import { type Checked, fail, found, type Unfit } from './checked.js';
import type { Consumer } from './consumer.js';
import { hasControl, isToken, trimField, whyRefused } from './fields.js';
import type { AttributeValue } from './inputs.js';
import { checkDuration, checkLimit, type Limit } from './limit.js';
import type { LimitHeaders } from './verdict.js';

/** `name` of a header is lower case. */
export type Edit =
  | { readonly op: 'set' | 'add'; readonly name: string; readonly value: string }
  | { readonly op: 'remove'; readonly name: string };

export interface Charge {
  readonly limit: Limit;
  readonly key: string;
  readonly cost: number;
  readonly name: string | undefined;
  readonly headers: LimitHeaders;
  readonly status: number;
  readonly reason: string | undefined;
}

/** Every key is always there, so that all verdicts of a kind have one hidden class. */
interface Common {
  readonly consumer: Consumer | undefined;
  readonly attributes: Readonly<Record<string, AttributeValue>> | undefined;
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
  readonly path: string | undefined;
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
      readonly reason: string | undefined;
      readonly fields: Fields;
      /** Undefined: the gateway writes its own. */
      readonly body: string | Uint8Array | undefined;
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
  /** Charges and tags of all policies of a route together. */
  charges: 16,
  tags: 32,
  /** In bytes. */
  chargeKey: 1024,
} as const;

const builders = 'allow, deny, respond, redirect or routeTo';
const redirects: ReadonlySet<unknown> = new Set([301, 302, 303, 307, 308]);

type Loose = Readonly<Record<string, unknown>>;

const commonKeys = ['consumer', 'attributes', 'charges', 'replayFor', 'staleIfError', 'tags'];
const keysOf = {
  allow: new Set([...commonKeys, 'request', 'response']),
  'route-to': new Set([...commonKeys, 'request', 'response']),
  deny: new Set([...commonKeys, 'status', 'reason', 'headers', 'body']),
  respond: new Set([...commonKeys, 'status', 'headers', 'body']),
  redirect: new Set([...commonKeys, 'status', 'location']),
} as const;
const requestKeys = new Set(['set', 'add', 'remove', 'path', 'query']);
const headKeys = new Set(['set', 'add', 'remove']);
const consumerKeys = new Set(['id', 'name', 'groups', 'tags']);
const chargeKeys = new Set(['limit', 'key', 'cost', 'name', 'headers', 'status', 'reason']);
const limitHeaders: readonly LimitHeaders[] = ['none', 'ratelimit', 'x-ratelimit', 'both'];
/** A string of structured fields (RFC 9651) that needs no escapes. */
const limitName = /^[!#-[\]-~]{1,256}$/;

/** `draft` is whatever `decide` returned. */
export function normalizeVerdict(draft: unknown): Checked<Verdict> {
  if (!isObject(draft)) {
    const remedy = draft === undefined ? 'each way through decide ends in a return' : undefined;
    return fail('', `a verdict made by ${builders}`, draft, remedy);
  }
  const { kind, fields } = draft;
  if (typeof kind !== 'string' || !Object.hasOwn(keysOf, kind)) {
    return fail('', `a verdict made by ${builders}`, draft);
  }
  const known = kind as keyof typeof keysOf;
  if (!isObject(fields)) return fail('', `an object for the fields of ${kind}`, fields);
  const stranger = strangerIn(fields, keysOf[known], '');
  if (stranger !== undefined) return stranger;
  const common = commonOf(fields);
  if (!common.ok) return common;
  switch (known) {
    case 'allow':
      return onwardOf(fields, common.value, undefined);
    case 'route-to': {
      const upstream = nameOf(draft['upstream'], 'upstream', 'the name of an upstream');
      return upstream.ok ? onwardOf(fields, common.value, upstream.value) : upstream;
    }
    case 'deny':
      return denyOf(fields, common.value);
    case 'respond':
      return respondOf(fields, common.value);
    case 'redirect':
      return redirectOf(fields, common.value);
  }
}

// Verdicts are written out key by key: spreading one object into another costs microseconds.

function onwardOf(value: Loose, common: Common, upstream: string | undefined): Checked<Verdict> {
  const edited = value['request'];
  const edits = editsOf(edited, 'request', requestKeys, headerItem);
  if (!edits.ok) return edits;
  const answer = editsOf(value['response'], 'response', headKeys, headerItem);
  if (!answer.ok) return answer;
  const { path, query: wanted } = isObject(edited) ? edited : nothing;
  const queryEdits = editsOf(wanted, 'request.query', headKeys, queryItem);
  if (!queryEdits.ok) return queryEdits;
  if (path !== undefined && !isPath(path)) {
    return fail('request.path', 'a percent-encoded path that begins with / and has no query', path);
  }
  const request = edits.value;
  const response = answer.value;
  const query = queryEdits.value;
  const { consumer, attributes, charges, replayFor, staleIfError, tags } = common;
  return upstream === undefined
    ? found({
        kind: 'allow',
        consumer,
        attributes,
        charges,
        replayFor,
        staleIfError,
        tags,
        request,
        response,
        path,
        query,
      })
    : found({
        kind: 'route-to',
        upstream,
        consumer,
        attributes,
        charges,
        replayFor,
        staleIfError,
        tags,
        request,
        response,
        path,
        query,
      });
}

function denyOf(value: Loose, common: Common): Checked<Verdict> {
  const { status = 403, reason, body, headers } = value;
  if (!isStatus(status, 400)) return fail('status', 'a status from 400 to 599', status);
  if (reason !== undefined && !isLine(reason, verdictLimits.reason)) {
    return fail('reason', `one line of at most ${verdictLimits.reason} characters`, reason);
  }
  if (body !== undefined && !isBody(body)) return fail('body', 'a string or a Uint8Array', body);
  const checked = fieldsOf(headers);
  if (!checked.ok) return checked;
  const { consumer, attributes, charges, replayFor, staleIfError, tags } = common;
  const fields = checked.value;
  return found({
    kind: 'deny',
    consumer,
    attributes,
    charges,
    replayFor,
    staleIfError,
    tags,
    status,
    reason,
    fields,
    body,
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
  return found(answering(common, status, fields.value, body));
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
  return found(answering(common, status, [['location', location]], ''));
}

function answering(
  { consumer, attributes, charges, replayFor, staleIfError, tags }: Common,
  status: number,
  fields: Fields,
  body: string | Uint8Array,
): Verdict {
  return {
    kind: 'respond',
    consumer,
    attributes,
    charges,
    replayFor,
    staleIfError,
    tags,
    status,
    fields,
    body,
  };
}

function commonOf(value: Loose): Checked<Common> {
  const { consumer, attributes, charges } = value;
  const replayFor = checkDuration(value['replayFor'] ?? 0, 'replayFor');
  if (!replayFor.ok) return replayFor;
  const staleIfError = checkDuration(value['staleIfError'] ?? 0, 'staleIfError');
  if (!staleIfError.ok) return staleIfError;
  const tags = namesOf(value['tags'], 'tags');
  if (!tags.ok) return tags;
  if (tags.value.length > verdictLimits.tags) {
    return fail('tags', `at most ${verdictLimits.tags} tags`, tags.value.length);
  }
  const charged = chargesOf(charges);
  if (!charged.ok) return charged;
  const who = consumer === undefined ? undefined : consumerOf(consumer);
  if (who?.ok === false) return who;
  const said = attributes === undefined ? undefined : attributesOf(attributes);
  if (said?.ok === false) return said;
  return found({
    consumer: who?.value,
    attributes: said?.value,
    charges: charged.value,
    replayFor: replayFor.value,
    staleIfError: staleIfError.value,
    tags: tags.value,
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
    name,
    groups: groups.value.length === 0 ? undefined : groups.value,
    tags: tags.value.length === 0 ? undefined : tags.value,
  });
}

function attributesOf(value: unknown): Checked<Readonly<Record<string, AttributeValue>>> {
  if (!isObject(value)) return fail('attributes', 'an object', value);
  let complete = true;
  for (const name of Object.keys(value)) {
    const each = value[name];
    if (each === undefined) complete = false;
    else if (!isAttribute(each)) {
      return fail(`attributes${step(name)}`, 'a string, a finite number or a boolean', each);
    }
  }
  const attributes = value as Readonly<Record<string, AttributeValue>>;
  return found(complete ? attributes : withoutUndefined(attributes));
}

function withoutUndefined<T>(record: Readonly<Record<string, T>>): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(record).filter(([, each]) => each !== undefined));
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
    const { key, cost = 1, name, headers = 'none', status = 429, reason } = each;
    if (typeof key !== 'string' || key === '' || isTooLong(key, verdictLimits.chargeKey)) {
      return fail(`${at}.key`, `a text of 1 to ${verdictLimits.chargeKey} bytes`, key);
    }
    if (name !== undefined && !(typeof name === 'string' && limitName.test(name))) {
      return fail(`${at}.name`, 'visible ASCII without quotes and backslashes', name);
    }
    if (!isLimitHeaders(headers)) {
      return fail(`${at}.headers`, limitHeaders.join(', '), headers);
    }
    if (!isStatus(status, 400)) return fail(`${at}.status`, 'a status from 400 to 599', status);
    if (reason !== undefined && !isLine(reason, verdictLimits.reason)) {
      const expected = `one line of at most ${verdictLimits.reason} characters`;
      return fail(`${at}.reason`, expected, reason);
    }
    if (!isWhole(cost, 0, verdictLimits.cost)) {
      return fail(`${at}.cost`, `a whole number from 0 to ${verdictLimits.cost}`, cost);
    }
    const limit = checkLimit(each['limit'], `${at}.limit`);
    if (!limit.ok) return limit;
    if (limit.value.kind === 'concurrency' && cost !== 1) {
      return fail(`${at}.cost`, '1, because a concurrency limit counts exchanges,', cost);
    }
    charges.push({ limit: limit.value, key, cost, name, headers, status, reason });
  }
  return found(charges);
}

/** `at` is the place of the whole list: a name is only put to it when it is wrong, since that costs more than the check. */
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
    for (const name of remove) {
      if (typeof name !== 'string') return fail(`${at}.remove`, 'an array of names', name);
      const checked = item(name, '', `${at}.remove`);
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
      if (typeof text !== 'string') {
        const remedy = text === undefined ? 'leave the name out' : 'String(…) makes one';
        return fail(at + step(name), 'a string', text, remedy);
      }
      const pair = item(name, text, at);
      if (!pair.ok) return pair;
      pairs.push(pair.value);
    }
  }
  return found(pairs);
}

function headerItem(name: string, value: string, at: string): Checked<readonly [string, string]> {
  if (!isToken(name)) return fail(at + step(name), 'the name of a header', name);
  const lower = name.toLowerCase();
  const why = whyRefused(lower);
  if (why !== undefined) return fail(at + step(name), 'a header that a policy may edit', name, why);
  if (hasControl(value)) {
    const remedy = 'a line break in a value would begin another header';
    const expected = 'a value without line breaks and other controls';
    return fail(at + step(name), expected, value, remedy);
  }
  return found([lower, trimField(value)]);
}

function queryItem(name: string, value: string, at: string): Checked<readonly [string, string]> {
  if (!isBroken(name) && !isBroken(value)) return found([name, value]);
  return fail(at + step(name), 'text without half surrogates', value);
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
    if (!isName(each)) return fail(`${at}[${index}]`, nameText('a name'), each);
  }
  return found(value.slice());
}

function nameOf(value: unknown, at: string, what: string): Checked<string> {
  return isName(value) ? found(value) : fail(at, nameText(what), value);
}

function nameText(what: string): string {
  return `${what}: 1 to ${verdictLimits.name} bytes without controls`;
}

function isName(value: unknown): value is string {
  if (typeof value !== 'string' || value === '' || hasControl(value)) return false;
  return !isTooLong(value, verdictLimits.name);
}

function isLimitHeaders(value: unknown): value is LimitHeaders {
  return limitHeaders.includes(value as LimitHeaders);
}

/** In UTF-8. A UTF-16 unit is at most three bytes, so that most texts need no count. */
function isTooLong(text: string, bytes: number): boolean {
  return text.length * 3 > bytes && Buffer.byteLength(text) > bytes;
}

function strangerIn(value: Loose, keys: ReadonlySet<string>, at: string): Unfit | undefined {
  for (const key of Object.keys(value)) {
    if (keys.has(key)) continue;
    const place = at === '' ? key : at + step(key);
    const message = `unknown key "${key}": expected ${[...keys].join(', ')}`;
    return { ok: false, problem: { at: place, message } };
  }
  return undefined;
}

const none: readonly never[] = [];
const nothing: Loose = {};

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
