// What a route changes of a request and its response: path, host, header fields.
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo, get, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';

let origin: Origin;
let gateway: Gateway;

beforeAll(async () => {
  origin = await startOrigin((request, connection) =>
    connection.respond(request.target, '200 OK', 'x-powered-by: thing', 'x-kept: 1', 'x-set: old'),
  );
  const { address } = origin;
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes:
  - { name: strip, match: { path: "/strip/*" }, rewrite: { stripPrefix: /strip }, upstream: origin }
  - { name: strip-two, match: { path: "/one/two/*" }, rewrite: { stripPrefix: /one }, upstream: origin }
  - { name: template, match: { path: "/items/:id" }, rewrite: { path: "/v2/items/{id}/detail" }, upstream: origin }
  - { name: tail, match: { path: "/tail/*" }, rewrite: { path: "/to/{tail}" }, upstream: origin }
  - { name: query, match: { path: "/find/:what" }, rewrite: { path: "/search?q={what}&m={method}" }, upstream: origin }
  - { name: prefix, match: { path: "/prefix/*" }, rewrite: { path: "/base{path}" }, upstream: origin }
  - { name: groups, match: { path: { regex: "^/img/(?<w>[0-9]+)x(?<h>[0-9]+)/" } }, rewrite: { path: "/resize/{w}/{h}" }, upstream: origin }
  - { name: by-host, match: { path: /by-host }, rewrite: { path: "/t/{host}/x" }, upstream: origin }
  - { name: picked, match: { path: { regex: "^/pick/(?<what>[^/]*)x$" } }, rewrite: { path: "/t/{what}/y" }, upstream: origin }
  - { name: host, match: { path: /host }, rewrite: { host: "{header.x-tenant}.internal" }, upstream: origin }
  - { name: endpoint-host, match: { path: /endpoint-host }, upstream: endpoint-host }
  - { name: literal-host, match: { path: /literal-host }, upstream: literal-host }
  - name: edits
    match: { path: "/edits/:id" }
    upstream: origin
    headers:
      request:
        set: { x-route: "{route.name}", X-Set: "{id}", host-seen: "{host}", x-endpoint: "{endpoint.address}", x-upstream: "{upstream.name}" }
        add: { x-added: [one, two], accept: "text/plain" }
        remove: [x-secret, cookie]
      response:
        set: { x-set: "new {id}", x-new: "n" }
        add: { x-kept: "2" }
        remove: [x-powered-by, x-not-there]
  - { name: all, match: { path: "/*" }, upstream: origin }
upstreams:
  - { name: origin, endpoints: ["${address}"] }
  - { name: endpoint-host, endpoints: ["${address}"], hostHeader: endpoint }
  - { name: literal-host, endpoints: ["${address}"], hostHeader: app.internal }
`);
});

beforeEach(() => origin.clear());

describe('the path', () => {
  it.each([
    ['/strip/a/b', '/a/b'],
    ['/strip/', '/'],
    ['/strip', '/'],
    ['/strip/a?b=c', '/a?b=c'],
    ['/one/two/three', '/two/three'],
    ['/items/42', '/v2/items/42/detail'],
    ['/items/a%20b', '/v2/items/a%20b/detail'],
    ['/items/42?x=y', '/v2/items/42/detail?x=y'],
    ['/tail/a/b', '/to/a/b'],
    ['/tail', '/to/'],
    ['/find/cats', '/search?q=cats&m=GET'],
    ['/find/cats?x=y', '/search?q=cats&m=GET'],
    ['/prefix/a', '/base/prefix/a'],
    ['/img/10x20/cat', '/resize/10/20'],
    ['/untouched/a?b', '/untouched/a?b'],
  ])('%s reaches the origin as %s', async (target, seen) => {
    const response = await get(gateway.address(), target);
    expect(response.status).toBe(200);
    expect(response.text).toBe(seen);
  });

  it('takes the host that the client named', async () => {
    const response = await get(gateway.address(), '/by-host', 'host: Shop.Example:80');
    expect(response.text).toBe('/t/shop.example/x');
  });

  it.each([
    ['/pick/ax', 200],
    ['/pick/...x', 200],
    ['/pick/..x', 400],
    ['/pick/.x', 400],
  ])(
    'cannot be led out of its place by what a variable brings: %s is %i',
    async (target, status) => {
      const response = await get(gateway.address(), target);
      expect(response.status).toBe(status);
      if (status === 400) {
        expect(response.problem.reason).toBe('bad_path');
        expect(origin.requests).toEqual([]);
      }
    },
  );

  it('cannot be led out of its place by a host of dots', async () => {
    for (const host of ['..', '...']) {
      expect((await get(gateway.address(), '/by-host', `host: ${host}`)).status).toBe(400);
    }
    expect(origin.requests).toEqual([]);
  });
});

describe('the host', () => {
  it('is that of the client unless something else is said', async () => {
    await get(gateway.address(), '/', 'host: Shop.Example:8080');
    expect((await origin.nextRequest()).headers('host')).toEqual(['Shop.Example:8080']);
  });

  it('may be the address of the endpoint, or a text', async () => {
    await get(gateway.address(), '/endpoint-host');
    expect((await origin.nextRequest()).headers('host')).toEqual([origin.address]);
    await get(gateway.address(), '/literal-host');
    expect((await origin.nextRequest()).headers('host')).toEqual(['app.internal']);
  });

  it('may be rewritten with variables', async () => {
    await get(gateway.address(), '/host', 'x-tenant: blue');
    expect((await origin.nextRequest()).headers('host')).toEqual(['blue.internal']);
  });

  it.each(['a b', 'a/b', 'a\tb', 'a@b', 'caf\xe9', 'a?b', 'a#b'])(
    'that would not be one is refused: %j',
    async (value) => {
      const response = await get(gateway.address(), '/host', `x-tenant: ${value}`);
      expect(response.status).toBe(400);
      expect(origin.requests).toEqual([]);
    },
  );
});

describe('header edits', () => {
  it('of the request are made before the origin sees it', async () => {
    const client = await connectTo(gateway.address());
    await client.request(
      requestText(
        'GET /edits/7 HTTP/1.1',
        'host: a.example:80',
        'x-set: old',
        'X-SET: older',
        'x-secret: s',
        'cookie: a=b',
        'accept: */*',
        'x-kept: k',
      ),
    );
    client.close();
    const seen = await origin.nextRequest();
    expect(seen.headers('x-route')).toEqual(['edits']);
    expect(seen.headers('x-set')).toEqual(['7']);
    expect(seen.headers('host-seen')).toEqual(['a.example']);
    expect(seen.headers('x-endpoint')).toEqual([origin.address]);
    expect(seen.headers('x-upstream')).toEqual(['origin']);
    expect(seen.headers('x-added')).toEqual(['one', 'two']);
    expect(seen.headers('accept')).toEqual(['*/*', 'text/plain']);
    expect(seen.headers('x-secret')).toEqual([]);
    expect(seen.headers('cookie')).toEqual([]);
    expect(seen.headers('x-kept')).toEqual(['k']);
  });

  it('of the response are made before the client sees it', async () => {
    const response = await get(gateway.address(), '/edits/7');
    expect(response.headers('x-set')).toEqual(['new 7']);
    expect(response.headers('x-new')).toEqual(['n']);
    expect(response.headers('x-kept')).toEqual(['1', '2']);
    expect(response.headers('x-powered-by')).toEqual([]);
  });
});
