// The policy `transform` on made-up requests.
import { describe, expect, test } from 'vitest';
import transform from '../../src/policies/transform/index.js';
import {
  type MadeUpRequest,
  type MadeUpResponse,
  testPolicy,
} from '../../src/policy/testing/index.js';

type Options = NonNullable<
  NonNullable<Parameters<typeof testPolicy<typeof transform.options>>[1]>['options']
>;

async function decide(options: Options, request: MadeUpRequest = {}) {
  const harness = await testPolicy(transform, { options });
  return harness.decide(request);
}

async function sent(request: NonNullable<Options['request']>, made: MadeUpRequest = {}) {
  const { upstream } = await decide({ request }, made);
  const { host: _, ...headers } = upstream?.headers ?? {};
  return { headers, target: `${upstream?.path}${upstream?.query ? `?${upstream.query}` : ''}` };
}

describe('headers of a request', () => {
  test('are removed, set and added', async () => {
    const edits = {
      remove: ['X-Gone'],
      set: { 'x-set': 'new' },
      add: { 'x-more': ['two', 'three'], 'x-new': 'one' },
    };
    const headers = { 'x-gone': '1', 'x-set': 'old', 'x-more': 'one', 'x-kept': 'k' };
    expect((await sent(edits, { headers })).headers).toEqual({
      'x-kept': 'k',
      'x-set': 'new',
      'x-more': 'one, two, three',
      'x-new': 'one',
    });
  });

  test('are renamed with all their lines, where they are there', async () => {
    const rename = { 'X-Old': 'x-new' };
    const headers = { 'x-old': ['1', '2'], 'x-new': 'forged' };
    expect((await sent({ rename }, { headers })).headers).toEqual({ 'x-new': '1, 2' });
    expect((await sent({ rename }, { headers: { 'x-new': 'n' } })).headers).toEqual({
      'x-new': 'n',
    });
  });

  test('are replaced only where they are there, and have a default only where they are not', async () => {
    const edits = { replace: { 'x-a': 'new' }, default: { 'x-b': 'default' } };
    expect((await sent(edits)).headers).toEqual({ 'x-b': 'default' });
    const headers = { 'x-a': 'old', 'x-b': 'own' };
    expect((await sent(edits, { headers })).headers).toEqual({ 'x-a': 'new', 'x-b': 'own' });
  });

  test('are edited one way after the other', async () => {
    const edits = {
      remove: ['x-gone'],
      rename: { 'x-a': 'X-B', 'x-c': 'x-d' },
      replace: { 'x-d': 'replaced' },
      default: { 'x-b': 'default', 'x-gone': 'default', 'x-d': 'default' },
      set: { 'x-e': 'set' },
      add: { 'x-b': 'added', 'X-E': 'added' },
    };
    const headers = { 'x-gone': '1', 'x-a': 'a', 'x-b': 'b', 'x-c': 'c', 'x-e': 'e' };
    expect((await sent(edits, { headers })).headers).toEqual({
      'x-gone': 'default',
      'x-b': 'a, added',
      'x-d': 'replaced',
      'x-e': 'set, added',
    });
  });

  test('hold parts of the request', async () => {
    const of = async (text: string, request: MadeUpRequest) =>
      (await sent({ set: { 'x-a': text } }, request)).headers['x-a'];
    const request: MadeUpRequest = {
      method: 'PUT',
      url: 'https://Shop.example/a?q=1%202',
      headers: { 'x-h': 'h', cookie: 'c=v' },
      client: '10.0.0.7',
      params: { id: '7' },
      routeName: 'orders',
      consumer: { id: 'ada', groups: ['a', 'b'] },
      attributes: { plans: { 'tier.name': 'gold' } },
    };
    expect(
      await of(
        '{method} {scheme} {host} {path} {query.q} {header.X-H} {cookie.c} {param.id} {clientAddress} {routeName}',
        request,
      ),
    ).toBe('PUT https shop.example /a 1 2 h v 7 10.0.0.7 orders');
    expect(await of('{consumer.id}:{consumer.groups}:{attribute.plans.tier.name}', request)).toBe(
      'ada:a, b:gold',
    );
    expect(await of('{{{consumer.id}}}', request)).toBe('{ada}');
    expect(await of('{consumer.name:-none} {header.none:-}|', request)).toBe('none |');
  });

  test('are taken away where what they hold is not there', async () => {
    const edits = { set: { 'x-user': '{consumer.id}' }, add: { 'x-b': 'b {header.none}' } };
    const { headers } = await sent(edits, { headers: { 'x-user': 'forged', 'x-b': '1' } });
    expect(headers).toEqual({ 'x-b': '1' });
  });

  test('never get a line break from a value', async () => {
    const edits = {
      set: { 'x-a': 'v {query.q}' },
      add: { 'x-b': '{query.q}' },
      default: { 'x-c': '{query.q}' },
    };
    const { headers } = await sent(edits, { url: '/?q=a%0d%0aX-Root:%201%00' });
    expect(headers).toEqual({
      'x-a': 'v a%0D%0AX-Root: 1%00',
      'x-b': 'a%0D%0AX-Root: 1%00',
      'x-c': 'a%0D%0AX-Root: 1%00',
    });
  });
});

