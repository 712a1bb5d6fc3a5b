// The border between a policy's code and the gateway: whatever `decide` returned becomes a Verdict, or a problem.
// Plain checks without a schema library, because it runs on every request that crosses.
import { type Checked, fail, found, type Unfit } from './checked.js';
import type { Consumer } from './consumer.js';
import { counterKey } from './counterKey.js';
import { hasControl, isToken, trimField, whyRefused } from './fields.js';
import type { AttributeValue } from './inputs.js';
import { checkDuration, checkLimit, type Limit } from './limit.js';
import { methodMisfit } from './method.js';
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
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly query: readonly Edit[];
  /** In place of the request's. */
  readonly body: string | Uint8Array | undefined;
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
  /** Of an answer or a request, in bytes. */
  body: 128 * 1024,
  cost: 2 ** 20,
  /** Charges and tags of all policies of a route together. */
  charges: 16,
  tags: 32,
} as const;

const builders = 'allow, deny, respond, redirect or routeTo';
const redirects: ReadonlySet<unknown> = new Set([301, 302, 303, 307, 308]);

export type Loose = Readonly<Record<string, unknown>>;

const commonKeys = ['consumer', 'attributes', 'charges', 'replayFor', 'staleIfError', 'tags'];
const keysOf = {
  allow: new Set([...commonKeys, 'request', 'response']),
  'route-to': new Set([...commonKeys, 'request', 'response']),
  deny: new Set([...commonKeys, 'status', 'reason', 'headers', 'body']),
  respond: new Set([...commonKeys, 'status', 'headers', 'body']),
  redirect: new Set([...commonKeys, 'status', 'location']),
} as const;
const requestKeys = new Set(['set', 'add', 'remove', 'method', 'path', 'query', 'body']);
const headKeys = new Set(['set', 'add', 'remove']);
const consumerKeys = new Set(['id', 'name', 'groups', 'tags', 'credential']);
const chargeKeys = new Set(['limit', 'key', 'cost', 'name', 'headers', 'status', 'reason']);
const limitHeaders: readonly LimitHeaders[] = ['none', 'ratelimit', 'x-ratelimit', 'both'];
/** A string of structured fields (RFC 9651) that needs no escapes. */
const limitName = /^[!#-[\]-~]{1,256}$/;

/**
 * `draft` is whatever `decide` returned. A draft that is frozen says that it stays as it is: it is checked once, however often it
 * is returned.
 */
export function normalizeVerdict(draft: unknown): Checked<Verdict> {
  if (!isObject(draft) || !Object.isFrozen(draft)) return check(draft);
  const before = checkedBefore.get(draft);
  if (before !== undefined) return before;
  const checked = check(draft);
  checkedBefore.set(draft, checked);
  return checked;
}

const checkedBefore = new WeakMap<object, Checked<Verdict>>();

function check(draft: unknown): Checked<Verdict> {
  return unlessMisfit(() => verdictOf(draft));
}

/** What `read` returns, or what it refused. */
export function unlessMisfit<T>(read: () => T): Checked<T> {
  try {
    return found(read());
  } catch (error) {
    if (error instanceof Misfit) return error.unfit;
    throw error;
  }
}

/** What is wrong, on its way out: good verdicts, which are nearly all, carry no results through every function. */
class Misfit extends Error {
  readonly unfit: Unfit;

  constructor(unfit: Unfit) {
    super(unfit.problem.message);
    this.unfit = unfit;
  }
}

export function refuse(at: string, expected: string, received: unknown, remedy?: string): never {
  throw new Misfit(fail(at, expected, received, remedy));
}

function orRefuse<T>(checked: Checked<T>): T {
  if (!checked.ok) throw new Misfit(checked);
  return checked.value;
}

export function verdictOf(draft: unknown): Verdict {
  if (!isObject(draft)) {
    const remedy = draft === undefined ? 'each way through decide ends in a return' : undefined;
    refuse('', `a verdict made by ${builders}`, draft, remedy);
  }
  const { kind, fields } = draft;
  if (typeof kind !== 'string' || !Object.hasOwn(keysOf, kind)) {
    refuse('', `a verdict made by ${builders}`, draft);
  }
  const known = kind as keyof typeof keysOf;
  if (!isObject(fields)) refuse('', `an object for the fields of ${kind}`, fields);
  refuseStrangers(fields, keysOf[known], '');
  const common = commonOf(fields);
  switch (known) {
    case 'allow':
      return onwardOf(fields, common, undefined);
    case 'route-to':
      return onwardOf(
        fields,
        common,
        nameOf(draft['upstream'], 'upstream', 'the name of an upstream'),
      );
    case 'deny':
      return denyOf(fields, common);
    case 'respond':
      return respondOf(fields, common);
    case 'redirect':
      return redirectOf(fields, common);
  }
}

// Verdicts are written out key by key: spreading one object into another costs microseconds.

function onwardOf(value: Loose, common: Common, upstream: string | undefined): Verdict {
  const edited = value['request'];
  const request = editsOf(edited, 'request', requestKeys, headRules);
  const response = editsOf(value['response'], 'response', headKeys, headRules);
  const { method, path, query: wanted, body } = isObject(edited) ? edited : nothing;
  const query = editsOf(wanted, 'request.query', headKeys, queryRules);
  if (method !== undefined) refuseMethod(method);
  if (path !== undefined && !isPath(path)) {
    refuse('request.path', 'a percent-encoded path that begins with / and has no query', path);
  }
  if (body !== undefined) refuseBody(body, 'request.body', 'JSON.stringify it first');
  const { consumer, attributes, charges, replayFor, staleIfError, tags } = common;
  return upstream === undefined
    ? {
        kind: 'allow',
        consumer,
        attributes,
        charges,
        replayFor,
        staleIfError,
        tags,
        request,
        response,
        method,
        path,
        query,
        body,
      }
    : {
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
        method,
        path,
        query,
        body,
      };
}

function denyOf(value: Loose, common: Common): Verdict {
  const { status = 403, reason, body, headers } = value;
  if (!isStatus(status, 400)) refuse('status', 'a status from 400 to 599', status);
  if (reason !== undefined && !isLine(reason, verdictLimits.reason)) {
    refuse('reason', `one line of at most ${verdictLimits.reason} characters`, reason);
  }
  if (body !== undefined) refuseBody(body, 'body', undefined);
  const fields = fieldsOf(headers);
  const { consumer, attributes, charges, replayFor, staleIfError, tags } = common;
  return {
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
  };
}

function respondOf(value: Loose, common: Common): Verdict {
  const { status = 200, body = '', headers } = value;
  if (!isStatus(status, 200)) refuse('status', 'a status from 200 to 599', status);
  refuseBody(body, 'body', 'JSON.stringify it first');
  if ((status === 204 || status === 304) && body.length > 0) {
    refuse('body', `no body, because a response with status ${status} has none,`, body);
  }
  return answering(common, status, fieldsOf(headers), body);
}

function refuseMethod(method: unknown): asserts method is string {
  const expected = methodMisfit(method);
  if (expected !== undefined) refuse('request.method', expected, method);
}

export function refuseBody(
  body: unknown,
  at: string,
  remedy: string | undefined,
): asserts body is string | Uint8Array {
  if (!isBody(body)) refuse(at, 'a string or a Uint8Array', body, remedy);
  const size = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
  if (size > verdictLimits.body) {
    refuse(at, `a body of at most ${verdictLimits.body} bytes`, size);
  }
}

function redirectOf(value: Loose, common: Common): Verdict {
  const { status = 302, location } = value;
  if (typeof status !== 'number' || !redirects.has(status)) {
    refuse('status', '301, 302, 303, 307 or 308', status);
  }
  if (typeof location !== 'string' || !/^[!-~]+$/.test(location)) {
    const remedy = 'encodeURI makes one of a text with spaces or other letters';
    refuse('location', 'a URI without spaces, controls and line breaks', location, remedy);
  }
  return answering(common, status, [['location', location]], '');
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

function commonOf(value: Loose): Common {
  const { consumer, attributes, charges, replayFor, staleIfError } = value;
  const tags = namesOf(value['tags'], 'tags');
  if (tags.length > verdictLimits.tags) {
    refuse('tags', `at most ${verdictLimits.tags} tags`, tags.length);
  }
  return {
    consumer: consumer === undefined ? undefined : consumerOf(consumer),
    attributes: attributes === undefined ? undefined : attributesOf(attributes),
    charges: chargesOf(charges),
    replayFor: replayFor === undefined ? 0 : orRefuse(checkDuration(replayFor, 'replayFor')),
    staleIfError:
      staleIfError === undefined ? 0 : orRefuse(checkDuration(staleIfError, 'staleIfError')),
    tags,
  };
}

function consumerOf(value: unknown): Consumer {
  if (!isObject(value)) refuse('consumer', 'an object with an id', value);
  refuseStrangers(value, consumerKeys, 'consumer');
  const id = nameOf(value['id'], 'consumer.id', 'the id of a consumer');
  const { name, credential } = value;
  if (name !== undefined && !isLine(name, verdictLimits.name)) {
    refuse('consumer.name', `one line of at most ${verdictLimits.name} characters`, name);
  }
  const groups = namesOf(value['groups'], 'consumer.groups');
  const tags = namesOf(value['tags'], 'consumer.tags');
  return {
    id,
    name,
    groups: groups.length === 0 ? undefined : groups,
    tags: tags.length === 0 ? undefined : tags,
    credential:
      credential === undefined
        ? undefined
        : nameOf(credential, 'consumer.credential', 'the name of a credential'),
  };
}

function attributesOf(value: unknown): Readonly<Record<string, AttributeValue>> {
  if (!isObject(value)) refuse('attributes', 'an object', value);
  let complete = true;
  for (const name of Object.keys(value)) {
    const each = value[name];
    if (each === undefined) complete = false;
    else if (!isAttribute(each)) {
      refuse(`attributes${step(name)}`, 'a string, a finite number or a boolean', each);
    }
  }
  const attributes = value as Readonly<Record<string, AttributeValue>>;
  return complete ? attributes : withoutUndefined(attributes);
}

function withoutUndefined<T>(record: Readonly<Record<string, T>>): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(record).filter(([, each]) => each !== undefined));
}

