// tidegate/testing: a policy on made-up requests, with a clock and counters of the test's own.
import { describe, expect, expectTypeOf, test } from 'vitest';
import {
  allow,
  attribute,
  body,
  clientAddress,
  consumer,
  cookie,
  definePolicy,
  deny,
  FetchError,
  header,
  headers,
  host,
  type Limit,
  method,
  param,
  path,
  query,
  redirect,
  respond,
  routeName,
  routeTo,
  scheme,
  type Verdict,
  z,
} from '../../src/policy/index.js';
import { type MadeUpRequest, testPolicy } from '../../src/policy/testing/index.js';

describe('inputs are read as the gateway reads them', () => {
  const request: MadeUpRequest = {
    method: 'POST',
    url: 'https://Shop.example.com:8443/orders/7?a=1&b=x+y%20z&b=2&c=%zz%C3%A9#frag',
    headers: {
      'X-Key': ['a', 'b'],
      cookie: ['one=1; quoted="q"', 'one=2; empty='],
    },
    client: '192.0.2.7',
    params: { id: '7' },
    routeName: 'orders',
    body: { hello: 'world' },
    consumer: { id: 'c1' },
    attributes: { billing: { plan: 'gold' } },
  };

  test.each([
    ['header', header('x-key'), 'a, b'],
    ['header that is absent', header('x-none'), undefined],
    ['headers', headers('x-key'), ['a', 'b']],
    ['headers that are absent', headers('x-none'), []],
    ['cookie', cookie('one'), '1'],
    ['cookie in quotes', cookie('quoted'), 'q'],
    ['cookie that is empty', cookie('empty'), ''],
    ['cookie that is absent', cookie('none'), undefined],
    ['query', query('b'), 'x y z'],
    ['query with an escape that is none', query('c'), '%zzé'],
    ['query that is absent', query('d'), undefined],
    ['param', param('id'), '7'],
    ['param of a name that objects have', param('constructor'), undefined],
    ['path', path(), '/orders/7'],
    ['method', method(), 'POST'],
    ['client address', clientAddress(), '192.0.2.7'],
    ['host', host(), 'shop.example.com'],
    ['scheme', scheme(), 'https'],
    ['route name', routeName(), 'orders'],
    ['consumer', consumer(), { id: 'c1' }],
    ['attribute', attribute('billing', 'plan'), 'gold'],
    ['attribute of another policy', attribute('other', 'plan'), undefined],
    ['body as text', body({ limit: '1KiB', as: 'text' }), '{"hello":"world"}'],
    ['body as JSON', body({ limit: '1KiB', as: 'json' }), { hello: 'world' }],
    ['body as bytes', body({ limit: '1KiB', as: 'bytes' }), Buffer.from('{"hello":"world"}')],
    ['body that is longer', body({ limit: 8, as: 'json', longer: 'pass' }), undefined],
  ])('%s', async (_, value, expected) => {
    let seen: unknown;
    const policy = definePolicy({
      inputs: { value },
      decide({ inputs }) {
        seen = inputs.value;
        return allow();
      },
    });
    await (await testPolicy(policy)).decide(request);
    expect(seen).toEqual(expected);
  });

  test('a request needs nothing', async () => {
    const policy = definePolicy({
      inputs: { path: path(), method: method(), host: host(), address: clientAddress() },
      decide: ({ inputs }) => allow({ attributes: inputs }),
    });
    const { verdict } = await (await testPolicy(policy)).decide();
    expect(verdict.attributes).toEqual({
      path: '/',
      method: 'GET',
      host: 'localhost',
      address: '127.0.0.1',
    });
  });
});