describe('the query', () => {
  test('is edited as headers are', async () => {
    const query = {
      remove: ['gone'],
      rename: { old: 'new' },
      replace: { there: '1', missing: '1' },
      default: { page: '1', size: '10' },
      set: { user: '{consumer.id}' },
      add: { tag: ['a&b', 'c'] },
    };
    const request = {
      url: '/p?gone=1&old=o&there=0&size=5&user=root&tag=z',
      consumer: { id: 'ada' },
    };
    const { target } = await sent({ query }, request);
    const pairs = [...new URLSearchParams(target.slice(3))];
    expect(pairs.toSorted()).toEqual(
      [
        ['new', 'o'],
        ['page', '1'],
        ['size', '5'],
        ['tag', 'a&b'],
        ['tag', 'c'],
        ['tag', 'z'],
        ['there', '1'],
        ['user', 'ada'],
      ].toSorted(),
    );
  });

  test('may have any names', async () => {
    const query = {
      default: { constructor: '1' },
      add: { toString: '2' },
      rename: { valueOf: 'hasOwnProperty' },
    };
    expect((await sent({ query: query as never }, { url: '/?valueOf=3' })).target).toBe(
      '/?constructor=1&hasOwnProperty=3&toString=2',
    );
  });

  test('stays as it is where nothing is to be changed', async () => {
    const query = { rename: { old: 'new' }, replace: { a: '1' } };
    expect((await sent({ query }, { url: '/p?x=%41' })).target).toBe('/p?x=%41');
  });
});

describe('the method', () => {
  test('is the one that is given, beside other edits and alone', async () => {
    const method = async (request: NonNullable<Options['request']>, made: MadeUpRequest = {}) =>
      (await decide({ request }, made)).upstream?.method;
    expect(await method({ method: 'POST' })).toBe('POST');
    expect(await method({ method: 'GET', set: { 'x-a': '1' } }, { method: 'PUT' })).toBe('GET');
    expect(await method({ set: { 'x-a': '1' } }, { method: 'PUT' })).toBe('PUT');
    const { headers } = await sent({ method: 'GET', set: { 'x-was': '{method}' } });
    expect(headers).toEqual({ 'x-was': 'GET' });
  });

  test('leaves a request alone whose protocol it belongs to', async () => {
    const { upstream } = await decide({ request: { method: 'POST' } }, { method: 'HEAD' });
    expect(upstream?.method).toBe('HEAD');
  });
});

