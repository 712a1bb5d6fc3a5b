// What the configuration takes, the core takes too: odd but right values, and each limit at its end.
import { describe, expect, it } from 'vitest';
import { compileSnapshot, MetricSlots } from '../../src/compile/index.js';
import { type ConfigInput, renderProblems } from '../../src/config/index.js';
import { checkRead } from '../../src/config/load.js';
import { readYaml } from '../../src/config/yamlSource.js';
import { checkSnapshot } from '../../src/engine/addon.js';

type Parts = { [Key in keyof ConfigInput]?: unknown };

/** Through every check of TypeScript, then to the core. */
async function ask(parts: Parts): Promise<string> {
  const input = {
    listeners: [{ name: 'public', bind: '127.0.0.1:0' }],
    upstreams: [{ name: 'app', endpoints: ['10.0.0.1:80'] }],
    ...parts,
  };
  const loaded = checkRead('config.yaml', readYaml(JSON.stringify(input), 'config.yaml', {}));
  if (!loaded.ok) return renderProblems(loaded.problems);
  const resolve = async () => '2001:db8::1';
  const compiled = await compileSnapshot(loaded.config, {
    version: 1,
    slots: new MetricSlots(),
    resolve,
  });
  if (!compiled.ok) return renderProblems(compiled.problems);
  try {
    checkSnapshot(compiled.bytes);
    return 'taken';
  } catch (error) {
    return String(error);
  }
}

const route = (parts: object) => ({ routes: [{ name: 'r', upstream: 'app', ...parts }] });
const answer = (parts: object) => ({ routes: [{ name: 'r', ...parts }] });
const listener = (parts: object) => ({
  listeners: [{ name: 'public', bind: '127.0.0.1:0', ...parts }],
});
const upstream = (parts: object) => ({
  upstreams: [{ name: 'app', endpoints: ['10.0.0.1:80'], ...parts }],
});
const many = <T>(count: number, make: (index: number) => T) =>
  Array.from({ length: count }, (_, i) => make(i));