function chargesOf(value: unknown): readonly Charge[] {
  if (value === undefined) return none;
  if (!Array.isArray(value)) refuse('charges', 'an array', value);
  if (value.length > verdictLimits.charges) {
    refuse('charges', `at most ${verdictLimits.charges} charges`, value.length);
  }
  return value.map(chargeOf);
}

function chargeOf(each: unknown, index: number): Charge {
  const at = `charges[${index}]`;
  if (!isObject(each)) refuse(at, 'an object with limit and key', each);
  refuseStrangers(each, chargeKeys, at);
  const { key, cost = 1, name, headers = 'none', status = 429, reason } = each;
  if (typeof key !== 'string' || key === '') refuse(`${at}.key`, 'a text that is not empty', key);
  if (name !== undefined && !(typeof name === 'string' && limitName.test(name))) {
    refuse(`${at}.name`, 'visible ASCII without quotes and backslashes', name);
  }
  if (!isLimitHeaders(headers)) refuse(`${at}.headers`, limitHeaders.join(', '), headers);
  if (!isStatus(status, 400)) refuse(`${at}.status`, 'a status from 400 to 599', status);
  if (reason !== undefined && !isLine(reason, verdictLimits.reason)) {
    refuse(`${at}.reason`, `one line of at most ${verdictLimits.reason} characters`, reason);
  }
  if (!isWhole(cost, 0, verdictLimits.cost)) {
    refuse(`${at}.cost`, `a whole number from 0 to ${verdictLimits.cost}`, cost);
  }
  const limit = orRefuse(checkLimit(each['limit'], `${at}.limit`));
  if (limit.kind === 'concurrency' && cost !== 1) {
    refuse(`${at}.cost`, '1, because a concurrency limit counts exchanges,', cost);
  }
  return { limit, key: counterKey(key), cost, name, headers, status, reason };
}