describe('the outcome', () => {
  const decided = async (verdict: Verdict, request?: MadeUpRequest) =>
    (await testPolicy(definePolicy({ decide: () => verdict }))).decide(request);

  test('of allow is what goes upstream, edits applied', async () => {
    const verdict = allow({
      request: {
        remove: ['Authorization'],
        set: { 'X-Tenant': 'blue' },
        add: { via: 'tenant' },
        method: 'PUT',
        path: '/v2/orders',
        query: { remove: ['token'], add: { via: 'ä b' } },
      },
    });
    const { upstream, answer } = await decided(verdict, {
      url: '/orders?token=t&a=1',
      headers: { authorization: 'x', via: 'client', 'x-tenant': ['red', 'green'] },
    });
    expect(answer).toBeUndefined();
    expect(upstream).toEqual({
      method: 'PUT',
      path: '/v2/orders',
      query: 'a=1&via=%C3%A4%20b',
      headers: { host: 'localhost', via: 'client, tenant', 'x-tenant': 'blue' },
    });
  });

  test.each<[MadeUpRequest, string]>([
    [{ method: 'POST', body: 'x' }, 'PURGE'],
    [{ method: 'OPTIONS' }, 'PURGE'],
    [{ method: 'HEAD' }, 'HEAD'],
    [{ method: 'OPTIONS', url: '*' }, 'OPTIONS'],
    [{ headers: { Upgrade: 'websocket', Connection: 'keep-alive, Upgrade' } }, 'GET'],
    [{ headers: { Upgrade: 'websocket' } }, 'PURGE'],
    [{ method: 'POST', headers: { 'content-type': 'application/grpc+proto' } }, 'POST'],
    [{ method: 'POST', headers: { 'content-type': 'application/grpc-web' } }, 'PURGE'],
  ])('has the method of the verdict where the gateway takes it: %j', async (request, method) => {
    const verdict = allow({ request: { method: 'PURGE' } });
    expect((await decided(verdict, request)).upstream?.method).toBe(method);
  });

  test('of routeTo names the upstream', async () => {
    expect((await decided(routeTo('green'))).upstream).toMatchObject({ upstream: 'green' });
  });

  test('of the others is the answer', async () => {
    const refused = await decided(deny({ status: 401, headers: { 'WWW-Authenticate': 'Key' } }));
    expect(refused.answer).toEqual({ status: 401, headers: { 'www-authenticate': 'Key' } });
    expect(refused.upstream).toBeUndefined();
    const moved = await decided(redirect({ location: '/login' }));
    expect(moved.answer).toEqual({ status: 302, headers: { location: '/login' }, body: '' });
  });
});

describe('time and state', () => {
  test('setup runs once, and the clock is the test’s', async () => {
    let setups = 0;
    let unloaded = false;
    const policy = definePolicy({
      setup: async ({ signal, name, log }) => {
        setups += 1;
        signal.addEventListener('abort', () => {
          unloaded = true;
        });
        log.info('ready', { name });
        return { seen: [] as number[] };
      },
      decide: async ({ state, ctx }) => {
        state.seen.push(ctx.now());
        return allow({ attributes: { seen: state.seen.join() } });
      },
    });
    const harness = await testPolicy(policy, { now: 1000, name: 'mine' });
    await harness.decide();
    harness.clock.advance('2s');
    harness.clock.advance(5);
    const { verdict } = await harness.decide();
    expect(verdict.attributes).toEqual({ seen: '1000,3005' });
    expect(setups).toBe(1);
    expect(harness.log).toEqual([{ level: 'info', message: 'ready', fields: { name: 'mine' } }]);
    harness.close();
    expect(unloaded).toBe(true);
  });

  test('a signal of the request reaches decide', async () => {
    const policy = definePolicy({
      decide: ({ ctx }) => (ctx.signal.aborted ? deny() : allow()),
    });
    const { verdict } = await (await testPolicy(policy)).decide({ signal: AbortSignal.abort() });
    expect(verdict.kind).toBe('deny');
  });
});

