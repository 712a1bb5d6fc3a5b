// Which route takes a request: hosts, paths, methods, headers, query, clients, and the order among those that fit.
import { beforeAll, describe, expect, it } from 'vitest';
import { connectTo, type Response, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';

let gateway: Gateway;

/** Each answers with its name. */
const routes = [
  '{ name: exact-host, match: { host: a.example } }',
  '{ name: wildcard-host, match: { host: "*.example" } }',
  '{ name: longer-wildcard, match: { host: "*.shop.example" } }',
  '{ name: ipv6-host, match: { host: "[2001:db8::1]" } }',
  // Not on the second listener, so that something is missing there.
  '{ name: any-host, listeners: [public], match: {} }',

  '{ name: two-hosts, match: { host: [one.test, two.test], path: /both } }',

  '{ name: path-exact, match: { host: paths.test, path: /a/b } }',
  '{ name: path-template, match: { host: paths.test, path: "/a/:id" } }',
  '{ name: path-template-tail, match: { host: paths.test, path: "/t/:id/*" } }',
  '{ name: path-regex, match: { host: paths.test, path: { regex: "^/a/[0-9]+/x$" } } }',
  '{ name: path-prefix, match: { host: paths.test, path: "/a/*" } }',
  '{ name: path-longer-prefix, match: { host: paths.test, path: "/a/c/*" } }',
  '{ name: path-two, match: { host: paths.test, path: [/p, /q] } }',
  '{ name: path-any, match: { host: paths.test } }',

  '{ name: method-post, match: { host: methods.test, methods: [POST, PUT] } }',
  '{ name: method-get, match: { host: methods.test, path: /read, methods: [GET] } }',

  '{ name: header-exact, match: { host: headers.test, headers: { x-tenant: blue } } }',
  '{ name: header-prefix, match: { host: headers.test, headers: { x-version: { prefix: "2." } } } }',
  '{ name: header-regex, match: { host: headers.test, headers: { x-agent: { regex: "^curl/[78]" } } } }',
  '{ name: header-present, match: { host: headers.test, headers: { x-debug: { present: true } } } }',
  '{ name: header-two, match: { host: headers.test, headers: { x-tenant: blue, x-debug: { present: true } } } }',
  '{ name: header-absent, match: { host: headers.test, path: /absent, headers: { x-old: { absent: true } } } }',
  '{ name: header-none, match: { host: headers.test } }',

  '{ name: query-exact, match: { host: query.test, query: { version: "2" } } }',
  '{ name: query-present, match: { host: query.test, query: { debug: { present: true } } } }',
  '{ name: query-regex, match: { host: query.test, query: { id: { regex: "^[0-9]+$" } } } }',
  '{ name: query-none, match: { host: query.test } }',

  '{ name: client-narrow, match: { host: clients.test, clients: [127.1.2.0/24] } }',
  '{ name: client-wide, match: { host: clients.test, clients: [127.1.0.0/16] } }',
  '{ name: client-any, match: { host: clients.test } }',

  '{ name: priority-low, priority: -1, match: { host: priority.test, path: /x } }',
  '{ name: priority-normal, match: { host: priority.test } }',
  '{ name: priority-high, priority: 5, match: { path: /high } }',

  '{ name: listener-second, listeners: [second], match: { host: listeners.test } }',
  '{ name: listener-first, listeners: [public], match: { host: listeners.test } }',
  '{ name: only-second, listeners: [second], match: { host: only-second.test } }',
];

beforeAll(async () => {
  gateway = await startGateway(`
listeners:
  - { name: public, bind: "127.0.0.1:0" }
  - { name: second, bind: "127.0.0.2:0" }
routes:
${routes.map((route) => `  - ${route.replace(/ }$/, ', respond: { body: "{route.name}" } }')}`).join('\n')}
`);
});

interface Asked {
  method?: string;
  target?: string;
  host: string;
  fields?: string[];
  from?: string;
  listener?: string;
}

async function ask({ method = 'GET', target = '/', host, fields = [], from, listener }: Asked) {
  const client = await connectTo(gateway.address(listener), from);
  const response: Response = await client.request(
    requestText(`${method} ${target} HTTP/1.1`, `host: ${host}`, ...fields),
  );
  client.close();
  return response.status === 200 ? response.text : `${response.status}`;
}

describe('the host', () => {
  it.each([
    ['a.example', 'exact-host'],
    ['A.EXAMPLE', 'exact-host'],
    ['a.example:8080', 'exact-host'],
    ['a.example.', 'exact-host'],
    ['b.example', 'wildcard-host'],
    ['x.a.example', 'wildcard-host'],
    ['shop.example', 'wildcard-host'],
    ['eu.shop.example', 'longer-wildcard'],
    ['deep.eu.shop.example', 'longer-wildcard'],
    ['example', 'any-host'],
    ['a.example.org', 'any-host'],
    ['xa.exampl', 'any-host'],
    ['[2001:db8::1]', 'ipv6-host'],
    ['[2001:db8::1]:8080', 'ipv6-host'],
    ['192.0.2.1', 'any-host'],
  ])('%s leads to %s', async (host, route) => {
    expect(await ask({ host })).toBe(route);
  });

  it('of an absolute target counts', async () => {
    expect(await ask({ target: 'http://a.example/', host: 'a.example' })).toBe('exact-host');
  });

  it.each(['one.test', 'two.test'])('may be one of a list: %s', async (host) => {
    expect(await ask({ host, target: '/both' })).toBe('two-hosts');
  });
});