describe('the path', () => {
  const path = async (text: string, request: MadeUpRequest) => {
    const { upstream, answer } = await decide({ request: { path: text } }, request);
    return upstream?.path ?? answer?.status;
  };

  test('is made of a text and parts of the request', async () => {
    expect(await path('/v2/items/{param.id}', { params: { id: '7' } })).toBe('/v2/items/7');
    expect(await path('/{consumer.id}{path}', { url: '/a%20b?q', consumer: { id: 'ada' } })).toBe(
      '/ada/a%20b',
    );
    expect(await path('{path}/end', { url: '/a' })).toBe('/a/end');
    expect(await path('/ä b', {})).toBe('/%C3%A4%20b');
  });

  test('gets values encoded', async () => {
    const of = (q: string) => path('/x/{query.q}', { url: `/?q=${encodeURIComponent(q)}` });
    expect(await of('a b?c#d%')).toBe('/x/a%20b%3Fc%23d%25');
    expect(await of('a\r\nb')).toBe('/x/a%0D%0Ab');
    expect(await of('..a')).toBe('/x/..a');
  });

  test('cannot be led astray by them', async () => {
    const of = (text: string, q: string) => path(text, { url: `/?q=${encodeURIComponent(q)}` });
    for (const value of ['..', '.', '../admin', 'a/b', '\\..', '/']) {
      expect(await of('/x/{query.q}', value), value).toBe(400);
    }
    expect(await of('/x/.{query.q}', '.')).toBe(400);
    expect(await of('/x/%2E{query.q}', '.')).toBe(400);
  });

  test('stays where a part of it is not there', async () => {
    expect(await path('/x/{query.q}', { url: '/a' })).toBe('/a');
  });
});

describe('a JSON body', () => {
  type Json = NonNullable<NonNullable<Options['request']>['json']>;
  const headers = { 'content-type': 'application/json; charset=utf-8' };
  const send = (json: Json, body: unknown, more: MadeUpRequest = {}) =>
    decide({ request: { json } }, { method: 'POST', headers, body, ...more });
  const edited = async (json: Json, body: unknown, more?: MadeUpRequest) =>
    JSON.parse(String((await send(json, body, more)).upstream?.body));

  test('has values removed, also of each element', async () => {
    const body = {
      card: { number: '4', owner: 'a' },
      items: [{ id: 1, x: 2 }, { x: 3 }, 'x'],
      n: [1, 2],
    };
    const remove = [
      'card.number',
      'items.*.x',
      'n.0',
      'items.2',
      'nothing.here',
      'card.owner.deeper',
    ];
    expect(await edited({ remove }, body)).toEqual({
      card: { owner: 'a' },
      items: [{ id: 1 }, {}],
      n: [2],
    });
    expect(await edited({ remove: ['n.*'] }, body)).toMatchObject({ n: [] });
  });

  test('has names changed', async () => {
    const rename = { id: 'orderId', 'items.*.sku': 'code', 'a\\.b': 'ab', missing: 'there' };
    const body = { id: 1, items: [{ sku: 's' }, {}], 'a.b': 2, a: { b: 3 } };
    expect(await edited({ rename }, body)).toEqual({
      orderId: 1,
      items: [{ code: 's' }, {}],
      ab: 2,
      a: { b: 3 },
    });
  });

  test('has values replaced, set by default, set and appended, with objects made on the way', async () => {
    const json: Json = {
      replace: { there: 'new', absent: 'new' },
      default: { there: 'default', missing: 'default', 'deep.er': [1] },
      set: { 'a.b.c': { d: null }, 'list.1': true, 'list.5': true, 'text.x': 1 },
      append: { list: 3, made: { x: 1 }, text: 'no array' },
    };
    expect(await edited(json, { there: 'old', list: [0], text: 't' })).toEqual({
      there: 'new',
      missing: 'default',
      deep: { er: [1] },
      a: { b: { c: { d: null } } },
      list: [0, true, 3],
      text: 't',
      made: [{ x: 1 }],
    });
    expect(await edited({ set: { 'items.*.seen': true } }, { items: [{}, { seen: 1 }] })).toEqual({
      items: [{ seen: true }, { seen: true }],
    });
  });

  test('gets parts of the request, and nothing where the request has them not', async () => {
    const set = { who: '{consumer.id}', from: '{header.x-none:-unknown}', gone: '{header.x-none}' };
    expect(await edited({ set }, { gone: 'stays' }, { consumer: { id: 'a"b' } })).toEqual({
      who: 'a"b',
      from: 'unknown',
      gone: 'stays',
    });
  });

  test('keeps numbers as they are written where a double would not hold them', async () => {
    const body = '{"id":12345678901234567890,"price":0.10000000000000000001,"a":1}';
    const { upstream } = await send({ set: { b: 2 } }, body);
    expect(upstream?.body).toBe(
      '{"id":12345678901234567890,"price":0.10000000000000000001,"a":1,"b":2}',
    );
    const { upstream: huge } = await send({ remove: ['a'] }, '{"x":1e999,"a":{"b":1}}');
    expect(huge?.body).toBe('{"x":1e999}');
  });

  test('is one element a request, however often the same options are used', async () => {
    const harness = await testPolicy(transform, {
      options: { request: { json: { set: { a: { b: [] } }, append: { 'a.b': 1 } } } },
    });
    for (let i = 0; i < 3; i += 1) {
      const { upstream } = await harness.decide({ method: 'POST', headers, body: {} });
      expect(upstream?.body).toBe('{"a":{"b":[1]}}');
    }
  });

  test.each([
    [{ 'content-type': 'text/plain' }, '{"a":1}'],
    [{ 'content-type': 'application/jsonp' }, '{"a":1}'],
    [{}, '{"a":1}'],
    [headers, ''],
  ])('is left alone where it is none: %j %j', async (given, body) => {
    const outcome = await send({ set: { a: 2 } }, body, {
      headers: given as Record<string, string>,
    });
    expect(outcome.upstream).toBeDefined();
    expect(outcome.upstream?.body).toBeUndefined();
  });

  test.each(['application/json', 'Application/Vnd.API+JSON', 'application/problem+json;v=1'])(
    'is edited where it is one: %s',
    async (type) => {
      expect(
        await edited({ set: { a: 2 } }, { a: 1 }, { headers: { 'content-type': type } }),
      ).toEqual({ a: 2 });
    },
  );

  test.each(['{"a":', 'nonsense', '['.repeat(100_000), `${'['.repeat(100_000)}1234567890123456`])(
    'that is broken is denied: %#',
    async (body) => {
      const { answer } = await send({ set: { a: 1 } }, body);
      expect(answer).toMatchObject({ status: 400 });
    },
  );

  test('leaves no way to a prototype', async () => {
    const body = '{"__proto__":{"x":1},"constructor":{"prototype":{"y":1}}}';
    const { upstream } = await send({ set: { 'constructor.prototype.z': 2 } }, body);
    expect(upstream?.body).toBe('{"__proto__":{"x":1},"constructor":{"prototype":{"y":1,"z":2}}}');
    expect(({} as { z?: unknown }).z).toBeUndefined();
    expect(await edited({ set: { 'toString.a': 1 } }, {})).toEqual({ toString: { a: 1 } });
  });

  test('is not kept for replay, what has none is', async () => {
    const options = { request: { json: { set: { a: 1 } } } };
    expect((await decide(options, { method: 'POST', headers, body: {} })).verdict.replayFor).toBe(
      0,
    );
    expect((await decide(options)).verdict.replayFor).toBe(60_000);
  });
});

