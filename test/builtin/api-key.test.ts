// The policy `api-key` on made-up requests.
import { describe, expect, test } from 'vitest';
import apiKey from '../../src/policies/api-key/index.js';
import { type MadeUpRequest, testPolicy } from '../../src/policy/testing/index.js';
import { known, sha256, withConsumers } from './support.js';

const ada = known({
  id: 'ada',
  name: 'Ada L.',
  groups: ['staff', 'beta'],
  tags: ['gold'],
  credentials: { apiKeys: [sha256('ada-key-1'), sha256('ada-key-2')] },
});
const bob = known({ id: 'bob', credentials: { apiKeys: [sha256('bob-key-1')] } });
const guest = known({ id: 'guest', groups: ['guests'] });

type Options = NonNullable<Parameters<typeof testPolicy<typeof apiKey.options>>[1]>['options'];

async function decide(request: MadeUpRequest, options: Options = {}) {
  const harness = await testPolicy(withConsumers(apiKey, [ada, bob, guest]), { options });
  return harness.decide(request);
}

const withKey = (key: string, more: Record<string, string> = {}): MadeUpRequest => ({
  headers: { 'x-api-key': key, ...more },
});

describe('a request with a key', () => {
  test('goes on as the consumer that has it', async () => {
    const { verdict, upstream } = await decide(withKey('ada-key-2'));
    expect(verdict.consumer).toEqual({
      id: 'ada',
      name: 'Ada L.',
      groups: ['staff', 'beta'],
      tags: ['gold'],
      credential: sha256('ada-key-2').slice(0, 12),
    });
    expect(verdict.replayFor).toBe(30_000);
    expect(upstream?.headers).toEqual({
      host: 'localhost',
      'x-consumer-id': 'ada',
      'x-consumer-name': 'Ada L.',
      'x-consumer-groups': 'staff, beta',
      'x-credential-id': sha256('ada-key-2').slice(0, 12),
    });
  });

  test('cannot say itself who it is', async () => {
    const forged = {
      'X-Consumer-Name': 'root',
      'x-consumer-groups': 'admin',
      'x-anonymous-consumer': 'true',
    };
    const { upstream } = await decide(withKey('bob-key-1', { 'x-consumer-id': 'ada', ...forged }));
    expect(upstream?.headers).toEqual({
      host: 'localhost',
      'x-consumer-id': 'bob',
      'x-credential-id': sha256('bob-key-1').slice(0, 12),
    });
  });

  test('tells the upstream nothing where it is not to', async () => {
    const { upstream } = await decide(withKey('bob-key-1', { 'x-consumer-id': 'mine' }), {
      identityHeaders: false,
    });
    expect(upstream?.headers).toEqual({ host: 'localhost', 'x-consumer-id': 'mine' });
  });

  test('keeps the key where it is not to be hidden', async () => {
    const { upstream } = await decide(withKey('bob-key-1'), { hide: false });
    expect(upstream?.headers['x-api-key']).toBe('bob-key-1');
  });

  test('is not decided anew for as long as replayFor says', async () => {
    expect((await decide(withKey('bob-key-1'), { replayFor: '5m' })).verdict.replayFor).toBe(
      300_000,
    );
    expect((await decide(withKey('bob-key-1'), { replayFor: 0 })).verdict.replayFor).toBe(0);
    expect((await decide(withKey('none'), { replayFor: 0 })).verdict.replayFor).toBe(0);
  });
});

describe('a request without a known key', () => {
  test.each([
    ['without a key', {}, 'the request has no API key'],
    ['with an empty key', withKey(''), 'the request has no API key'],
    ['with a wrong key', withKey('ada-key-3'), 'the API key is not a known one'],
    [
      'with two keys in two lines',
      { headers: { 'x-api-key': ['ada-key-1', 'bob-key-1'] } },
      'the API key is not a known one',
    ],
    ['with the hash of a key', withKey(sha256('ada-key-1')), 'the API key is not a known one'],
  ])('%s is refused', async (_, request, reason) => {
    const { verdict, answer, upstream } = await decide(request, { realm: 'shop' });
    expect(upstream).toBeUndefined();
    expect(answer).toEqual({ status: 401, headers: { 'www-authenticate': 'ApiKey realm="shop"' } });
    expect(verdict).toMatchObject({ reason, replayFor: 5000, consumer: undefined });
  });

  test('goes on as the anonymous consumer, of the configuration or not', async () => {
    const { verdict, upstream } = await decide(
      { headers: { 'x-consumer-id': 'root' } },
      { anonymous: 'guest' },
    );
    expect(verdict.consumer).toMatchObject({ id: 'guest', groups: ['guests'] });
    expect(upstream?.headers).toEqual({
      host: 'localhost',
      'x-consumer-id': 'guest',
      'x-consumer-groups': 'guests',
      'x-anonymous-consumer': 'true',
    });
    expect((await decide({}, { anonymous: 'nobody' })).verdict.consumer).toEqual({ id: 'nobody' });
  });

  test('is refused for a wrong key even where there is an anonymous consumer', async () => {
    expect((await decide(withKey('wrong-key'), { anonymous: 'guest' })).answer?.status).toBe(401);
  });

  test('stays whom an earlier policy found out', async () => {
    const request = { consumer: { id: 'eve' }, headers: { 'x-consumer-id': 'eve' } };
    const { verdict, upstream } = await decide(request, { anonymous: 'guest' });
    expect(verdict.consumer).toBeUndefined();
    expect(upstream?.headers).toEqual({ host: 'localhost', 'x-consumer-id': 'eve' });
  });

  test('passes as a preflight, and says nothing of itself', async () => {
    const request = { method: 'OPTIONS', headers: { 'x-consumer-id': 'root' } };
    const { verdict, upstream } = await decide(request);
    expect(verdict).toMatchObject({ kind: 'allow', consumer: undefined });
    expect(upstream?.headers).toEqual({ host: 'localhost' });
    expect((await decide(request, { onPreflight: true })).answer?.status).toBe(401);
  });
});