describe('the path', () => {
  it.each([
    ['/a/b', 'path-exact'],
    ['/a/b?c', 'path-exact'],
    ['/a/b/', 'path-prefix'],
    ['/a/B', 'path-template'],
    ['/a/x', 'path-template'],
    ['/a/', 'path-prefix'],
    ['/a', 'path-prefix'],
    ['/a/x/y', 'path-prefix'],
    ['/a/42/x', 'path-regex'],
    ['/a/42/xx', 'path-prefix'],
    ['/a/c/d', 'path-longer-prefix'],
    ['/a/c/', 'path-longer-prefix'],
    ['/a/c', 'path-template'],
    ['/t/1/2/3', 'path-template-tail'],
    ['/t/1', 'path-template-tail'],
    ['/t', 'path-any'],
    ['/ab', 'path-any'],
    ['/p', 'path-two'],
    ['/q', 'path-two'],
    ['/', 'path-any'],
  ])('%s leads to %s', async (target, route) => {
    expect(await ask({ host: 'paths.test', target })).toBe(route);
  });
});

describe('the method', () => {
  it.each([
    ['POST', '/', 'method-post'],
    ['PUT', '/read', 'method-post'],
    ['GET', '/read', 'method-get'],
  ])('%s %s leads to %s', async (method, target, route) => {
    expect(await ask({ host: 'methods.test', method, target })).toBe(route);
  });

  it.each([
    ['GET', '/', 'POST, PUT'],
    ['DELETE', '/read', 'GET, POST, PUT'],
    ['post', '/', 'POST, PUT'],
    ['HEAD', '/read', 'GET, POST, PUT'],
  ])(
    '%s %s, which no route of that path takes, is 405 that allows %s',
    async (method, target, allowed) => {
      const client = await connectTo(gateway.address('second'));
      const response = await client.request(
        requestText(`${method} ${target} HTTP/1.1`, 'host: methods.test'),
        method,
      );
      expect(response.status).toBe(405);
      expect((response.header('allow') ?? '').split(', ').sort().join(', ')).toBe(allowed);
      expect((await client.request(requestText('PUT / HTTP/1.1', 'host: methods.test'))).text).toBe(
        'method-post',
      );
      client.close();
    },
  );

  it('that fits no route falls through to one that is less specific', async () => {
    expect(await ask({ host: 'methods.test', method: 'DELETE' })).toBe('any-host');
  });
});

describe('no route', () => {
  it('is 404', async () => {
    const client = await connectTo(gateway.address('second'));
    const response = await client.request(requestText('GET / HTTP/1.1', 'host: nobody.test'));
    expect(response.status).toBe(404);
    expect(response.problem.reason).toBe('route_not_found');
    client.close();
  });
});

describe('headers', () => {
  it.each([
    [['x-tenant: blue'], 'header-exact'],
    [['X-Tenant: blue'], 'header-exact'],
    [['x-tenant: BLUE'], 'header-none'],
    [['x-tenant: blues'], 'header-none'],
    [['x-version: 2.1'], 'header-prefix'],
    [['x-version: 12.1'], 'header-none'],
    [['x-agent: curl/8.1'], 'header-regex'],
    [['x-agent: curl/6'], 'header-none'],
    [['x-debug: 0'], 'header-present'],
    [['x-debug:'], 'header-present'],
    [['x-tenant: blue', 'x-debug: 1'], 'header-two'],
    [[], 'header-none'],
  ])('%j lead to %s', async (fields, route) => {
    expect(await ask({ host: 'headers.test', fields })).toBe(route);
  });

  it.each([
    [[], 'header-absent'],
    [['x-old: 1'], 'header-none'],
  ])('may be asked not to be there: %j', async (fields, route) => {
    expect(await ask({ host: 'headers.test', target: '/absent', fields })).toBe(route);
  });
});

describe('the query', () => {
  it.each([
    ['/?version=2', 'query-exact'],
    ['/?a=b&version=2&c', 'query-exact'],
    ['/?version=22', 'query-none'],
    ['/?Version=2', 'query-none'],
    ['/?debug', 'query-present'],
    ['/?debug=', 'query-present'],
    ['/?id=42', 'query-regex'],
    ['/?id=x', 'query-none'],
    ['/?', 'query-none'],
    ['/', 'query-none'],
  ])('%s leads to %s', async (target, route) => {
    expect(await ask({ host: 'query.test', target })).toBe(route);
  });
});

describe("the client's network", () => {
  it.each([
    ['127.1.2.3', 'client-narrow'],
    ['127.1.9.9', 'client-wide'],
    ['127.2.0.1', 'client-any'],
  ])('%s leads to %s', async (from, route) => {
    expect(await ask({ host: 'clients.test', from })).toBe(route);
  });
});

describe('the priority', () => {
  it.each([
    ['priority.test', '/x', 'priority-normal'],
    ['priority.test', '/high', 'priority-high'],
    ['a.example', '/high', 'priority-high'],
  ])('goes before all else: %s%s leads to %s', async (host, target, route) => {
    expect(await ask({ host, target })).toBe(route);
  });
});

describe('listeners', () => {
  it.each([
    ['public', 'listeners.test', 'listener-first'],
    ['second', 'listeners.test', 'listener-second'],
    ['second', 'only-second.test', 'only-second'],
    ['public', 'only-second.test', 'any-host'],
  ])('have routes of their own: on %s, %s leads to %s', async (listener, host, route) => {
    expect(await ask({ listener, host })).toBe(route);
  });
});
