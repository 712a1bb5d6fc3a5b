// Paths and hosts are normalised once, before a route is looked for, and reach the origin in that form: no spelling of a path
// reaches it by a route that did not match it.
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo, get, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';

let origin: Origin;
let gateway: Gateway;

beforeAll(async () => {
  origin = await startOrigin((request, connection) => connection.respond(request.target));
  gateway = await startGateway(`
listeners:
  - { name: public, bind: "127.0.0.1:0" }
  - { name: keep, bind: "127.0.0.2:0", paths: { mergeSlashes: false, escapedSlashes: keep } }
  - { name: decode, bind: "127.0.0.3:0", paths: { escapedSlashes: decode } }
routes:
  - { name: admin, match: { path: "/admin/*" }, respond: { status: 403, body: "admin" } }
  - { name: all, match: { path: "/*" }, upstream: origin }
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`);
});

beforeEach(() => origin.clear());

describe('a path reaches the origin', () => {
  it.each([
    ['/', '/'],
    ['/a/b', '/a/b'],
    ['/a/b/', '/a/b/'],
    ['//a///b//', '/a/b/'],
    ['/./a/./b/.', '/a/b/'],
    ['/a/../b', '/b'],
    ['/a/b/..', '/a/'],
    ['/a/b/../', '/a/'],
    ['/a/./../b', '/b'],
    ['/%61%62', '/ab'],
    ['/%7Euser/%2Dx', '/~user/-x'],
    ['/%c3%a9', '/%C3%A9'],
    ['/a%20b', '/a%20b'],
    ['/%2e/a', '/a'],
    ['/a/%2e%2e/b', '/b'],
    ['/a/%2E./b', '/b'],
    ['/a;b=c/d', '/a;b=c/d'],
    ['/a%3fb', '/a%3Fb'],
    ['/a%23b', '/a%23b'],
    ['/a%25b', '/a%25b'],
    ['/...', '/...'],
    ['/a..b/.c', '/a..b/.c'],
    ['/a?b/../c//d', '/a?b/../c//d'],
    ['/a/../b?%61', '/b?%61'],
  ])('normalised: %s as %s', async (target, seen) => {
    const response = await get(gateway.address(), target);
    expect(response.status).toBe(200);
    expect(response.text).toBe(seen);
  });

  it.each([
    ['/a//b', '/a//b'],
    ['/a%2Fb%5Cc', '/a%2Fb%5Cc'],
    ['/a%2fb', '/a%2Fb'],
  ])(
    'with its slashes as they are, where the listener keeps them: %s as %s',
    async (target, seen) => {
      expect((await get(gateway.address('keep'), target)).text).toBe(seen);
    },
  );

  it.each([
    ['/a%2Fb', '/a/b'],
    ['/a%5Cb', '/a/b'],
    ['/a%2F..%2Fb', '/b'],
    ['/a%2F%2Fb', '/a/b'],
  ])('with escaped slashes decoded, where the listener says so: %s as %s', async (target, seen) => {
    expect((await get(gateway.address('decode'), target)).text).toBe(seen);
  });
});

describe('a bad path is refused with 400', () => {
  it.each([
    ['public', '/%'],
    ['public', '/%4'],
    ['public', '/%zz'],
    ['public', '/%4g/'],
    ['public', '/%00'],
    ['public', '/a%00b'],
    ['public', '/..'],
    ['public', '/../a'],
    ['public', '/a/../../b'],
    ['public', '/%2e%2e/a'],
    ['public', '/.%2e'],
    ['public', '/a/%2e%2e/%2E%2E/b'],
    ['public', '/a%2Fb'],
    ['public', '/a%2fb'],
    ['public', '/a%5Cb'],
    ['public', '/a\\b'],
    ['public', '/..;/admin/'],
    ['public', '/a/..;x=y/admin'],
    ['public', '/a/..%3B/admin'],
    ['public', '/a/.;/b'],
    ['keep', '/a%2F..%2Fadmin'],
    ['keep', '/a%5C..%5Cadmin'],
    ['keep', '/..%2Fadmin'],
    ['decode', '/..%2Fadmin'],
  ])('on listener %s: %s', async (listener, target) => {
    const response = await get(gateway.address(listener), target);
    expect(response.status).toBe(400);
    expect(response.problem.reason).toBe('bad_path');
    expect(origin.requests).toEqual([]);
  });

  it('and the connection goes on', async () => {
    const client = await connectTo(gateway.address());
    expect((await client.request(requestText('GET /.. HTTP/1.1'))).status).toBe(400);
    expect((await client.request(requestText('GET /a HTTP/1.1'))).text).toBe('/a');
    client.close();
  });
});

describe('no spelling gets around a route', () => {
  it.each([
    ['public', '/admin'],
    ['public', '/admin/'],
    ['public', '/admin/x'],
    ['public', '//admin/x'],
    ['public', '/./admin/x'],
    ['public', '/a/../admin/x'],
    ['public', '/a/%2e%2e/admin/x'],
    ['public', '/%61dmin/x'],
    ['public', '/%61%64%6D%69%6e'],
    ['public', '/admin/../admin/x'],
    ['public', '/x/..//admin'],
    ['public', 'http://test.example/admin/x'],
    ['public', 'http://test.example//admin/x'],
    ['public', '/admin?x=/../y'],
    ['decode', '/%2Fadmin/x'],
    ['decode', '/a%2F..%2Fadmin'],
    ['decode', '/admin%2Fx'],
    ['keep', '/a/../admin/x'],
  ])('on listener %s: %s', async (listener, target) => {
    const response = await get(gateway.address(listener), target);
    expect(response.status).toBe(403);
    expect(origin.requests).toEqual([]);
  });

  it('whatever reaches the origin is not below /admin, and climbs in no reading of it', async () => {
    const parts = ['/', '//', '.', '..', '%2e', 'admin', '%61dmin', 'x', ';', '%2F', '%5c', '\\'];
    let seed = 42;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return seed % below;
    };
    const targets = Array.from(
      { length: 600 },
      () => `/${Array.from({ length: 1 + random(6) }, () => parts[random(parts.length)]).join('')}`,
    );
    for (const listener of ['public', 'keep', 'decode']) {
      const client = await connectTo(gateway.address(listener));
      client.send(targets.map((target) => requestText(`GET ${target} HTTP/1.1`)).join(''));
      for (const _ of targets) expect([200, 400, 403]).toContain((await client.response()).status);
      client.close();
    }
    expect(origin.requests.length).toBeGreaterThan(100);
    for (const { target } of origin.requests) {
      expect(new URL(`http://origin${target}`).pathname).not.toMatch(/^\/admin(\/|$)/);
      // Nor does it climb for a reader that decodes once more and ignores parameters.
      const segments = decodeURIComponent(target).split(/[/\\]/);
      for (const segment of segments) expect(segment.split(';')[0]).not.toMatch(/^\.{1,2}$/);
    }
  });
});