describe('counters', () => {
  const limited = (limit: Limit, now: string, cost = 1) =>
    testPolicy(
      definePolicy({
        inputs: { key: header('key') },
        decide: ({ inputs }) => allow({ charges: [{ limit, key: inputs.key ?? 'all', cost }] }),
      }),
      { now },
    );

  /** One letter a request: admitted or refused; a duration moves the clock. */
  async function run(limit: Limit, now: string, steps: string, cost?: number): Promise<string> {
    const harness = await limited(limit, now, cost);
    const seen: string[] = [];
    for (const step of steps.split(' ')) {
      if (step !== '.') {
        harness.clock.advance(step);
        seen.push(step);
        continue;
      }
      const { charges, answer } = await harness.decide();
      const [charge] = charges;
      seen.push(
        charge?.allowed ? `ok:${charge.remaining}` : `${answer?.status}:${charge?.retryAfter}`,
      );
    }
    return seen.join(' ');
  }

  const noon = '2026-03-31T12:00:00Z';
  test.each<[string, Limit, string, string, string]>([
    [
      'gcra: the burst at once, then evenly',
      { kind: 'gcra', count: 10, per: '1s', burst: 2 },
      noon,
      '. . . 100ms . . 99ms . 1ms .',
      'ok:1 ok:0 429:100 100ms ok:0 429:100 99ms 429:1 1ms ok:0',
    ],
    [
      'fixed window: anew at the border of the clock',
      { kind: 'fixed-window', count: 2, window: '1m' },
      '2026-03-31T12:00:59Z',
      '. . . 1s . .',
      'ok:1 ok:0 429:1000 1s ok:1 ok:0',
    ],
    [
      'sliding window: the window before fades',
      { kind: 'sliding-window', count: 4, window: '1m' },
      noon,
      '. . . . 60s . 15s . . 15s .',
      'ok:3 ok:2 ok:1 ok:0 60s 429:15000 15s ok:0 429:15000 15s ok:0',
    ],
    [
      'quota: by the calendar',
      { kind: 'quota', count: 1, period: 'month' },
      '2026-03-31T23:59:59Z',
      '. . 1s . .',
      'ok:0 429:1000 1s ok:0 429:2592000000',
    ],
    [
      'quota: a week begins on Monday',
      { kind: 'quota', count: 1, period: 'week' },
      '2026-03-29T23:59:59Z',
      '. . 1s .',
      'ok:0 429:1000 1s ok:0',
    ],
  ])('%s', async (_, limit, now, steps, seen) => {
    expect(await run(limit, now, steps)).toBe(seen);
  });

  test('a cost above the limit is never admitted, and no time is named', async () => {
    const limit = { kind: 'fixed-window', count: 2, window: '1m' } as const;
    expect(await run(limit, noon, '. 1m .', 3)).toBe('429:undefined 1m 429:undefined');
  });

  test('concurrency is given back when the exchange ends, once', async () => {
    const harness = await limited({ kind: 'concurrency', count: 2 }, noon);
    const first = await harness.decide();
    await harness.decide();
    expect((await harness.decide()).answer).toEqual({
      status: 429,
      headers: { 'retry-after': '1' },
    });
    first.end();
    first.end();
    expect((await harness.decide()).answer).toBeUndefined();
    expect((await harness.decide()).answer?.status).toBe(429);
  });

  test('keys are counted apart', async () => {
    const harness = await limited({ kind: 'quota', count: 1, period: 'day' }, noon);
    expect((await harness.decide({ headers: { key: 'a' } })).answer).toBeUndefined();
    expect((await harness.decide({ headers: { key: 'b' } })).answer).toBeUndefined();
    expect((await harness.decide({ headers: { key: 'a' } })).answer).toEqual({
      status: 429,
      headers: { 'retry-after': '43200' },
    });
  });

  test('several limits at once are charged all or not at all', async () => {
    const minute: Limit = { kind: 'fixed-window', count: 3, window: '1m' };
    const second: Limit = { kind: 'fixed-window', count: 1, window: '1s' };
    const charges = [minute, second].map((limit) => ({ limit, key: 'k' }));
    const harness = await testPolicy(definePolicy({ decide: () => allow({ charges }) }));
    const left = async () => (await harness.decide()).charges.map(({ remaining }) => remaining);
    expect(await left()).toEqual([2, 0]);
    expect(await left()).toEqual([2, 0]);
    harness.clock.advance('1s');
    expect(await left()).toEqual([1, 0]);
  });
});