test('headers of a response are removed, set and added', async () => {
  const response = {
    remove: ['server'],
    set: { 'x-for': '{consumer.id:-nobody}' },
    add: { vary: 'x-for' },
  };
  const { verdict } = await decide({ response, replayFor: '10s' }, { consumer: { id: 'ada' } });
  expect(verdict).toMatchObject({
    replayFor: 10_000,
    response: [
      { op: 'remove', name: 'server' },
      { op: 'set', name: 'x-for', value: 'ada' },
      { op: 'add', name: 'vary', value: 'x-for' },
    ],
  });
});

describe('a response', () => {
  const reviewed = async (
    response: NonNullable<Options['response']>,
    made: MadeUpResponse,
    request: MadeUpRequest = {},
  ) => (await testPolicy(transform, { options: { response } })).respond(made, request);

  test('is looked at only where that is needed', async () => {
    const policy = await testPolicy(transform, { options: { response: { set: { 'x-a': '1' } } } });
    await expect(policy.respond()).rejects.toThrow('the policy sees no response');
    const options = { response: { set: { 'x-a': '1' }, rename: { 'x-b': 'x-c' } } };
    expect((await decide(options)).verdict).toMatchObject({ response: [], replayFor: 60_000 });
  });

  test('has its headers edited one way after the other', async () => {
    const edits = {
      remove: ['x-gone'],
      rename: { 'X-Old': 'x-new' },
      replace: { server: 'edge', 'x-none': 'x' },
      default: { 'cache-control': 'no-store', 'x-kept': 'x' },
      set: { 'x-for': '{consumer.id:-nobody} at {path}' },
      add: { 'x-new': 'added' },
    };
    const headers = { 'x-gone': '1', 'x-old': ['1', '2'], server: 'app', 'x-kept': 'k' };
    const { response } = await reviewed(
      edits,
      { headers },
      { url: '/a', consumer: { id: 'ada', name: 'Ada' } },
    );
    expect(response.headers).toEqual({
      'x-new': '1, 2, added',
      server: 'edge',
      'cache-control': 'no-store',
      'x-kept': 'k',
      'x-for': 'ada at /a',
    });
  });

  test('has its JSON body edited', async () => {
    const json = {
      remove: ['card'],
      rename: { 'items.*.sku': 'code' },
      set: { 'for.id': '{header.x-user}' },
    };
    const body = { card: 1, items: [{ sku: 2 }] };
    const { response } = await reviewed(
      { json, set: { 'x-a': '1' } },
      { body },
      { headers: { 'x-user': 'ada' } },
    );
    expect(JSON.parse(`${response.body}`)).toEqual({ items: [{ code: 2 }], for: { id: 'ada' } });
    expect(response.headers['x-a']).toBe('1');
  });

  test('of another type, or without a body, keeps it', async () => {
    const json = { remove: ['a'] };
    for (const made of [
      { headers: { 'content-type': 'text/plain' }, body: '{"a": 1}' },
      { status: 204, headers: { 'content-type': 'application/json' } },
    ]) {
      expect((await reviewed({ json }, made)).review).toMatchObject({ body: undefined });
    }
    const broken = { headers: { 'content-type': 'application/json' }, body: '{' };
    expect((await reviewed({ json }, broken)).review).toMatchObject({ kind: 'deny', status: 502 });
  });

  test('is asked for uncompressed where its body is edited', async () => {
    const headers = { 'accept-encoding': 'br' };
    const { upstream } = await decide({ response: { json: { remove: ['a'] } } }, { headers });
    expect(upstream?.headers['accept-encoding']).toBe('identity');
    const other = await decide({ response: { set: { 'x-a': '1' } } }, { headers });
    expect(other.upstream?.headers['accept-encoding']).toBe('br');
  });
});