/** What names and values may be. `at` is the place of the whole list: only what is wrong needs its own. */
interface Rules {
  name(name: string, at: string): string;
  value(name: string, value: string, at: string): string;
}

export function editsOf(
  value: unknown,
  at: string,
  keys: ReadonlySet<string>,
  rules: Rules,
): readonly Edit[] {
  if (value === undefined) return none;
  if (!isObject(value)) refuse(at, `an object with ${[...keys].join(', ')}`, value);
  refuseStrangers(value, keys, at);
  const { set, add, remove } = value;
  const edits: Edit[] = [];
  if (remove !== undefined) {
    if (!Array.isArray(remove)) refuse(`${at}.remove`, 'an array of names', remove);
    for (const name of remove) {
      if (typeof name !== 'string') refuse(`${at}.remove`, 'an array of names', name);
      edits.push({ op: 'remove', name: rules.name(name, `${at}.remove`) });
    }
  }
  if (set !== undefined) {
    eachPair(set, `${at}.set`, rules, false, (name, text) => {
      edits.push({ op: 'set', name, value: text });
    });
  }
  if (add !== undefined) {
    eachPair(add, `${at}.add`, rules, true, (name, text) => {
      edits.push({ op: 'add', name, value: text });
    });
  }
  if (edits.length > verdictLimits.fields) {
    refuse(at, `at most ${verdictLimits.fields} edits`, edits.length);
  }
  let length = 0;
  for (const edit of edits)
    length += edit.name.length + (edit.op === 'remove' ? 0 : edit.value.length);
  refuseTooLong(length, at);
  return edits;
}