describe('the core takes', () => {
  it.each<[string, Parts]>([
    ['names', { ...route({ name: `a${'.-_:'.repeat(31)}Z` }), ...listener({ name: '0' }) }],
    [
      'hosts',
      route({
        match: {
          host: [
            'a',
            '_a.b',
            '*.c',
            '*',
            '[2001:DB8::1]',
            '10.0.0.1',
            'b\u00fccher.example',
            'UPPER.',
          ],
        },
      }),
    ],
    [
      'paths',
      route({
        match: {
          path: [
            '/',
            '/*',
            '/a:b/c.d~e',
            '/!$&\'()+,;=@|<>"^`{',
            '/:a/:b_1/*',
            '/caf\u00e9 x',
            '/%2f'.replace('%2f', '%3F'),
            { regex: '^/(?<x>a|b){1,3}$' },
          ],
        },
      }),
    ],
    [
      'paths with slashes that a listener keeps',
      {
        ...listener({ paths: { mergeSlashes: false, escapedSlashes: 'keep' } }),
        ...route({ match: { path: ['/a//b', '/a%2Fb', '/a%5Cb/:c'] } }),
      },
    ],
    ['methods', route({ match: { methods: ['GET', 'M-SEARCH', '!#$%&', 'PURGE'] } })],
    [
      'headers',
      route({
        match: {
          headers: {
            "X!#$%&'*+.^_`|~": 'a',
            a: { regex: '^\\d+$' },
            b: { exact: '' },
            c: '\u00e4',
            d: { absent: true },
          },
        },
      }),
    ],
    [
      'query parameters',
      route({
        match: { query: { 'a b': 'c d', '\u00e4': { prefix: 'x' }, q: { present: true } } },
      }),
    ],
    [
      'networks',
      route({
        match: { clients: ['0.0.0.0/0', '::/0', '10.0.0.1', '::ffff:10.0.0.0/104', 'fe80::/10'] },
      }),
    ],
    [
      'priorities',
      {
        routes: [-1000, 0, 1000].map((priority) => ({
          name: `r${priority + 1000}`,
          priority,
          match: { path: `/p${priority + 1000}` },
          upstream: 'app',
        })),
      },
    ],
    [
      'rewrites',
      route({
        match: { path: '/a/:id/*' },
        rewrite: {
          path: '/%41/{id}/{tail}?a={query}&b={client.address}{?query}',
          host: '[::1]:80',
        },
      }),
    ],
    [
      'stripped prefixes',
      route({
        match: { path: '/caf\u00e9/*' },
        rewrite: { stripPrefix: '/caf\u00e9', host: '{header.x-a}.{host}' },
      }),
    ],
    [
      'header values',
      route({
        headers: {
          request: {
            set: { 'X-A': '\t\u00e4 "{{{request.id}}}"', 'x-empty': '' },
            add: { 'x-b': many(60, (i) => `${i}`) },
          },
          response: { remove: ['server', 'DATE', 'set-cookie'] },
        },
      }),
    ],
    [
      'locations',
      answer({ redirect: { status: 303, location: "/a?b=%20#c[d]!$&'()*+,;=:@-._~{header.x}" } }),
    ],
    [
      'bodies',
      answer({
        respond: {
          status: 599,
          headers: { 'content-type': 'text/plain' },
          body: '\0\r\n\u{1f600} {{}}',
        },
      }),
    ],
    ['an answer of nothing', answer({ respond: {} })],
    [
      'endpoints',
      upstream({
        endpoints: [
          '[2001:db8::1]:65535',
          'a_b.example.:1',
          'localhost:80',
          `unix:/${'a'.repeat(106)}`,
          { address: '10.0.0.2:1', weight: 256 },
        ],
      }),
    ],
    ['hosts for endpoints', upstream({ hostHeader: 'Example.com:8443' })],
    ['pseudonyms', listener({ forwarding: { via: "a!#$%&'*+-.^_`|~1" } })],
    [
      'addresses to bind',
      listener({ bind: ['0.0.0.0:1', '[::]:1', '[::1]:0', '127.0.0.1:0', 'unix:/tmp/a b.sock'] }),
    ],
    [
      'listeners of one name, for a route',
      {
        listeners: [
          { name: 'a', bind: ['127.0.0.1:1', '127.0.0.1:2'] },
          { name: 'b', bind: '127.0.0.1:3' },
        ],
        ...route({ listeners: ['b', 'a'] }),
      },
    ],
    ['no access log', { accessLog: false, admin: false }],
    ['an access log in a file', { accessLog: { format: 'common', output: 'logs/a b.log' } }],
  ])('%s', async (_, parts) => {
    expect(await ask(parts)).toBe('taken');
  });

  it('the least of every limit', async () => {
    const parts = {
      ...listener({
        limits: { requestLine: 64, headerBytes: '1KiB', headerCount: 1, body: 0 },
        timeouts: { head: '1ms', body: '1ms', idle: '1ms', write: '1ms' },
        maxRequests: 1,
      }),
      ...upstream({
        timeouts: { connect: '1ms', firstByte: '1ms', idle: '1ms', tunnel: '1ms' },
        pool: {
          maxIdle: 0,
          idleTimeout: '1ms',
          maxAge: '1ms',
          maxRequests: 1,
          maxStreams: 1,
          pingInterval: '1ms',
          pingTimeout: '1ms',
        },
        limits: { responseHeaderBytes: '1KiB', responseHeaderCount: 1 },
        retries: { attempts: 0 },
        health: { passive: { failures: 1, downFor: '1ms' } },
      }),
      ...route({ timeouts: { request: '1ms' }, limits: { body: 0 } }),
    };
    expect(await ask(parts)).toBe('taken');
  });

  it('the most of every limit', async () => {
    const parts = {
      ...listener({
        limits: {
          requestLine: '64KiB',
          headerBytes: '64KiB',
          headerCount: 256,
          body: '8388607GiB',
        },
        timeouts: { head: '8784h', body: 'unlimited', idle: 'unlimited', write: 'unlimited' },
        maxRequests: 1_000_000_000,
      }),
      ...upstream({
        timeouts: {
          connect: '8784h',
          firstByte: 'unlimited',
          idle: 'unlimited',
          tunnel: 'unlimited',
        },
        pool: {
          maxIdle: 65_535,
          idleTimeout: '8784h',
          maxAge: 'unlimited',
          maxRequests: 'unlimited',
          maxStreams: 10_000,
          pingInterval: 'unlimited',
          pingTimeout: '8784h',
        },
        limits: { responseHeaderBytes: '64KiB', responseHeaderCount: 256 },
        retries: { attempts: 10 },
        health: { passive: { failures: 1000, downFor: '8784h' } },
      }),
      ...route({
        timeouts: {
          request: 'unlimited',
          firstByte: 'unlimited',
          idle: 'unlimited',
          tunnel: 'unlimited',
        },
      }),
    };
    expect(await ask(parts)).toBe('taken');
  });

  it('1,024 endpoints of an upstream; the schema refuses one more', async () => {
    const endpoints = many(1024, (i) => `10.0.${i >> 8}.${i & 255}:80`);
    expect(await ask(upstream({ endpoints }))).toBe('taken');
    expect(await ask(upstream({ endpoints: [...endpoints, '10.1.0.0:80'] }))).toContain(
      'upstreams[0].endpoints: expected at most 1024 endpoints',
    );
  });

  it('2,000 routes', async () => {
    const routes = many(2000, (i) => ({
      name: `r${i}`,
      priority: i % 2,
      match: { host: `h${i % 100}.example`, path: `/p${i}/:id` },
      upstream: 'app',
    }));
    expect(await ask({ routes })).toBe('taken');
  });
});