describe('what the gateway would give', () => {
  test('counters are the policy’s own, or those of verdicts', async () => {
    const limit: Limit = { kind: 'fixed-window', count: 3, window: '1m' };
    const policy = definePolicy({
      setup: ({ counters }) => counters.charge(limit, 'k'),
      decide: ({ ctx: { counters } }) =>
        allow({
          charges: [{ limit, key: 'k' }],
          attributes: {
            own: counters.charge(limit, 'k').remaining,
            shared: counters.shared.peek(limit, 'k').remaining,
          },
        }),
    });
    const harness = await testPolicy(policy);
    expect((await harness.decide()).verdict.attributes).toEqual({ own: 1, shared: 3 });
    expect((await harness.decide()).verdict.attributes).toEqual({ own: 0, shared: 2 });
    expect(harness.counters.charge(limit, 'k').refusal).toBe('used-up');
    expect(harness.counters.shared.peek(limit, 'k').remaining).toBe(1);
    harness.clock.advance('1m');
    expect(harness.counters.peek(limit, 'k').remaining).toBe(3);
  });

  test('what a policy holds comes back when it is unloaded', async () => {
    const limit = { kind: 'concurrency', count: 1 } as const;
    const policy = definePolicy({
      decide: ({ ctx }) => (ctx.counters.acquire(limit, 'k').allowed ? allow() : deny()),
    });
    const harness = await testPolicy(policy);
    expect((await harness.decide()).verdict.kind).toBe('allow');
    expect((await harness.decide()).verdict.kind).toBe('deny');
    harness.close();
    expect(harness.counters.peek(limit, 'k').remaining).toBe(1);
  });

  test('consumers are those of the test, for a policy that asks', async () => {
    const asking = definePolicy({
      consumers: true,
      setup: ({ consumers }) => consumers,
      decide: ({ state }) => allow({ attributes: { seen: JSON.stringify(state) } }),
    });
    const apiKeys = ['0'.repeat(64)];
    const consumers = [
      { id: 'a', credentials: { apiKeys } },
      { id: 'b', groups: ['g'] },
    ];
    const { verdict } = await (await testPolicy(asking, { consumers })).decide();
    expect(JSON.parse(`${verdict.attributes?.['seen']}`)).toEqual([
      { id: 'a', credentials: { apiKeys, jwt: [] } },
      { id: 'b', groups: ['g'], credentials: { apiKeys: [], jwt: [] } },
    ]);
    expect((await (await testPolicy(asking)).decide()).verdict.attributes).toEqual({ seen: '[]' });
    await expect(
      testPolicy(definePolicy({ decide: () => allow() }), { consumers }),
    ).rejects.toThrow('the policy does not ask for them (consumers: true in definePolicy)');
  });
});

describe('mistakes are explained', () => {
  const policy = definePolicy({
    options: z.object({ header: z.string(), limit: z.number().default(1) }),
    inputs: (options) => ({ key: header(options.header) }),
    decide: () => allow(),
  });

  test('options that do not fit', async () => {
    // @ts-expect-error: limit is a number.
    const wrong = testPolicy(policy, { options: { limit: 'many' } });
    await expect(wrong).rejects.toThrow(
      new TypeError(
        [
          'the options do not fit the policy',
          '  the key "header" is missing: expected a string',
          '  limit: expected a number but received "many"',
        ].join('\n'),
      ),
    );
    expectTypeOf(testPolicy<typeof policy.options>)
      .parameter(1)
      .exclude<undefined>()
      .toHaveProperty('options')
      .exclude<undefined>()
      .toEqualTypeOf<{ header: string; limit?: number | undefined }>();
  });

  test('an input that is not declared', async () => {
    const sloppy = definePolicy({
      inputs: { key: header('x-key'), path: path() },
      decide: ({ inputs }) => allow({ tags: [(inputs as { host?: string }).host ?? ''] }),
    });
    await expect((await testPolicy(sloppy)).decide()).rejects.toThrow(
      'decide reads inputs.host, which the policy does not declare (its inputs: key, path)',
    );
  });

  test('a verdict that is none', async () => {
    const wrong = definePolicy({ decide: () => allow({ request: { set: { host: 'a' } } }) });
    await expect((await testPolicy(wrong)).decide()).rejects.toThrow(
      'decide returned what is no verdict: request.set.host: expected a header that a policy may edit but received "host" (the gateway routes by it; the route\'s rewrite.host sets what the upstream sees)',
    );
  });

  test('a body that would not reach the policy', async () => {
    const reads = definePolicy({
      inputs: { body: body({ limit: 4, as: 'json' }) },
      decide: () => allow(),
    });
    const harness = await testPolicy(reads);
    await expect(harness.decide({ body: '12345' })).rejects.toThrow(
      'the body has 5 bytes and the policy reads 4: such a request does not reach it',
    );
    await expect(harness.decide({ body: '{' })).rejects.toThrow(
      'the body is not JSON: such a request does not reach the policy',
    );
  });

  test('what is no policy, and a clock that cannot be moved so', async () => {
    await expect(testPolicy({} as never)).rejects.toThrow(
      'testPolicy expected what definePolicy returns but received an object',
    );
    const { clock } = await testPolicy(policy, { options: { header: 'a' } });
    expect(() => clock.advance('soon')).toThrow('clock.advance: expected a duration such as 500ms');
  });
});