describe('a key may stand', () => {
  test('in any of several headers', async () => {
    const options = { header: ['X-Key', 'apikey'] };
    const { verdict, upstream } = await decide({ headers: { ApiKey: 'bob-key-1' } }, options);
    expect(verdict.consumer?.id).toBe('bob');
    expect(upstream?.headers['apikey']).toBeUndefined();
    expect((await decide(withKey('bob-key-1'), options)).answer?.status).toBe(401);
  });

  test('behind a prefix', async () => {
    const options = { header: 'authorization', prefix: 'ApiKey ' };
    const send = (authorization: string, more: Options = {}) =>
      decide({ headers: { authorization } }, { ...options, ...more });
    const { verdict, upstream } = await send('apikey  bob-key-1');
    expect(verdict.consumer?.id).toBe('bob');
    expect(upstream?.headers['authorization']).toBeUndefined();
    expect((await send('bob-key-1')).verdict).toMatchObject({
      reason: 'the request has no API key',
    });
    const other = await send('Bearer a.b.c', { anonymous: 'guest' });
    expect(other.upstream?.headers['authorization']).toBe('Bearer a.b.c');
  });

  test('in the query, from which it is taken', async () => {
    const options = { query: ['key', 'apikey'] };
    const { verdict, upstream } = await decide({ url: '/a?x=1&apikey=bob-key-1&y=2' }, options);
    expect(verdict.consumer?.id).toBe('bob');
    expect(upstream?.query).toBe('x=1&y=2');
    const kept = await decide({ url: '/a?apikey=bob-key-1' }, { ...options, hide: false });
    expect(kept.upstream?.query).toBe('apikey=bob-key-1');
    expect((await decide(withKey('bob-key-1'), options)).answer?.status).toBe(401);
  });

  test('in a cookie, from which it is taken', async () => {
    const send = (cookie: string | string[], hide = true) =>
      decide({ headers: { cookie } }, { cookie: 'key', hide });
    const { verdict, upstream } = await send(['a=1; key="bob-key-1"', 'b=2']);
    expect(verdict.consumer?.id).toBe('bob');
    expect(upstream?.headers['cookie']).toBe('a=1; b=2');
    expect((await send('key=bob-key-1')).upstream?.headers['cookie']).toBeUndefined();
    expect((await send('key=bob-key-1', false)).upstream?.headers['cookie']).toBe('key=bob-key-1');
    expect((await send('monkey=bob-key-1')).answer?.status).toBe(401);
  });

  test('in several places: headers go first, and all of them are cleared', async () => {
    const request = {
      url: '/?key=bob-key-1',
      headers: { 'x-api-key': 'ada-key-1', cookie: 'key=bob-key-1' },
    };
    const options = { header: 'x-api-key', query: 'key', cookie: 'key' };
    const harness = await testPolicy(withConsumers(apiKey, [ada, bob]), { options });
    const { verdict, upstream } = await harness.decide(request);
    expect(verdict.consumer?.id).toBe('ada');
    expect(upstream).toMatchObject({ query: '' });
    expect(upstream?.headers['cookie']).toBeUndefined();
    expect(upstream?.headers['x-api-key']).toBeUndefined();
    // What one request is rid of is not what the next one is rid of.
    const next = await harness.decide({ headers: { 'x-api-key': 'ada-key-1', cookie: 'a=1' } });
    expect(next.upstream?.headers['cookie']).toBe('a=1');
    expect((await harness.decide(request)).upstream?.headers['cookie']).toBeUndefined();
  });
});

describe('keys of the policy itself', () => {
  const consumer = { id: 'own', groups: ['staff'] };

  test('are known beside those of consumers, plain or hashed', async () => {
    const keys = [
      { key: 'plain-key-1', consumer },
      { sha256: sha256('hashed-key-1').toUpperCase(), consumer },
    ];
    for (const key of ['plain-key-1', 'hashed-key-1']) {
      const credential = sha256(key).slice(0, 12);
      const { verdict } = await decide(withKey(key), { keys });
      expect(verdict.consumer).toEqual({ ...consumer, credential });
    }
    expect((await decide(withKey('bob-key-1'), { keys })).verdict.consumer?.id).toBe('bob');
  });

  test('are nobody else’s', async () => {
    const keys = [{ key: 'bob-key-1', consumer }];
    await expect(decide({}, { keys })).rejects.toThrow('keys[0] is one of another consumer');
  });
});

describe('groups', () => {
  test('decide who may pass; what is denied goes first', async () => {
    const status = async (key: string, options: Options) =>
      (await decide(key === '' ? {} : withKey(key), options)).answer?.status ?? 200;
    expect(await status('ada-key-1', { allowGroups: ['staff'] })).toBe(200);
    expect(await status('bob-key-1', { allowGroups: ['staff'] })).toBe(403);
    expect(await status('ada-key-1', { denyGroups: ['beta'] })).toBe(403);
    expect(await status('ada-key-1', { allowGroups: ['staff'], denyGroups: ['beta'] })).toBe(403);
    expect(await status('bob-key-1', { denyGroups: ['beta'] })).toBe(200);
    expect(await status('', { anonymous: 'guest', allowGroups: ['staff'] })).toBe(403);
    expect(await status('', { anonymous: 'guest', allowGroups: ['guests'] })).toBe(200);
  });
});
