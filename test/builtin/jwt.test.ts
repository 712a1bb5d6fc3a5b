// The policy `jwt` on made-up requests, with keys that are made here and a server of the test's own that publishes them.
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { base64url, exportJWK, type JWK, SignJWT } from 'jose';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import jwt from '../../src/policies/jwt/index.js';
import type { KnownConsumer } from '../../src/policy/knownConsumer.js';
import { type MadeUpRequest, testPolicy } from '../../src/policy/testing/index.js';
import { known, withConsumers } from './support.js';

const now = Date.parse('2026-01-01T00:00:00Z') / 1000;
const secret = 'a secret of thirty-two bytes, or more';
const otherSecret = 'another secret of thirty-two bytes at least';
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const otherRsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const ed = generateKeyPairSync('ed25519');
const pemOf = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }).toString();

type Options = NonNullable<
  NonNullable<Parameters<typeof testPolicy<typeof jwt.options>>[1]>['options']
>;

async function sign(
  claims: Record<string, unknown> = {},
  key: KeyObject | string = secret,
  header: { alg: string; kid?: string } = { alg: 'HS256' },
): Promise<string> {
  const token = new SignJWT({ sub: 'ada', exp: now + 3600, ...claims }).setProtectedHeader(header);
  return token.sign(typeof key === 'string' ? Buffer.from(key) : key);
}

const withSecret: Options = { algorithms: ['HS256'], keys: { secret } };

const harnessOf = (options: Options, consumers: readonly KnownConsumer[] = []) =>
  testPolicy(withConsumers(jwt, consumers), { options, now: now * 1000, name: 'tokens' });

async function decide(
  token: string | undefined,
  options: Options = withSecret,
  request: MadeUpRequest = {},
  consumers: readonly KnownConsumer[] = [],
) {
  const harness = await harnessOf(options, consumers);
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const outcome = await harness.decide({
    ...request,
    headers: { ...authorization, ...request.headers },
  });
  harness.close();
  return outcome;
}

async function refusal(token: string | undefined, options?: Options) {
  const { answer } = await decide(token, options);
  return `${answer?.status} ${answer?.headers['www-authenticate']}`;
}

const invalid = (why: string) =>
  `401 Bearer realm="tidegate", error="invalid_token", error_description="the token ${why}"`;

describe('a token that holds', () => {
  test('says who the request is from', async () => {
    const token = await sign({ name: 'ignored' });
    const { verdict, upstream } = await decide(token, withSecret, {
      headers: { 'x-consumer-id': 'root', 'x-consumer-groups': 'admin' },
    });
    expect(verdict).toMatchObject({ consumer: { id: 'ada' }, replayFor: 60_000, staleIfError: 0 });
    expect(upstream?.headers).toEqual({
      host: 'localhost',
      authorization: `Bearer ${token}`,
      'x-consumer-id': 'ada',
      'x-credential-id': expect.stringMatching(/^[0-9a-f]{12}$/),
    });
  });

  test.each([
    ['HS512', `${secret}${secret}`, { secret: `${secret}${secret}` }],
    ['RS256', rsa.privateKey, { publicKey: pemOf(rsa.publicKey) }],
    ['PS256', rsa.privateKey, { publicKey: pemOf(rsa.publicKey) }],
    ['ES256', ec.privateKey, { publicKey: pemOf(ec.publicKey) }],
    ['EdDSA', ed.privateKey, { publicKey: pemOf(ed.publicKey) }],
  ] as const)('may be signed with %s', async (algorithm, key, keys) => {
    const token = await sign({}, key, { alg: algorithm });
    const { verdict } = await decide(token, { algorithms: [algorithm], keys });
    expect(verdict.consumer?.id).toBe('ada');
  });

  test('may be verified by one of several keys of the configuration', async () => {
    const keys = {
      jwk: [
        { ...(await exportJWK(rsa.publicKey)), kid: 'one' },
        { ...(await exportJWK(ec.publicKey)), kid: 'two' },
      ],
    };
    const options: Options = { algorithms: ['RS256', 'ES256'], keys };
    const ofRsa = await sign({}, rsa.privateKey, { alg: 'RS256', kid: 'one' });
    const ofEc = await sign({}, ec.privateKey, { alg: 'ES256', kid: 'two' });
    expect((await decide(ofRsa, options)).verdict.kind).toBe('allow');
    expect((await decide(ofEc, options)).verdict.kind).toBe('allow');
    const stranger = await sign({}, otherRsa.privateKey, { alg: 'RS256', kid: 'three' });
    expect((await decide(stranger, options)).answer?.status).toBe(401);
  });

  test('is never replayed beyond its end', async () => {
    const times = async (claims: object, more: Partial<Options> = {}) => {
      const { verdict } = await decide(await sign({ ...claims }), { ...withSecret, ...more });
      return [verdict.replayFor, verdict.staleIfError];
    };
    const staleIfError = '10m';
    expect(await times({ exp: now + 20 })).toEqual([20_000, 0]);
    expect(await times({ exp: now + 90 }, { staleIfError })).toEqual([60_000, 30_000]);
    expect(await times({ exp: now + 90_000 }, { staleIfError })).toEqual([60_000, 600_000]);
    // Let through by the skew, and never again.
    expect(await times({ exp: now - 10 }, { staleIfError })).toEqual([0, 0]);
    expect(await times({ iat: now - 50 }, { maxAge: '1m' })).toEqual([10_000, 0]);
    expect(await times({}, { replayFor: 0 })).toEqual([0, 0]);
  });
});

