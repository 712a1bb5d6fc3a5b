// gRPC calls as the gateway itself sees them: the routes they take, the answers it makes, the time their clients give. Over
// HTTP/1, which shows the same head fields.
import { beforeAll, describe, expect, it } from 'vitest';
import { connectTo, type Response } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startRawOrigin } from '../support/origin.js';

/** Reads, and says nothing by itself. */
let silent: Origin;
let gateway: Gateway;

beforeAll(async () => {
  silent = await startRawOrigin();
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes:
  - { name: method, match: { grpc: shop.Orders/Get }, respond: { status: 200, body: method } }
  - { name: service, match: { grpc: shop.Orders }, respond: { status: 200, body: service } }
  - { name: list, match: { grpc: [a.B, c.D/E] }, respond: { status: 200, body: list } }
  - { name: slow, match: { grpc: shop.Slow }, upstream: silent }
  - { name: short, match: { grpc: shop.Short }, upstream: silent, timeouts: { request: 100ms } }
  - { name: down, match: { grpc: shop.Down }, upstream: down }
  - { name: rest, match: { path: /shop.Orders/* }, respond: { status: 200, body: rest } }
upstreams:
  - { name: silent, endpoints: ["${silent.address}"], health: { passive: false } }
  - { name: down, endpoints: ["127.0.0.1:1"], health: { passive: false } }
`);
});

async function call(
  path: string,
  fields: Record<string, string> = {},
  type = 'application/grpc',
): Promise<Response> {
  const client = await connectTo(gateway.address());
  const lines = Object.entries({ 'content-type': type, ...fields }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  return client.request(
    `POST ${path} HTTP/1.1\r\nHost: x\r\n${lines.join('')}Content-Length: 0\r\n\r\n`,
  );
}

describe('routing by service and method', () => {
  it.each([
    ['/shop.Orders/Get', 'method'],
    ['/shop.Orders/List', 'service'],
    ['/a.B/Any', 'list'],
    ['/c.D/E', 'list'],
  ])('%s takes the route %s', async (path, route) => {
    expect((await call(path)).text).toBe(route);
  });

  it('takes every message format, and nothing that is not gRPC', async () => {
    expect((await call('/shop.Orders/Get', {}, 'application/grpc+proto')).text).toBe('method');
    expect((await call('/shop.Orders/Get', {}, 'application/grpc;x=y')).text).toBe('method');
    expect((await call('/shop.Orders/Get', {}, 'application/grpc-web')).text).toBe('rest');
    expect((await call('/shop.Orders/Get', {}, 'application/json')).text).toBe('rest');
  });
});

describe('an answer of the gateway to a call', () => {
  it('has a status of gRPC, the reason in its message, and no body', async () => {
    const response = await call('/nobody.Knows/This');
    expect(response.status).toBe(200);
    expect(response.text).toBe('');
    expect(response.header('content-type')).toBe('application/grpc');
    expect(response.header('grpc-status')).toBe('12');
    expect(response.header('grpc-message')).toContain('(route_not_found)');
    expect(response.header('x-request-id')).toBeDefined();
    expect(await gateway.loggedTarget('/nobody.Knows/This')).toMatchObject({
      status: 200,
      reason: 'route_not_found',
    });
  });

  it('is UNAVAILABLE where no endpoint can be reached', async () => {
    expect((await call('/shop.Down/Get')).header('grpc-status')).toBe('14');
  });

  it('is a problem for everybody else', async () => {
    const response = await call('/nobody.Knows/That', {}, 'application/json');
    expect(response.status).toBe(404);
    expect(response.header('grpc-status')).toBeUndefined();
    expect(response.problem.reason).toBe('route_not_found');
  });
});

describe('grpc-timeout', () => {
  it('ends the call with DEADLINE_EXCEEDED', async () => {
    const begin = performance.now();
    const response = await call('/shop.Slow/Get', { 'grpc-timeout': '200m' });
    expect(performance.now() - begin).toBeGreaterThan(190);
    expect(response.header('grpc-status')).toBe('4');
    expect(await gateway.loggedTarget('/shop.Slow/Get')).toMatchObject({
      reason: 'request_timeout',
    });
  });

  it("is not longer than the route's own limit", async () => {
    const response = await call('/shop.Short/Get', { 'grpc-timeout': '1H' });
    expect(response.header('grpc-status')).toBe('4');
  });

  it('that is none means nothing', async () => {
    const response = await call('/shop.Short/Other', { 'grpc-timeout': 'soon' });
    expect(response.header('grpc-status')).toBe('4');
  });
});
