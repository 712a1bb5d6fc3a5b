// The policy `rate-limit` on made-up requests, with the counters of `tidegate/testing`.
import { describe, expect, test } from 'vitest';
import rateLimit from '../../src/policies/rate-limit/index.js';
import { type MadeUpRequest, testPolicy } from '../../src/policy/testing/index.js';

type Options = NonNullable<
  NonNullable<Parameters<typeof testPolicy<typeof rateLimit.options>>[1]>['options']
>;

const harnessOf = (options: Options) => testPolicy(rateLimit, { options, name: 'limit' });

/** `allowed` is how many of so many requests go on. */
async function allowed(options: Options, requests: readonly MadeUpRequest[]): Promise<boolean[]> {
  const harness = await harnessOf(options);
  const results: boolean[] = [];
  for (const request of requests)
    results.push((await harness.decide(request)).answer === undefined);
  return results;
}

async function keyOf(options: Omit<Options, 'limits'>, request: MadeUpRequest): Promise<string> {
  const harness = await harnessOf({ limits: [{ count: 1, per: '1s' }], ...options });
  return (await harness.decide(request)).verdict.charges[0]?.key ?? 'none';
}

describe('a request past the limit', () => {
  test('is answered 429, and 429 only until time has passed', async () => {
    const harness = await harnessOf({
      limits: [{ count: 2, per: '1m', algorithm: 'fixed-window' }],
    });
    expect((await harness.decide()).answer).toBeUndefined();
    expect((await harness.decide()).answer).toBeUndefined();
    expect((await harness.decide()).answer).toEqual({
      status: 429,
      headers: { 'retry-after': '60' },
    });
    harness.clock.advance('1m');
    expect((await harness.decide()).answer).toBeUndefined();
  });

  test('is answered as the options say', async () => {
    const harness = await harnessOf({
      limits: [{ count: 1, per: '1h', name: 'hourly' }],
      status: 503,
      reason: 'come back later',
      headers: 'ratelimit',
      replayFor: '10s',
    });
    const { verdict } = await harness.decide();
    expect(verdict.charges).toEqual([
      {
        limit: { kind: 'sliding-window', count: 1, window: 3_600_000 },
        key: 'limit|no consumer address=9:127.0.0.1',
        cost: 1,
        name: 'hourly',
        headers: 'ratelimit',
        status: 503,
        reason: 'come back later',
      },
    ]);
    expect(verdict.replayFor).toBe(10_000);
    expect((await harness.decide()).answer?.status).toBe(503);
  });
});

test.each([
  [{ count: 5, per: '1s' }, { kind: 'sliding-window', count: 5, window: 1000 }, '1s'],
  [{ count: 5, window: '1m' }, { kind: 'sliding-window', count: 5, window: 60_000 }, '1m'],
  [
    { count: 5, per: 60_000, algorithm: 'fixed-window' as const },
    { kind: 'fixed-window', count: 5, window: 60_000 },
    '1m',
  ],
  [
    { count: 5, per: '1s', algorithm: 'gcra' as const, burst: 9 },
    { kind: 'gcra', count: 5, per: 1000, burst: 9 },
    '1s',
  ],
  [{ count: 5, period: 'day' as const }, { kind: 'quota', count: 5, period: 'day' }, 'day'],
  [
    { count: 5, algorithm: 'concurrency' as const },
    { kind: 'concurrency', count: 5 },
    'concurrency',
  ],
])('%o is a limit', async (written, limit, name) => {
  const harness = await harnessOf({ limits: [written] });
  const { verdict } = await harness.decide();
  expect(verdict.charges).toMatchObject([{ limit, name, headers: 'both', status: 429 }]);
});

test('several limits hold at once, and one that is used up charges none of them', async () => {
  const harness = await harnessOf({
    limits: [
      { count: 2, per: '1s', algorithm: 'fixed-window' },
      { count: 3, per: '1h', algorithm: 'fixed-window' },
    ],
  });
  const ask = async () => (await harness.decide()).answer === undefined;
  expect([await ask(), await ask(), await ask(), await ask()]).toEqual([true, true, false, false]);
  harness.clock.advance('1s');
  expect([await ask(), await ask()]).toEqual([true, false]);
});

test('what is under way at once is given back at its end', async () => {
  const harness = await harnessOf({ limits: [{ count: 1, algorithm: 'concurrency' }] });
  const first = await harness.decide();
  expect((await harness.decide()).answer?.status).toBe(429);
  first.end();
  expect((await harness.decide()).answer).toBeUndefined();
});