describe('a token is refused', () => {
  test('that is not there, without telling of an error', async () => {
    expect(await refusal(undefined)).toBe('401 Bearer realm="tidegate"');
    const basic = await decide(undefined, withSecret, { headers: { authorization: 'Basic YTpi' } });
    expect(basic.answer?.headers['www-authenticate']).toBe('Bearer realm="tidegate"');
  });

  test.each([
    ['not.a.jwt', 'is no signed JWT'],
    ['a', 'is no signed JWT'],
    ['..', 'is no signed JWT'],
    ['a.b.c.d.e', 'is no signed JWT'],
  ])('that is none: %s', async (token, why) => {
    expect(await refusal(token)).toBe(invalid(why));
  });

  test('whose signature is wrong', async () => {
    expect(await refusal(await sign({}, otherSecret))).toBe(invalid('has a wrong signature'));
    const [head, , signature] = (await sign()).split('.');
    const body = base64url.encode(JSON.stringify({ sub: 'root', exp: now + 3600 }));
    expect(await refusal(`${head}.${body}.${signature}`)).toBe(invalid('has a wrong signature'));
  });

  test('that is not signed at all', async () => {
    const part = (value: object) => base64url.encode(JSON.stringify(value));
    for (const alg of ['none', 'None', 'NONE', '']) {
      const token = `${part({ alg })}.${part({ sub: 'root', exp: now + 3600 })}.`;
      expect((await decide(token)).answer?.status).toBe(401);
    }
  });

  test('that takes a public key for a secret', async () => {
    const pem = pemOf(rsa.publicKey);
    const token = await sign({ sub: 'root' }, pem, { alg: 'HS256' });
    const options: Options = { algorithms: ['RS256'], keys: { publicKey: pem } };
    expect(await refusal(token, options)).toBe(invalid('is signed with another algorithm'));
    const jwks: Options = { algorithms: ['RS256'], keys: { jwk: await exportJWK(rsa.publicKey) } };
    expect(await refusal(token, jwks)).toBe(invalid('is signed with another algorithm'));
  });

  test('outside its time', async () => {
    const at = async (claims: object, more: Partial<Options> = {}) =>
      refusal(await sign({ ...claims }), { ...withSecret, clockSkew: '10s', ...more });
    expect(await at({ exp: now - 9 })).toBe('undefined undefined');
    expect(await at({ exp: now - 11 })).toBe(invalid('has expired'));
    expect(await at({ nbf: now + 9 })).toBe('undefined undefined');
    expect(await at({ nbf: now + 11 })).toBe(invalid('has a claim nbf that is not accepted'));
    expect(await at({ iat: now - 71 }, { maxAge: '1m' })).toBe(invalid('has expired'));
    expect(await at({}, { maxAge: '1m' })).toBe(invalid('has no claim iat'));
    const lifetime = { maxLifetime: '1h', clockSkew: '10s' } as const;
    expect(await at({ exp: now + 3600 + 10 }, lifetime)).toBe('undefined undefined');
    expect(await at({ exp: now + 3600 + 11 }, lifetime)).toBe(invalid('is good for too long'));
    const none = { ...lifetime, requiredClaims: [] };
    expect(await at({ exp: undefined }, none)).toBe(invalid('has no claim exp'));
  });

  test('whose claims are not those that are wanted', async () => {
    const of = async (claims: object, more: Partial<Options>) =>
      (await refusal(await sign({ ...claims }), { ...withSecret, ...more })).replace(
        /.*description=/,
        '',
      );
    const ok = 'undefined undefined';
    expect(await of({ iss: 'a' }, { issuer: ['a', 'b'] })).toBe(ok);
    expect(await of({ iss: 'c' }, { issuer: ['a', 'b'] })).toContain('claim iss that is not');
    expect(await of({}, { issuer: 'a' })).toContain('has no claim iss');
    expect(await of({ aud: ['x', 'a'] }, { audience: 'a' })).toBe(ok);
    expect(await of({ aud: 'x' }, { audience: 'a' })).toContain('claim aud that is not');
    expect(await of({ exp: undefined }, {})).toContain('has no claim exp');
    expect(await of({ exp: undefined }, { requiredClaims: [] })).toBe(ok);
    expect(await of({}, { requiredClaims: ['tenant'] })).toContain('has no claim tenant');
    expect(await of({ role: 'admin' }, { claims: { role: 'admin' } })).toBe(ok);
    expect(await of({ role: ['user', 'admin'] }, { claims: { role: ['root', 'admin'] } })).toBe(ok);
    expect(await of({ role: 'user' }, { claims: { role: 'admin' } })).toContain('claim role that');
    expect(await of({ n: 1 }, { claims: { n: '1' } })).toContain('claim n that');
    expect(await of({ a: { b: true } }, { claims: { 'a.b': true } })).toBe(ok);
    expect(await of({}, { claims: { constructor: 'x' } })).toContain('claim constructor that');
    expect(await of({ sub: { a: 1 } }, {})).toContain('names a subject that cannot be one');
    expect(await of({ sub: 'a\nb' }, {})).toContain('names a subject that cannot be one');
  });

  test('without the scopes that are wanted, with 403', async () => {
    const of = async (claims: object, scopes: Options['scopes']) =>
      refusal(await sign({ ...claims }), { ...withSecret, scopes });
    const missing = (scope: string) =>
      `403 Bearer realm="tidegate", error="insufficient_scope", scope="${scope}"`;
    const ok = 'undefined undefined';
    expect(await of({ scope: 'a b c' }, ['a', 'b'])).toBe(ok);
    expect(await of({ scope: 'a bc' }, ['a', 'b'])).toBe(missing('a b'));
    expect(await of({}, ['a'])).toBe(missing('a'));
    expect(await of({ scp: ['a', 'b'] }, { all: ['b'] })).toBe(ok);
    expect(await of({ scp: 'b' }, { any: ['a', 'b'] })).toBe(ok);
    expect(await of({ scp: 'c' }, { any: ['a', 'b'] })).toBe(missing('a b'));
    expect(await of({ permissions: ['a'] }, { all: ['a'], claim: 'permissions' })).toBe(ok);
  });
});

