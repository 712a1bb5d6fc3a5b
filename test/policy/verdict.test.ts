// The border between decide and the gateway: what becomes a verdict, and what is refused with a reason.
import { describe, expect, test } from 'vitest';
import { allow, deny, type Limit, redirect, respond, routeTo } from '../../src/policy/index.js';
import { normalizeVerdict } from '../../src/policy/normalize.js';

const bare = { charges: [], replayFor: 0, staleIfError: 0, tags: [] };
const onward = { ...bare, request: [], response: [], query: [] };

function problemOf(value: unknown) {
  const result = normalizeVerdict(value);
  return result.ok ? 'no problem' : result.problem;
}

describe('verdicts', () => {
  test.each([
    ['allow', allow(), { kind: 'allow', ...onward }],
    ['routeTo', routeTo('blue'), { kind: 'route-to', upstream: 'blue', ...onward }],
    ['deny', deny(), { kind: 'deny', ...bare, status: 403, fields: [] }],
    [
      'deny with all of its own',
      deny({ status: 401, reason: 'no key', headers: { 'WWW-Authenticate': 'Key' }, body: 'no' }),
      {
        kind: 'deny',
        ...bare,
        status: 401,
        reason: 'no key',
        fields: [['www-authenticate', 'Key']],
        body: 'no',
      },
    ],
    ['respond', respond(), { kind: 'respond', ...bare, status: 200, fields: [], body: '' }],
    [
      'redirect',
      redirect({ location: 'https://a.example/b?c=d', status: 308 }),
      {
        kind: 'respond',
        ...bare,
        status: 308,
        fields: [['location', 'https://a.example/b?c=d']],
        body: '',
      },
    ],
  ])('%s', (_, draft, verdict) => {
    expect(normalizeVerdict(draft)).toEqual({ ok: true, value: verdict });
  });

  test('edits are in the order in which they apply: remove, set, add', () => {
    const draft = allow({
      request: {
        add: { 'X-B': ['1', ' 2 '] },
        set: { 'X-A': 'a' },
        remove: ['Authorization'],
        method: 'PURGE',
        path: '/v2/%C3%A9',
        query: { set: { 'a b': 'ü' }, remove: ['token'] },
      },
      response: { set: { Server: 'none' } },
    });
    expect(normalizeVerdict(draft)).toMatchObject({
      value: {
        request: [
          { op: 'remove', name: 'authorization' },
          { op: 'set', name: 'x-a', value: 'a' },
          { op: 'add', name: 'x-b', value: '1' },
          { op: 'add', name: 'x-b', value: '2' },
        ],
        method: 'PURGE',
        path: '/v2/%C3%A9',
        query: [
          { op: 'remove', name: 'token' },
          { op: 'set', name: 'a b', value: 'ü' },
        ],
        response: [{ op: 'set', name: 'server', value: 'none' }],
      },
    });
  });

  /** Of a charge that says nothing about its answer. */
  const silent = { name: undefined, headers: 'none', status: 429, reason: undefined };

  test('what all of them may say', () => {
    const draft = allow({
      consumer: { id: 'c1', name: 'Ada', groups: ['admin'], tags: [], credential: 'k' },
      attributes: { plan: 'gold', seats: 5, trial: false },
      charges: [
        { limit: { kind: 'gcra', count: 100, per: '1s' }, key: 'c1' },
        {
          limit: { kind: 'fixed-window', count: 10, window: '1m' },
          key: 'c1',
          cost: 2,
          name: 'minute',
          headers: 'both',
          status: 503,
          reason: 'too many',
        },
        { limit: { kind: 'concurrency', count: 3 }, key: 'c1' },
        { limit: { kind: 'quota', count: 1000, period: 'month' }, key: 'c1' },
      ],
      replayFor: '1m',
      staleIfError: 500,
      tags: ['keys'],
    });
    expect(normalizeVerdict(draft)).toEqual({
      ok: true,
      value: {
        kind: 'allow',
        ...onward,
        consumer: { id: 'c1', name: 'Ada', groups: ['admin'], credential: 'k' },
        attributes: { plan: 'gold', seats: 5, trial: false },
        charges: [
          {
            ...silent,
            limit: { kind: 'gcra', count: 100, per: 1000, burst: 100 },
            key: 'c1',
            cost: 1,
          },
          {
            limit: { kind: 'fixed-window', count: 10, window: 60_000 },
            key: 'c1',
            cost: 2,
            name: 'minute',
            headers: 'both',
            status: 503,
            reason: 'too many',
          },
          { ...silent, limit: { kind: 'concurrency', count: 3 }, key: 'c1', cost: 1 },
          { ...silent, limit: { kind: 'quota', count: 1000, period: 'month' }, key: 'c1', cost: 1 },
        ],
        replayFor: 60_000,
        staleIfError: 500,
        tags: ['keys'],
      },
    });
  });

  test('one that is frozen is checked once, and others each time', () => {
    const frozen = Object.freeze(allow({ request: { set: { a: '1' } } }));
    expect(normalizeVerdict(frozen)).toBe(normalizeVerdict(frozen));
    const bad = Object.freeze(deny({ status: 200 }));
    expect(normalizeVerdict(bad)).toBe(normalizeVerdict(bad));
    expect(normalizeVerdict(bad)).toMatchObject({ ok: false, problem: { at: 'status' } });
    const loose = allow({ replayFor: 1 });
    expect(normalizeVerdict(loose)).toMatchObject({ value: { replayFor: 1 } });
    Object.assign(loose.fields, { replayFor: 2 });
    expect(normalizeVerdict(loose)).toMatchObject({ value: { replayFor: 2 } });
  });

  test('an attribute named __proto__ is an attribute', () => {
    const attributes = JSON.parse('{ "__proto__": "x" }');
    const result = normalizeVerdict(allow({ attributes }));
    expect(result.ok && Object.entries(result.value.attributes ?? {})).toEqual([
      ['__proto__', 'x'],
    ]);
  });
});