function fieldsOf(headers: unknown): Fields {
  if (headers === undefined) return none;
  const fields: (readonly [string, string])[] = [];
  let length = 0;
  eachPair(headers, 'headers', headRules, true, (name, text) => {
    fields.push([name, text]);
    length += name.length + text.length;
  });
  if (fields.length > verdictLimits.fields) {
    refuse('headers', `at most ${verdictLimits.fields} fields`, fields.length);
  }
  refuseTooLong(length, 'headers');
  return fields;
}

function eachPair(
  value: unknown,
  at: string,
  rules: Rules,
  several: boolean,
  visit: (name: string, text: string) => void,
): void {
  if (!isObject(value)) refuse(at, 'an object of names and values', value);
  for (const name of Object.keys(value)) {
    const given = value[name];
    const known = rules.name(name, at);
    if (typeof given === 'string') {
      visit(known, rules.value(name, given, at));
    } else if (several && Array.isArray(given)) {
      for (const text of given) visit(known, rules.value(name, textOf(name, text, at), at));
    } else {
      textOf(name, given, at);
    }
  }
}

function textOf(name: string, text: unknown, at: string): string {
  if (typeof text === 'string') return text;
  const remedy = text === undefined ? 'leave the name out' : 'String(…) makes one';
  return refuse(at + step(name), 'a string', text, remedy);
}

/** Names that have passed, with their lower case: policies use few of them, over and over. */
const passedNames = new Map<string, string>();
const mostPassedNames = 1024;

export const headRules: Rules = {
  name(name, at) {
    const passed = passedNames.get(name);
    if (passed !== undefined) return passed;
    if (!isToken(name)) refuse(at + step(name), 'the name of a header', name);
    const lower = name.toLowerCase();
    const why = whyRefused(lower);
    if (why !== undefined) refuse(at + step(name), 'a header that a policy may edit', name, why);
    if (passedNames.size >= mostPassedNames) passedNames.clear();
    passedNames.set(name, lower);
    return lower;
  },
  value(name, value, at) {
    if (hasControl(value)) {
      const remedy = 'a line break in a value would begin another header';
      const expected = 'a value without line breaks and other controls';
      refuse(at + step(name), expected, value, remedy);
    }
    return trimField(value);
  },
};

const queryRules: Rules = {
  name(name, at) {
    if (isBroken(name)) refuse(at + step(name), 'text without half surrogates', name);
    return name;
  },
  value(name, value, at) {
    if (isBroken(value)) refuse(at + step(name), 'text without half surrogates', value);
    return value;
  },
};

function refuseTooLong(length: number, at: string): void {
  if (length <= verdictLimits.fieldLength) return;
  refuse(at, `names and values of at most ${verdictLimits.fieldLength} characters`, length);
}

function namesOf(value: unknown, at: string): readonly string[] {
  if (value === undefined) return none;
  if (!Array.isArray(value)) refuse(at, 'an array of names', value);
  for (const [index, each] of value.entries()) {
    if (!isName(each)) refuse(`${at}[${index}]`, nameText('a name'), each);
  }
  return value.slice();
}

function nameOf(value: unknown, at: string, what: string): string {
  return isName(value) ? value : refuse(at, nameText(what), value);
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
export function isTooLong(text: string, bytes: number): boolean {
  return text.length * 3 > bytes && Buffer.byteLength(text) > bytes;
}

export function refuseStrangers(value: Loose, keys: ReadonlySet<string>, at: string): void {
  for (const key of Object.keys(value)) {
    if (keys.has(key)) continue;
    const place = at === '' ? key : at + step(key);
    const message = `unknown key "${key}": expected ${[...keys].join(', ')}`;
    throw new Misfit({ ok: false, problem: { at: place, message } });
  }
}

const none: readonly never[] = [];
const nothing: Loose = {};

/** Half a surrogate pair has no UTF-8. */
function isBroken(text: string): boolean {
  return /\p{Surrogate}/u.test(text);
}

export function isObject(value: unknown): value is Loose {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isWhole(value: unknown, least: number, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most;
}

export function isStatus(value: unknown, least: number): value is number {
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