describe('the consumer', () => {
  const ada = known({ id: 'ada', name: 'Ada', groups: ['staff'] });

  test('is that of the configuration, where it has one with that id', async () => {
    const token = await sign({ roles: ['dev', 'staff', 'a,b'] });
    const options: Options = { ...withSecret, groupsClaim: 'roles', consumers: 'known' };
    const { verdict } = await decide(token, options, {}, [ada]);
    expect(verdict.consumer).toMatchObject({ id: 'ada', name: 'Ada', groups: ['staff', 'dev'] });
    expect((await decide(token, options)).answer?.status).toBe(403);
  });

  test('is named by any claim, or by none', async () => {
    const options: Options = { ...withSecret, subjectClaim: 'act.client' };
    const { verdict } = await decide(await sign({ act: { client: 7 } }), options);
    expect(verdict.consumer).toMatchObject({ id: '7' });
    const { verdict: none, upstream } = await decide(await sign({ sub: undefined }), withSecret, {
      headers: { 'x-consumer-id': 'root' },
    });
    expect(none).toMatchObject({ kind: 'allow', consumer: undefined });
    expect(upstream?.headers['x-consumer-id']).toBeUndefined();
  });

  test('has one credential, whichever token of an issuer it has', async () => {
    const credential = async (claims: Record<string, unknown>) =>
      (await decide(await sign(claims), withSecret)).verdict.consumer?.credential;
    const first = await credential({ jti: '1', iss: 'a' });
    expect(first).toMatch(/^[0-9a-f]{12}$/);
    expect(await credential({ jti: '2', iss: 'a' })).toBe(first);
    expect(await credential({ jti: '1', iss: 'b' })).not.toBe(first);
  });

  test('passes by its groups', async () => {
    const status = async (options: Partial<Options>) =>
      (
        await decide(await sign({ roles: 'dev' }), {
          ...withSecret,
          groupsClaim: 'roles',
          ...options,
        })
      ).answer?.status ?? 200;
    expect(await status({ allowGroups: ['dev'] })).toBe(200);
    expect(await status({ allowGroups: ['ops'] })).toBe(403);
    expect(await status({ denyGroups: ['dev'] })).toBe(403);
  });

  test('is the one whose credential verifies the token', async () => {
    const consumers = [
      known({
        id: 'by-issuer',
        credentials: {
          jwt: [
            { issuer: 'i', algorithm: 'RS256', key: { kind: 'public', pem: pemOf(rsa.publicKey) } },
          ],
        },
      }),
      known({
        id: 'by-key',
        credentials: {
          jwt: [
            {
              keyId: 'k',
              algorithm: 'HS256',
              key: { kind: 'secret', secret: Buffer.from(secret).toString('base64') },
            },
          ],
        },
      }),
    ];
    const options: Options = { algorithms: ['RS256', 'HS256'], consumers: 'credential' };
    const of = async (token: string) => {
      const { verdict, answer } = await decide(token, options, {}, consumers);
      return (
        verdict.consumer?.id ?? answer?.headers['www-authenticate']?.replace(/.*the token /, '')
      );
    };
    const rs = (claims: object, key = rsa.privateKey) => sign({ ...claims }, key, { alg: 'RS256' });
    expect(await of(await rs({ iss: 'i', sub: 'root' }))).toBe('by-issuer');
    expect(await of(await sign({}, secret, { alg: 'HS256', kid: 'k' }))).toBe('by-key');
    expect(await of(await rs({ iss: 'i' }, otherRsa.privateKey))).toBe('has a wrong signature"');
    expect(await of(await rs({ iss: 'j' }))).toBe('is signed with a key that is not known"');
    // The public key of one, as if it were a secret.
    const confused = await sign({ iss: 'i' }, pemOf(rsa.publicKey), { alg: 'HS256' });
    expect(await of(confused)).toBe('is signed with a key that is not known"');
  });

  test('is the anonymous one where there is no token', async () => {
    const options: Options = { ...withSecret, anonymous: 'guest' };
    expect((await decide(undefined, options)).verdict.consumer).toEqual({ id: 'guest' });
    expect((await decide('wrong', options)).answer?.status).toBe(401);
    const earlier = await decide(undefined, options, { consumer: { id: 'eve' } });
    expect(earlier.verdict).toMatchObject({ kind: 'allow', consumer: undefined });
  });
});

