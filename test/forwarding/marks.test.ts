// What the gateway itself writes into heads: Via, the request id, Date and Server.
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo, get, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';

let origin: Origin;
let gateway: Gateway;
/** Fields of the next response. */
let answer: string[] = [];

const proxy = '127.9.0.1';

beforeAll(async () => {
  origin = await startOrigin((_request, connection) =>
    connection.respond('ok', '200 OK', ...answer),
  );
  gateway = await startGateway(`
listeners:
  - { name: public, bind: "127.0.0.1:0", forwarding: { trustedProxies: [127.9.0.0/16] } }
  - { name: other, bind: "127.0.0.2:0", forwarding: { via: edge-7 }, requestId: { header: X-Trace, accept: always }, server: overwrite }
  - { name: silent, bind: "127.0.0.3:0", forwarding: { via: false }, requestId: false, server: remove }
  - { name: never, bind: "127.0.0.4:0", forwarding: { trustedProxies: [127.9.0.0/16] }, requestId: { accept: never } }
routes:
  - { name: fixed, match: { path: /fixed }, respond: { body: "fixed" } }
  - { name: all, match: { path: "/*" }, upstream: origin }
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`);
});

beforeEach(() => {
  origin.clear();
  answer = [];
});

describe('Via', () => {
  it('names this hop, on requests and responses', async () => {
    const response = await get(gateway.address(), '/');
    expect((await origin.nextRequest()).headers('via')).toEqual(['1.1 tidegate']);
    expect(response.headers('via')).toEqual(['1.1 tidegate']);
  });

  it('goes on where others left it', async () => {
    answer = ['via: 1.0 a', 'Via: 1.1 b'];
    const response = await get(gateway.address('other'), '/', 'via: 1.1 x, 1.1 y', 'via: 1.0 z');
    expect((await origin.nextRequest()).headers('via').join(', ')).toBe(
      '1.1 x, 1.1 y, 1.0 z, 1.1 edge-7',
    );
    expect(response.headers('via').join(', ')).toBe('1.0 a, 1.1 b, 1.1 edge-7');
  });

  it('is left alone when it is switched off', async () => {
    answer = ['via: 1.0 a'];
    const response = await get(gateway.address('silent'), '/', 'via: 1.1 x');
    expect((await origin.nextRequest()).headers('via')).toEqual(['1.1 x']);
    expect(response.headers('via')).toEqual(['1.0 a']);
  });
});

describe('the request id', () => {
  it('is made for each request, and is in the access log', async () => {
    await get(gateway.address(), '/a');
    await get(gateway.address(), '/b');
    const ids = origin.requests.map((request) => request.headers('x-request-id'));
    expect(ids.flat()).toHaveLength(2);
    expect(ids[0]?.[0]).toMatch(/^[0-9a-f]{32}$/);
    expect(ids[0]).not.toEqual(ids[1]);
    expect((await gateway.loggedTarget('/a')).request_id).toBe(ids[0]?.[0]);
  });

  it('of a client that is not trusted is replaced', async () => {
    await get(gateway.address(), '/', 'x-request-id: mine', 'X-Request-ID: mine too');
    const ids = (await origin.nextRequest()).headers('x-request-id');
    expect(ids).toHaveLength(1);
    expect(ids[0]).toMatch(/^[0-9a-f]{32}$/);
  });

  it('of a trusted proxy is kept', async () => {
    const client = await connectTo(gateway.address(), proxy);
    await client.request(requestText('GET /kept HTTP/1.1', 'x-request-id: from-the-proxy/1'));
    expect((await origin.nextRequest()).headers('x-request-id')).toEqual(['from-the-proxy/1']);
    expect((await gateway.loggedTarget('/kept')).request_id).toBe('from-the-proxy/1');
    client.close();
  });

  it('of anybody is kept where the listener says so, under the name that it says', async () => {
    await get(gateway.address('other'), '/', 'x-trace: "mine"', 'x-request-id: just a field');
    const seen = await origin.nextRequest();
    expect(seen.headers('x-trace')).toEqual(['"mine"']);
    expect(seen.headers('x-request-id')).toEqual(['just a field']);
  });

  it.each(['', 'a b', 'caf\xe9', 'x'.repeat(129)])('is replaced when it is %j', async (id) => {
    await get(gateway.address('other'), '/', `x-trace: ${id}`);
    const [seen] = (await origin.nextRequest()).headers('x-trace');
    expect(seen).toMatch(/^[0-9a-f]{32}$/);
  });

  it('is replaced even for trusted proxies where the listener says never', async () => {
    const client = await connectTo(gateway.address('never'), proxy);
    await client.request(requestText('GET / HTTP/1.1', 'x-request-id: from-the-proxy'));
    expect((await origin.nextRequest()).header('x-request-id')).toMatch(/^[0-9a-f]{32}$/);
    client.close();
  });

  it('is not sent on where it is switched off; the client’s own passes', async () => {
    await get(gateway.address('silent'), '/', 'x-request-id: mine');
    expect((await origin.nextRequest()).headers('x-request-id')).toEqual(['mine']);
  });
});

describe('Date', () => {
  it('is added to a response that has none', async () => {
    const response = await get(gateway.address(), '/');
    expect(response.headers('date')).toHaveLength(1);
    const age = Date.now() - Date.parse(response.header('date') ?? '');
    expect(age).toBeGreaterThan(-2000);
    expect(age).toBeLessThan(60_000);
  });

  it('of the origin stays', async () => {
    answer = ['date: Mon, 02 Jan 2006 15:04:05 GMT'];
    const response = await get(gateway.address(), '/');
    expect(response.headers('date')).toEqual(['Mon, 02 Jan 2006 15:04:05 GMT']);
  });

  it('is in answers of the gateway itself', async () => {
    const response = await get(gateway.address(), '/fixed');
    expect(response.header('date')).toMatch(
      /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/,
    );
  });
});

describe('Server', () => {
  it.each([
    ['public', ['thing/1']],
    ['other', ['tidegate']],
    ['silent', []],
  ])('on listener %s of an origin that has one: %j', async (listener, expected) => {
    answer = ['server: thing/1'];
    const response = await get(gateway.address(listener), '/');
    expect(response.headers('server')).toEqual(expected);
  });

  it.each(['public', 'other', 'silent'])(
    'is not invented where the origin says none: listener %s',
    async (listener) => {
      expect((await get(gateway.address(listener), '/')).headers('server')).toEqual([]);
    },
  );
});