describe('made-up upstreams', () => {
  const joins = definePolicy({
    inputs: { id: param('id') },
    async decide({ ctx }) {
      return (await ctx.fetch('auth')).ok ? allow() : deny();
    },
    async handle({ inputs: { id = '' }, ctx }) {
      const response = await ctx.fetch('orders', {
        method: 'POST',
        path: `/orders/${id}`,
        query: { a: '1' },
        headers: { 'X-A': ['1', '2'] },
        body: 'b',
      });
      return response.ok ? respond({ body: response.text() }) : response;
    },
  });

  test('answer what the policy asks', async () => {
    const asked: unknown[] = [];
    const harness = await testPolicy(joins, {
      fetch: (upstream, request) => {
        asked.push([upstream, request]);
        return upstream === 'auth' ? { status: 401 } : { body: { id: 7 } };
      },
    });
    expect((await harness.decide()).verdict.kind).toBe('deny');
    const { answer } = await harness.handle({ params: { id: '7' } });
    expect([answer?.status, answer?.body]).toEqual([200, '{"id":7}']);
    expect(asked).toEqual([
      ['auth', { method: 'GET', path: '/', query: '', headers: {} }],
      [
        'orders',
        { method: 'POST', path: '/orders/7', query: 'a=1', headers: { 'x-a': '1, 2' }, body: 'b' },
      ],
    ]);
  });

  test('may be passed on, fail, and say too much', async () => {
    const handled = async (fetch: NonNullable<Parameters<typeof testPolicy>[1]>['fetch']) =>
      (await testPolicy(joins, { ...(fetch === undefined ? {} : { fetch }) })).handle();
    const busy = {
      status: 503,
      headers: { 'Retry-After': '9', connection: 'close' },
      body: 'busy',
    };
    expect((await handled(() => busy)).answer).toEqual({
      status: 503,
      headers: { 'retry-after': '9' },
      body: Buffer.from('busy'),
    });
    const down = new FetchError('unavailable', 'down');
    await expect(handled(() => Promise.reject(down))).rejects.toBe(down);
    await expect(handled(() => ({ body: 'x'.repeat(128 * 1024 + 1) }))).rejects.toMatchObject({
      code: 'too_large',
    });
    await expect(handled(undefined)).rejects.toThrow(/testPolicy was given no upstreams/);
  });

  test('are not asked by what is no request, or when a signal has fired', async () => {
    const fetch = () => expect.unreachable();
    const policy = definePolicy({ handle: ({ ctx }) => ctx.fetch('a', { path: 'b' }) });
    await expect((await testPolicy(policy, { fetch })).handle()).rejects.toMatchObject({
      code: 'bad_request',
    });
    const harness = await testPolicy(joins, { fetch });
    await expect(harness.handle({ signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'aborted',
    });
    const waiting = new AbortController();
    const waits = await testPolicy(joins, { fetch: () => new Promise<never>(() => {}) });
    const answer = waits.handle({ signal: waiting.signal });
    waiting.abort();
    await expect(answer).rejects.toMatchObject({ code: 'aborted' });
  });

  test('a hook that the policy does not have cannot be run', async () => {
    const harness = await testPolicy(definePolicy({ handle: () => respond() }));
    await expect(harness.decide()).rejects.toThrow('the policy has no decide');
    const wrong = await testPolicy(definePolicy({ handle: () => allow() as never }));
    await expect(wrong.handle()).rejects.toThrow(/handle returned what is no answer/);
  });
});