describe('the upstream', () => {
  test('gets claims in headers, and never those of the client', async () => {
    const headers = {
      'X-Email': 'email',
      'x-roles': 'realm.roles',
      'x-admin': 'admin',
      'x-forged': 'none',
      'x-evil': 'evil',
      'x-object': 'o',
    };
    const claims = {
      email: 'ä@b',
      realm: { roles: ['a', 'b'] },
      admin: false,
      evil: 'a\r\nx-root: 1',
      o: { a: 'b' },
    };
    const { upstream } = await decide(
      await sign(claims),
      { ...withSecret, headers },
      {
        headers: { 'x-forged': '1', 'x-evil': '1' },
      },
    );
    expect(upstream?.headers).toMatchObject({
      'x-email': 'ä@b',
      'x-roles': 'a, b',
      'x-admin': 'false',
      'x-object': '{"a":"b"}',
    });
    expect(upstream?.headers).not.toHaveProperty('x-forged');
    expect(upstream?.headers).not.toHaveProperty('x-evil');
    expect(upstream?.headers).not.toHaveProperty('x-root');
  });

  test('does not get the token where it is hidden', async () => {
    const token = await sign();
    const options: Options = {
      ...withSecret,
      hide: true,
      header: ['authorization', 'x-token'],
      query: 'access_token',
      cookie: 'token',
    };
    const sent = async (request: MadeUpRequest) =>
      (await decide(undefined, options, request)).upstream;
    const bearer = await sent({ headers: { authorization: `bearer ${token}` } });
    expect(bearer?.headers).not.toHaveProperty('authorization');
    expect((await sent({ headers: { 'x-token': token } }))?.headers).not.toHaveProperty('x-token');
    expect((await sent({ url: `/?a=1&access_token=${token}` }))?.query).toBe('a=1');
    expect((await sent({ headers: { cookie: `a=1; token=${token}` } }))?.headers['cookie']).toBe(
      'a=1',
    );
  });
});

