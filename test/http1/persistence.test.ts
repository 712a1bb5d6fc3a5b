// Persistent connections (RFC 9112 9.3), on the client's side.
import { beforeAll, describe, expect, it } from 'vitest';
import { connectTo, get, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';

let origin: Origin;
let gateway: Gateway;

beforeAll(async () => {
  origin = await startOrigin((request, connection) => {
    const close = request.target === '/close' ? ['connection: close'] : [];
    connection.respond(`you asked for ${request.target}`, '200 OK', ...close);
    if (request.target === '/close') connection.end();
  });
  gateway = await startGateway(`
listeners:
  - { name: public, bind: "127.0.0.1:0" }
  - { name: three-requests, bind: "127.0.0.2:0", maxRequests: 3 }
  - { name: short-idle, bind: "127.0.0.3:0", timeouts: { idle: 200ms } }
  - { name: short-head, bind: "127.0.0.4:0", timeouts: { head: 200ms } }
routes:
  - { name: hello, match: { host: test.example, path: /hello }, respond: { body: "hello" } }
  - { name: all, upstream: origin, match: { host: test.example } }
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`);
});

describe('a persistent connection', () => {
  it('serves one request after the other, over one connection to the upstream', async () => {
    origin.clear();
    const client = await connectTo(gateway.address());
    for (const target of ['/1', '/2', '/3']) {
      const response = await client.request(requestText(`GET ${target} HTTP/1.1`));
      expect(response.status).toBe(200);
      expect(response.text).toBe(`you asked for ${target}`);
      expect(response.header('connection')).toBeUndefined();
    }
    expect(new Set(origin.requests.map(({ connection }) => connection)).size).toBe(1);
    client.close();
  });

  it('goes on after answers that the gateway makes itself', async () => {
    const client = await connectTo(gateway.address());
    const notFound = await client.request(requestText('GET / HTTP/1.1', 'host: nobody.example'));
    expect(notFound.status).toBe(404);
    expect((await client.request(requestText('GET /hello HTTP/1.1'))).text).toBe('hello');
    expect((await client.request(requestText('GET /1 HTTP/1.1'))).text).toBe('you asked for /1');
    client.close();
  });

  it('goes on when the upstream closes its own', async () => {
    const client = await connectTo(gateway.address());
    for (const target of ['/close', '/close', '/1']) {
      const response = await client.request(requestText(`GET ${target} HTTP/1.1`));
      expect(response.text).toBe(`you asked for ${target}`);
      expect(response.header('connection')).toBeUndefined();
    }
    client.close();
  });

  it.each(['close', 'Close', 'keep-alive, close', 'close, keep-alive'])(
    'ends after the response when the client says `Connection: %s`',
    async (connection) => {
      const client = await connectTo(gateway.address());
      const response = await client.request(
        requestText('GET /1 HTTP/1.1', `connection: ${connection}`),
      );
      expect(response.text).toBe('you asked for /1');
      expect(response.header('connection')).toBe('close');
      expect(await client.ended()).toBe('end');
    },
  );

  it('ends after `maxRequests`, which the last response announces', async () => {
    const client = await connectTo(gateway.address('three-requests'));
    for (const expected of [undefined, undefined, 'close']) {
      const response = await client.request(requestText('GET /1 HTTP/1.1'));
      expect(response.header('connection')).toBe(expected);
    }
    expect(await client.ended()).toBe('end');
  });

  it('is closed when no request comes within `timeouts.idle`', async () => {
    const client = await connectTo(gateway.address('short-idle'));
    await client.request(requestText('GET /1 HTTP/1.1'));
    const idleSince = performance.now();
    expect(await client.ended()).toBe('end');
    expect(performance.now() - idleSince).toBeGreaterThan(150);
    expect(client.unread.length).toBe(0);
  });

  it('is closed without a word when it never brought a byte within `timeouts.head`', async () => {
    const client = await connectTo(gateway.address('short-head'));
    expect(await client.ended()).toBe('end');
    expect(client.receivedBytes).toBe(0);
  });

  it('passes over a few empty lines between requests', async () => {
    const client = await connectTo(gateway.address());
    for (const emptyLines of ['\r\n', '\r\n\r\n\r\n']) {
      const response = await client.request(emptyLines + requestText('GET /1 HTTP/1.1'));
      expect(response.text).toBe('you asked for /1');
    }
    client.close();
  });

  it('never takes a request body that nobody reads for the next request', async () => {
    const body = requestText('GET /smuggled HTTP/1.1');
    origin.clear();
    const client = await connectTo(gateway.address());
    const response = await client.request(
      `${requestText('POST /hello HTTP/1.1', `content-length: ${body.length}`)}${body}`,
    );
    expect(response.text).toBe('hello');
    const next = await get(gateway.address(), '/1');
    expect(next.text).toBe('you asked for /1');
    expect(origin.requests.map(({ target }) => target)).toEqual(['/1']);
    client.close();
  });
});
