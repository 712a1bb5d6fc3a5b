// Routes that answer themselves: redirects and fixed responses, with variables.
import { beforeAll, describe, expect, it } from 'vitest';
import { connectTo, get, requestText, send } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';

let gateway: Gateway;

beforeAll(async () => {
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes:
  - { name: moved, match: { path: "/old/*" }, redirect: { location: "https://{host}/new/{tail}{?query}" } }
  - { name: found, match: { path: /found }, redirect: { status: 302, location: /elsewhere } }
  - { name: reflect, match: { path: /reflect }, redirect: { status: 307, location: "/to?next={header.x-next}" } }
  - name: fixed
    match: { path: /fixed }
    respond:
      status: 418
      headers: { content-type: text/plain, x-route: "{route.name}", cache-control: no-store }
      body: "I am {route.name}"
  - name: variables
    match: { path: "/v/:kind/:id/*" }
    respond:
      body: "{method} {scheme} {host} {path} {query} {?query} {kind} {param.id} {tail} {header.x-a} {client.address} {{braces}}"
  - { name: empty, match: { path: /empty }, respond: { status: 200 } }
  - { name: id, match: { path: /id }, respond: { body: "{request.id}" } }
  - { name: edited, match: { path: /edited }, respond: { headers: { x-a: "1" }, body: "x" }, headers: { response: { set: { x-a: "2" }, add: { x-b: ["3", "4"] }, remove: [date] } } }
`);
});

describe('a redirect', () => {
  it.each([
    ['/old/a/b?c=d', 308, 'https://test.example/new/a/b?c=d'],
    ['/old/', 308, 'https://test.example/new/'],
    ['/old', 308, 'https://test.example/new/'],
    ['/old/a?', 308, 'https://test.example/new/a?'],
    ['/found?x', 302, '/elsewhere'],
  ])('of %s is %i to %s', async (target, status, location) => {
    const response = await get(gateway.address(), target);
    expect(response.status).toBe(status);
    expect(response.header('location')).toBe(location);
    expect(response.header('content-length')).toBe('0');
  });

  it('cannot be made to write another header or another host', async () => {
    const response = await get(
      gateway.address(),
      '/reflect',
      'x-next: //evil.example/ "a"\t#?&%0d%0aset-cookie: x',
    );
    expect(response.status).toBe(307);
    const location = response.header('location') ?? '';
    expect(location).toMatch(/^\/to\?next=[\w\-.~!$&'()*+,;=:@/%]*$/);
    expect(response.header('set-cookie')).toBeUndefined();
  });
});

describe('a fixed response', () => {
  it('has its status, headers and body', async () => {
    const response = await get(gateway.address(), '/fixed');
    expect(response.message.startLine).toMatch(/^HTTP\/1\.1 418 /);
    expect(response.text).toBe('I am fixed');
    expect(response.header('content-type')).toBe('text/plain');
    expect(response.header('x-route')).toBe('fixed');
    expect(response.header('content-length')).toBe('10');
  });

  it('knows the variables', async () => {
    const response = await send(
      gateway.address(),
      requestText('POST /v/book/42/a/b?q=1 HTTP/1.1', 'host: Shop.Example:80', 'x-a: y'),
    );
    expect(response.text).toBe(
      'POST http shop.example /v/book/42/a/b q=1 ?q=1 book 42 a/b y 127.0.0.1 {braces}',
    );
  });

  it('may be empty', async () => {
    const response = await get(gateway.address(), '/empty');
    expect(response.status).toBe(200);
    expect(response.text).toBe('');
    expect(response.header('content-length')).toBe('0');
  });

  it('may show the request id, which is that of the access log', async () => {
    const response = await get(gateway.address(), '/id');
    expect(response.text).toMatch(/^[0-9a-f]{32}$/);
    expect((await gateway.loggedTarget('/id')).request_id).toBe(response.text);
  });

  it('passes the edits of its route', async () => {
    const response = await get(gateway.address(), '/edited');
    expect(response.headers('x-a')).toEqual(['2']);
    expect(response.headers('x-b')).toEqual(['3', '4']);
    expect(response.header('date')).toBeUndefined();
  });

  it('is logged with its route and reason', async () => {
    const client = await connectTo(gateway.address());
    await client.request(requestText('GET /fixed?logged HTTP/1.1'));
    client.close();
    expect(await gateway.loggedTarget('/fixed?logged')).toMatchObject({
      status: 418,
      route: 'fixed',
      upstream: null,
      endpoint: null,
      reason: 'route_respond',
      bytes_out: 10,
      connect_us: null,
    });
  });
});