describe('keys that a URL publishes', () => {
  let server: Server;
  let url: string;
  let keys: JWK[];
  let fetches: number;
  let status: number;
  beforeEach(async () => {
    fetches = 0;
    status = 200;
    keys = [{ ...(await exportJWK(rsa.publicKey)), kid: 'one', alg: 'RS256', use: 'sig' }];
    server = createServer((_, response) => {
      fetches += 1;
      response.writeHead(status).end(JSON.stringify({ keys }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`;
  });
  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  const optionsOf = (more: object = {}): Options => ({
    algorithms: ['RS256'],
    keys: { jwks: url, cooldown: '0s', ...more },
  });
  const bearer = async (kid: string, key = rsa.privateKey): Promise<MadeUpRequest> => ({
    headers: { authorization: `Bearer ${await sign({}, key, { alg: 'RS256', kid })}` },
  });

  test('are fetched once for all requests', async () => {
    const harness = await harnessOf(optionsOf());
    const request = await bearer('one');
    const outcomes = await Promise.all([1, 2, 3].map(() => harness.decide(request)));
    expect(outcomes.map(({ verdict }) => verdict.kind)).toEqual(['allow', 'allow', 'allow']);
    expect(fetches).toBe(1);
  });

  test('are fetched again for a new one, but not more often than the cooldown allows', async () => {
    const harness = await harnessOf(optionsOf());
    const [old, rotated] = [await bearer('one'), await bearer('two', otherRsa.privateKey)];
    expect((await harness.decide(old)).verdict.kind).toBe('allow');
    expect((await harness.decide(rotated)).answer?.status).toBe(401);
    keys = [{ ...(await exportJWK(otherRsa.publicKey)), kid: 'two' }];
    expect((await harness.decide(rotated)).verdict.kind).toBe('allow');
    expect((await harness.decide(old)).answer?.status).toBe(401);

    const patient = await harnessOf(optionsOf({ cooldown: '1h' }));
    fetches = 0;
    for (let i = 0; i < 5; i += 1) {
      expect((await patient.decide(await bearer(`unknown ${i}`))).answer?.status).toBe(401);
    }
    expect(fetches).toBeLessThanOrEqual(1);
  });

  test('need not be there when the policy is set up', async () => {
    status = 503;
    const harness = await harnessOf(optionsOf());
    const request = await bearer('one');
    await expect(harness.decide(request)).rejects.toThrow(/cannot be fetched/);
    expect(harness.log).toContainEqual({
      level: 'warn',
      message: 'the keys cannot be fetched',
      fields: { url, reason: 'it answers 503', nextTryIn: 1000 },
    });
    // Nobody is asked again before the pause is over.
    const asked = fetches;
    await expect(harness.decide(request)).rejects.toThrow(/cannot be fetched/);
    expect(fetches).toBe(asked);
  });

  test('are used a while longer when they cannot be fetched', async () => {
    const short = { cacheFor: '1s', staleIfError: '1h' };
    const harness = await harnessOf(optionsOf(short));
    const request = await bearer('one');
    expect((await harness.decide(request)).verdict.kind).toBe('allow');
    status = 500;
    await new Promise((resolve) => setTimeout(resolve, 1100));
    expect((await harness.decide(request)).verdict.kind).toBe('allow');
    expect(harness.log.map(({ message }) => message)).toContain('the keys cannot be fetched');

    status = 200;
    const strict = await harnessOf(optionsOf({ cacheFor: '1s', staleIfError: '0s' }));
    expect((await strict.decide(request)).verdict.kind).toBe('allow');
    status = 500;
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await expect(strict.decide(request)).rejects.toThrow(/cannot be fetched/);
  });

  test('may come from several URLs, of which one may be down', async () => {
    const down = 'http://127.0.0.1:1/';
    const harness = await harnessOf(optionsOf({ jwks: [down, url] }));
    expect((await harness.decide(await bearer('one'))).verdict.kind).toBe('allow');
    const { answer } = await harness.decide(await bearer('two', otherRsa.privateKey));
    expect(answer).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
  });
});

describe('options that are none', () => {
  const pem = pemOf(rsa.publicKey);
  test.each<[Options, string]>([
    [{ algorithms: [], keys: { secret } }, 'at least one algorithm'],
    [{ algorithms: ['none' as never], keys: { secret } }, 'expected HS256'],
    [{ algorithms: ['HS256'] }, 'expected keys, or consumers: credential'],
    [{ algorithms: ['HS256'], keys: {} }, 'exactly one of jwks, secret, publicKey and jwk'],
    [{ algorithms: ['RS256'], keys: { publicKey: pem, jwks: 'https://a/' } }, 'exactly one of'],
    [
      { algorithms: ['RS256', 'HS256'], keys: { publicKey: pem } },
      'no HS256, HS384 and HS512 with',
    ],
    [{ algorithms: ['RS256'], keys: { secret } }, 'only HS256, HS384 and HS512 with a secret'],
    [{ algorithms: ['HS256'], keys: { secret: 'short' } }, 'at least 32 bytes for HS256'],
    [{ algorithms: ['ES256'], keys: { publicKey: pem } }, 'an EC key on the curve prime256v1'],
    [{ algorithms: ['RS256'], keys: { jwks: 'ftp://a/' } }, 'an http or https URL'],
    [{ algorithms: ['HS256'], keys: { jwk: { kty: 'oct', k: 'x' } } }, 'a public key as a JWK'],
    [{ ...withSecret, consumers: 'credential' }, 'no keys where consumers have them'],
  ])('%#: %s', async (options, message) => {
    await expect(harnessOf(options)).rejects.toThrow(message);
  });
});