describe('options that are none', () => {
  test.each<[Options, string]>([
    [{ request: { set: { host: 'a' } } }, 'a header that a policy may edit'],
    [{ response: { remove: ['Content-Length'] } }, 'a header that a policy may edit'],
    [{ request: { set: { 'x-a': 'a\nb' } } }, 'without line breaks'],
    [{ request: { set: { 'x-a': '{unknown}' } } }, 'in braces only path, host'],
    [{ request: { set: { 'x-a': '{' } } }, 'in braces only'],
    [{ request: { set: { 'x-a': '{header.a b}' } } }, 'in braces only'],
    [{ request: { set: { 'x-a': '{consumer.secret}' } } }, 'in braces only'],
    [{ request: { method: 'TO POST' } }, 'a method such as POST'],
    [{ request: { method: 'post' } }, 'a method such as POST in upper case'],
    [{ request: { method: 'HEAD' } }, 'another method than HEAD'],
    [{ request: { path: 'no/slash' } }, 'a path that begins with /'],
    [{ request: { path: '/a?b=c' } }, 'a path that begins with /'],
    [{ request: { json: { remove: ['a..b'] } } }, 'a path such as customer.name'],
    [{ request: { json: { set: { '': 1 } } } }, 'a path such as customer.name'],
    [{ request: { json: { set: { 'a.__proto__': 1 } } } }, 'a path such as customer.name'],
    [{ request: { json: { rename: { a: '__proto__' } } } }, 'a name of a JSON object'],
    [{ request: { json: { set: { a: '{unknown}' } } } }, 'a text, in which braces'],
    [{ request: { json: { limit: '1MiB' } } }, '128KiB'],
    [
      { response: { rename: { a: 'b' }, set: { 'x-a': '{attribute.p.n}' } } },
      'expected no {attribute.p.n} beside rename',
    ],
    [
      { response: { json: { set: { a: '{consumer.name}' } } } },
      'expected no {consumer.name} beside',
    ],
  ])('%#: %s', async (options, message) => {
    await expect(decide(options)).rejects.toThrow(message);
  });
});