describe('requests are counted', () => {
  const limits: Options['limits'] = [{ count: 1, per: '1h' }];

  test('by consumer, and by address where there is none', async () => {
    expect(
      await allowed({ limits }, [
        { consumer: { id: 'a' } },
        { consumer: { id: 'a' }, client: '10.0.0.2' },
        { consumer: { id: 'b' } },
        {},
        {},
        { client: '10.0.0.2' },
        // A consumer whose id is an address is not that address.
        { consumer: { id: '127.0.0.1' } },
      ]),
    ).toEqual([true, false, true, true, false, true, true]);
  });

  test('by credential of a consumer, and by address where none is known', async () => {
    const request = (id: string, credential?: string) => ({ consumer: { id, credential } });
    expect(
      await allowed({ limits, by: 'credential' }, [
        request('a', 'k1'),
        request('a', 'k2'),
        request('a', 'k1'),
        request('b', 'k1'),
        // Nobody's id makes it somebody else's credential.
        request('1a', 'k'),
        request('a', 'k1'),
        request('a'),
        {},
      ]),
    ).toEqual([true, true, false, true, true, false, true, false]);
  });

  test('by any part of the request', async () => {
    const one = (by: Options['by'], request: MadeUpRequest) => keyOf({ by }, request);
    expect(await one('address', { client: '2001:db8::1' })).toBe('limit|address=11:2001:db8::1');
    expect(await one('route', { routeName: 'r' })).toBe('limit|route=1:r');
    expect(await one('host', { url: 'http://A.example/' })).toBe('limit|host=9:a.example');
    expect(await one('method', { method: 'PUT' })).toBe('limit|method=3:PUT');
    expect(await one('path', { url: '/a?b' })).toBe('limit|path=2:/a');
    expect(await one({ header: 'X-T' }, { headers: { 'x-t': 'v' } })).toBe('limit|header=1:v');
    expect(await one({ cookie: 'c' }, { headers: { cookie: 'c=v' } })).toBe('limit|cookie=1:v');
    expect(await one({ query: 'q' }, { url: '/?q=v' })).toBe('limit|query=1:v');
    expect(await one({ param: 'id' }, { params: { id: 'v' } })).toBe('limit|param=1:v');
    expect(await one('scheme', { url: 'https://a.example/' })).toBe('limit|scheme=5:https');
    expect(await one({ tls: 'ja4' }, { tls: { ja4: 't13d' } })).toBe('limit|tls=4:t13d');
    expect(await one({ tls: 'ja4' }, {})).toBe('limit|no tls address=9:127.0.0.1');
    const attributes = { plans: { tier: 7 } };
    expect(await one({ attribute: { policy: 'plans', name: 'tier' } }, { attributes })).toBe(
      'limit|attribute=1:7',
    );
  });

  test('by several parts, which cannot be taken for one another', async () => {
    const by = [{ header: 'a' }, { header: 'b' }];
    const keys = await Promise.all([
      keyOf({ by }, { headers: { a: 'a', b: 'bc' } }),
      keyOf({ by }, { headers: { a: 'ab', b: 'c' } }),
      keyOf({ by }, { headers: { a: 'a|header=2:bc', b: '' } }),
      keyOf({ by }, { headers: { b: 'bc' } }),
      keyOf({ by, fallback: 'route' }, { headers: { b: 'bc' } }),
      keyOf({ by: [...by].reverse() }, { headers: { a: 'a', b: 'bc' } }),
    ]);
    expect(new Set(keys).size).toBe(keys.length);
  });

  test('by long values too', async () => {
    const by = { header: 'a' };
    const long = (end: string) => keyOf({ by }, { headers: { a: '€'.repeat(2000) + end } });
    expect(await long('1')).toBe(await long('1'));
    expect(await long('1')).not.toBe(await long('2'));
    expect(Buffer.byteLength(await long('1'))).toBeLessThan(64);
  });

  test('by route beside that, where each route is to have its own', async () => {
    expect(
      await allowed({ limits, scope: 'route' }, [
        { routeName: 'a' },
        { routeName: 'b' },
        { routeName: 'a' },
      ]),
    ).toEqual([true, true, false]);
    expect(await allowed({ limits }, [{ routeName: 'a' }, { routeName: 'b' }])).toEqual([
      true,
      false,
    ]);
  });

  test('not at all where they have not what they are counted by, if that is wanted', async () => {
    const options: Options = { limits, by: { header: 'x-key' }, fallback: 'none' };
    expect(
      await allowed(options, [
        {},
        {},
        { headers: { 'x-key': 'a' } },
        { headers: { 'x-key': 'a' } },
      ]),
    ).toEqual([true, true, true, false]);
  });
});

describe('a request costs', () => {
  const costs = async (cost: Options['cost'], request: MadeUpRequest) => {
    const harness = await harnessOf({ limits: [{ count: 10, per: '1s' }], cost });
    return (await harness.decide(request)).verdict.charges[0]?.cost;
  };

  test('what the options say', async () => {
    expect(await costs(undefined, {})).toBe(1);
    expect(await costs(5, {})).toBe(5);
  });

  test.each([
    ['7', 7],
    ['0', 1],
    ['-5', 1],
    ['1.5', 1],
    ['', 1],
    ['many', 1],
    ['999999999', 2 ** 20],
  ])('what a header says, which cannot make it free: %s', async (value, cost) => {
    expect(await costs({ header: 'x-cost' }, { headers: { 'x-cost': value } })).toBe(cost);
    const attributes = { prices: { cost: value } };
    expect(await costs({ attribute: { policy: 'prices', name: 'cost' } }, { attributes })).toBe(
      cost,
    );
  });
});

describe('options that are none', () => {
  test.each([
    [[], 'at least one limit'],
    [[{ count: 1 }], 'expected per for sliding-window'],
    [[{ count: 1, per: '1s', window: '1s' }], 'expected per or window, not both'],
    [[{ count: 1, per: '1s', burst: 2 }], 'expected no burst for sliding-window'],
    [[{ count: 1, per: '1s', period: 'day' as const }], 'expected no per for quota'],
    [[{ count: 1, algorithm: 'quota' as const }], 'expected period for quota'],
    [[{ count: 1, per: '10ms' }], 'limits.0.per: expected a duration from 1s to 366 days'],
    [[{ count: 1, window: 'soon' }], 'limits.0.window: expected a duration such as'],
    [
      [{ count: 2 ** 30, per: '1s' }],
      'limits.0.count: expected a whole number from 1 to 8388607 (fixed windows and quotas take more)',
    ],
    [
      [
        { count: 1, per: '1s' },
        { count: 2, window: 1000 },
      ],
      'would share a counter',
    ],
  ])('%o: %s', async (limits, message) => {
    await expect(harnessOf({ limits })).rejects.toThrow(message);
  });
});