describe('refused', () => {
  const builders = 'allow, deny, respond, redirect or routeTo';
  test.each([
    ['nothing', undefined, '', `expected a verdict made by ${builders} but received nothing`],
    [
      'a promise',
      Promise.resolve(),
      '',
      `expected a verdict made by ${builders} but received a promise`,
    ],
    [
      'another kind',
      { kind: 'toString', fields: {} },
      '',
      `expected a verdict made by ${builders} but received an object`,
    ],
    ['a text', 'allow', '', `expected a verdict made by ${builders} but received "allow"`],
    [
      'fields that are none',
      deny('no' as never),
      '',
      'expected an object for the fields of deny but received "no"',
    ],
    [
      'a key that the kind has not',
      deny({ request: {} } as never),
      'request',
      'unknown key "request": expected consumer, attributes, charges, replayFor, staleIfError, tags, status, reason, headers, body',
    ],
    [
      'a status of success',
      deny({ status: 200 }),
      'status',
      'expected a status from 400 to 599 but received 200',
    ],
    [
      'a status as text',
      respond({ status: '200' } as never),
      'status',
      'expected a status from 200 to 599 but received "200"',
    ],
    [
      '1xx',
      respond({ status: 101 }),
      'status',
      'expected a status from 200 to 599 but received 101',
    ],
    [
      'a body where none can be',
      respond({ status: 204, body: 'x' }),
      'body',
      'expected no body, because a response with status 204 has none, but received "x"',
    ],
    [
      'a redirect status that is none',
      redirect({ location: '/', status: 304 }),
      'status',
      'expected 301, 302, 303, 307 or 308 but received 304',
    ],
    [
      'a location with a line break',
      redirect({ location: '/a\r\nset-cookie: b=c' }),
      'location',
      String.raw`expected a URI without spaces, controls and line breaks but received "/a\r\nset-cookie: b=c"`,
    ],
    [
      'an upstream without name',
      routeTo(''),
      'upstream',
      'expected the name of an upstream: 1 to 256 bytes without controls but received ""',
    ],
    [
      'a method that is none',
      allow({ request: { method: 'GET /' } }),
      'request.method',
      'expected a method such as POST but received "GET /"',
    ],
    [
      'no method at all',
      allow({ request: { method: '' } }),
      'request.method',
      'expected a method such as POST but received ""',
    ],
    [
      'a method that is no text',
      allow({ request: { method: 7 as never } }),
      'request.method',
      'expected a method such as POST but received 7',
    ],
    [
      'a method that is too long',
      allow({ request: { method: 'M'.repeat(33) } }),
      'request.method',
      `expected a method of at most 32 characters but received "${'M'.repeat(33)}"`,
    ],
    [
      'a path with a query',
      allow({ request: { path: '/a?b' } }),
      'request.path',
      'expected a percent-encoded path that begins with / and has no query but received "/a?b"',
    ],
    [
      'a header name that is none',
      allow({ request: { set: { 'a b': '' } } }),
      'request.set["a b"]',
      'expected the name of a header but received "a b"',
    ],
    [
      'a value with a line break',
      allow({ response: { add: { 'x-a': 'b\nc: d' } } }),
      'response.add["x-a"]',
      String.raw`expected a value without line breaks and other controls but received "b\nc: d"`,
    ],
    [
      'a value with NUL',
      deny({ headers: { a: '\0' } }),
      'headers.a',
      String.raw`expected a value without line breaks and other controls but received "\u0000"`,
    ],
    [
      'half a surrogate pair',
      deny({ headers: { a: '\ud800' } }),
      'headers.a',
      String.raw`expected a value without line breaks and other controls but received "\ud800"`,
    ],
    [
      'a value that is a number',
      allow({ request: { set: { a: 5 } } } as never),
      'request.set.a',
      'expected a string but received 5',
    ],
    [
      'a reason of two lines',
      deny({ reason: 'a\nb' }),
      'reason',
      String.raw`expected one line of at most 1024 characters but received "a\nb"`,
    ],
    [
      'a consumer without id',
      allow({ consumer: {} } as never),
      'consumer.id',
      'expected the id of a consumer: 1 to 256 bytes without controls but received nothing',
    ],
    [
      'a credential without a name',
      allow({ consumer: { id: 'a', credential: '' } }),
      'consumer.credential',
      'expected the name of a credential: 1 to 256 bytes without controls but received ""',
    ],
    [
      'an attribute that is an object',
      allow({ attributes: { a: {} } } as never),
      'attributes.a',
      'expected a string, a finite number or a boolean but received an object',
    ],
    [
      'an attribute that is no number',
      allow({ attributes: { a: Number.NaN } }),
      'attributes.a',
      'expected a string, a finite number or a boolean but received NaN',
    ],
    [
      'a duration that is none',
      allow({ replayFor: '1 minute' }),
      'replayFor',
      'expected a duration such as 500ms, 2s, 1m or 1h, or whole milliseconds but received "1 minute"',
    ],
    [
      'a negative duration',
      allow({ staleIfError: -1 }),
      'staleIfError',
      'expected a duration such as 500ms, 2s, 1m or 1h, or whole milliseconds but received -1',
    ],
    [
      'a charge without key',
      allow({ charges: [{ limit: { kind: 'concurrency', count: 1 }, key: '' }] }),
      'charges[0].key',
      'expected a text that is not empty but received ""',
    ],
    [
      'a charge whose limit has no name',
      allow({ charges: [{ limit: { kind: 'concurrency', count: 1 }, key: 'a', name: 'a b' }] }),
      'charges[0].name',
      'expected visible ASCII without quotes and backslashes but received "a b"',
    ],
    [
      'a charge that is shown in no known way',
      allow({
        charges: [{ limit: { kind: 'concurrency', count: 1 }, key: 'a', headers: 'x' as never }],
      }),
      'charges[0].headers',
      'expected none, ratelimit, x-ratelimit, both but received "x"',
    ],
    [
      'a charge that is refused with a success',
      allow({ charges: [{ limit: { kind: 'concurrency', count: 1 }, key: 'a', status: 200 }] }),
      'charges[0].status',
      'expected a status from 400 to 599 but received 200',
    ],
    [
      'a charge with a reason of two lines',
      allow({ charges: [{ limit: { kind: 'concurrency', count: 1 }, key: 'a', reason: 'a\nb' }] }),
      'charges[0].reason',
      'expected one line of at most 1024 characters but received "a\\nb"',
    ],
    [
      'an exchange that counts twice',
      allow({ charges: [{ limit: { kind: 'concurrency', count: 1 }, key: 'a', cost: 2 }] }),
      'charges[0].cost',
      'expected 1, because a concurrency limit counts exchanges, but received 2',
    ],
    [
      'a cost of a half',
      allow({ charges: [{ limit: { kind: 'concurrency', count: 1 }, key: 'a', cost: 0.5 }] }),
      'charges[0].cost',
      'expected a whole number from 0 to 1048576 but received 0.5',
    ],
    [
      'a limit of another kind',
      allow({ charges: [{ limit: { kind: 'leaky', count: 1 }, key: 'a' }] } as never),
      'charges[0].limit.kind',
      'expected gcra, fixed-window, sliding-window, concurrency or quota but received "leaky"',
    ],
    [
      'a window of nothing',
      allow({ charges: [{ limit: { kind: 'sliding-window', count: 1, window: 0 }, key: 'a' }] }),
      'charges[0].limit.window',
      'expected a duration from 1s to 366 days but received 0',
    ],
  ])('%s', (_, value, at, message) => {
    expect(problemOf(value)).toMatchObject({ at, message });
  });

  test.each(['HEAD', 'CONNECT', 'TRACE', 'head'])('the method %s', (method) => {
    expect(problemOf(routeTo('blue', { request: { method } }))).toEqual({
      at: 'request.method',
      message: `expected another method than HEAD, CONNECT, TRACE, which are for clients to choose but received "${method}"`,
    });
  });

  test.each(['PURGE', 'm-Search', 'get', 'M'.repeat(32)])('but not the method %s', (method) => {
    expect(normalizeVerdict(allow({ request: { method } }))).toMatchObject({ value: { method } });
  });

  test.each<[Limit, string, string]>([
    [{ kind: 'gcra', count: 10_001, per: '1ms' }, 'count', '10000'],
    [{ kind: 'gcra', count: 1, per: '1h', burst: 8785 }, 'burst', '8784'],
    [{ kind: 'sliding-window', count: 2 ** 23, window: '1s' }, 'count', '8388607'],
    [{ kind: 'fixed-window', count: 2 ** 40, window: '1s' }, 'count', '1099511627775'],
    [{ kind: 'concurrency', count: 2 ** 20 + 1 }, 'count', '1048576'],
    [{ kind: 'quota', count: 0, period: 'day' }, 'count', '1099511627775'],
  ])('more than the counters hold: %j', (limit, key, most) => {
    expect(problemOf(allow({ charges: [{ limit, key: 'k' }] }))).toMatchObject({
      at: `charges[0].limit.${key}`,
      message: expect.stringContaining(`from 1 to ${most} `),
    });
  });

  test.each([
    'connection',
    'Content-Length',
    'expect',
    'Host',
    'keep-alive',
    'proxy-connection',
    'te',
    'trailer',
    'Transfer-Encoding',
    'upgrade',
  ])('an edit of %s, with the reason', (name) => {
    const problem = {
      message: `expected a header that a policy may edit but received ${JSON.stringify(name)}`,
      remedy: expect.stringContaining('the gateway'),
    };
    expect(problemOf(allow({ request: { set: { [name]: '1' } } }))).toMatchObject(problem);
    expect(problemOf(allow({ response: { remove: [name] } }))).toMatchObject(problem);
    expect(problemOf(respond({ headers: { [name]: '1' } }))).toMatchObject(problem);
  });

  test('more than a head holds', () => {
    const names = Array.from({ length: 65 }, (_, index) => `x-${index}`);
    expect(problemOf(allow({ request: { remove: names } }))).toMatchObject({ at: 'request' });
    const long = respond({ headers: { 'x-long': 'a'.repeat(65_536) } });
    expect(problemOf(long)).toMatchObject({ at: 'headers' });
    const add = Array.from({ length: 8 }, () => 'a'.repeat(8192));
    expect(problemOf(allow({ response: { add: { a: add } } }))).toMatchObject({ at: 'response' });
    const fits = allow({ response: { add: { a: add.slice(1) } } });
    expect(problemOf(fits)).toBe('no problem');
  });
});
