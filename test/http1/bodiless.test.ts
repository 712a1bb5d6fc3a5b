// Responses without content: to HEAD, 204 and 304 (RFC 9110 6.4.1, RFC 9112 6.3).
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo, get, requestText, send } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';

const responses: Record<string, string> = {
  '/length': 'HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n',
  '/chunked': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
  '/neither': 'HTTP/1.1 200 OK\r\n\r\n',
  '/204': 'HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n',
  '/204-zero': 'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n',
  '/204-body': 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello',
  '/204-chunked': 'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  '/304': 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n',
  '/304-length': 'HTTP/1.1 304 Not Modified\r\nContent-Length: 12345\r\n\r\n',
  '/304-chunked': 'HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n',
  '/200-zero': 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
  '/with-a-body': 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
  '/ok': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
};

let origin: Origin;
let gateway: Gateway;

beforeAll(async () => {
  origin = await startOrigin((request, connection) => {
    connection.send(responses[request.target] ?? '');
  });
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes:
  - name: fixed
    match: { host: test.example, path: /fixed }
    respond: { headers: { content-type: text/plain }, body: "twelve bytes" }
  - { name: nothing, match: { host: test.example, path: /nothing }, respond: { status: 204 } }
  - { name: all, match: { host: test.example }, upstream: origin }
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`);
});

beforeEach(() => origin.clear());

describe('a response to HEAD', () => {
  it.each([
    ['/length', '12345'],
    ['/chunked', undefined],
    ['/neither', undefined],
    ['/204', undefined],
    ['/304-length', '12345'],
    ['/200-zero', '0'],
  ])('has no body, keeps its length, and both connections go on: %s', async (target, length) => {
    const client = await connectTo(gateway.address());
    const response = await client.request(requestText(`HEAD ${target} HTTP/1.1`));
    expect(response.header('content-length')).toBe(length);
    expect(response.header('transfer-encoding')).toBeUndefined();
    expect(response.header('connection')).toBeUndefined();
    expect((await client.request(requestText('GET /ok HTTP/1.1'))).text).toBe('ok');
    expect(client.unread.length).toBe(0);
    const [head, next] = origin.requests;
    expect(head?.method).toBe('HEAD');
    if (target !== '/neither') expect(next?.connection).toBe(head?.connection);
    client.close();
  });

  it('that brings a body all the same is cut off from the next one', async () => {
    const client = await connectTo(gateway.address());
    const response = await client.request(requestText('HEAD /with-a-body HTTP/1.1'));
    expect(response.status).toBe(200);
    expect((await client.request(requestText('GET /ok HTTP/1.1'))).text).toBe('ok');
    const [head, next] = origin.requests;
    expect(next?.connection).not.toBe(head?.connection);
    client.close();
  });

  it('of the gateway itself has the length that GET would have', async () => {
    const client = await connectTo(gateway.address());
    const fixed = await client.request(requestText('HEAD /fixed HTTP/1.1'));
    expect(fixed.header('content-length')).toBe('12');
    const missing = await client.request(requestText('HEAD / HTTP/1.1', 'host: nobody.example'));
    expect(missing.status).toBe(404);
    expect(Number(missing.header('content-length'))).toBeGreaterThan(50);
    expect((await client.request(requestText('GET /fixed HTTP/1.1'))).text).toBe('twelve bytes');
    client.close();
  });
});

describe('a response without content', () => {
  it.each(['/204', '/204-zero', '/304', '/304-length', '/304-chunked', '/200-zero'])(
    'leaves both connections ready for the next: %s',
    async (target) => {
      const client = await connectTo(gateway.address());
      for (let i = 0; i < 2; i += 1) {
        const response = await client.request(requestText(`GET ${target} HTTP/1.1`));
        expect(response.status).toBe(Number(/\d+/.exec(target)?.[0]));
        expect(response.text).toBe('');
        expect(response.header('transfer-encoding')).toBeUndefined();
        expect((await client.request(requestText('GET /ok HTTP/1.1'))).text).toBe('ok');
      }
      expect(new Set(origin.requests.map(({ connection }) => connection)).size).toBe(1);
      client.close();
    },
  );

  it.each(['/204', '/204-zero'])('has no Content-Length when it is a 204: %s', async (target) => {
    const response = await get(gateway.address(), target);
    expect(response.status).toBe(204);
    expect(response.header('content-length')).toBeUndefined();
  });

  it('keeps the Content-Length of a 304, which is that of the content', async () => {
    const response = await get(gateway.address(), '/304-length');
    expect(response.header('content-length')).toBe('12345');
  });

  it.each(['/204-body', '/204-chunked'])('may not announce a body: %s is 502', async (target) => {
    const response = await get(gateway.address(), target);
    expect(response.status).toBe(502);
    expect(response.problem.reason).toBe('upstream_bad_response');
    expect((await get(gateway.address(), '/ok')).text).toBe('ok');
  });

  it('of a route has neither body nor length', async () => {
    const response = await send(gateway.address(), requestText('GET /nothing HTTP/1.1'));
    expect(response.status).toBe(204);
    expect(response.header('content-length')).toBeUndefined();
  });
});
