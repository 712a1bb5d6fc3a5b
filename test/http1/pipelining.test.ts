// Pipelined requests are answered in their order, whatever comes between (RFC 9112 9.3.2).
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';

let origin: Origin;
let gateway: Gateway;
/** Requests for /held wait for this. */
let release: () => void = () => {};
let held = Promise.resolve();

beforeAll(async () => {
  origin = await startOrigin(async (request, connection) => {
    if (request.target.startsWith('/held')) await held;
    connection.respond(`${request.method} ${request.target} ${request.text}`);
  });
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes:
  - { name: hello, match: { host: test.example, path: /hello }, respond: { body: "hello" } }
  - { name: all, match: { host: test.example }, upstream: origin }
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`);
});

beforeEach(() => {
  origin.clear();
  held = new Promise((resolve) => {
    release = resolve;
  });
});

describe('pipelined requests', () => {
  it('are answered in their order, though the first takes longest', async () => {
    const client = await connectTo(gateway.address());
    client.send(
      ['/held', '/1', '/hello', '/2']
        .map((target) => requestText(`GET ${target} HTTP/1.1`))
        .join(''),
    );
    await origin.nextRequest();
    expect(client.receivedBytes).toBe(0);
    release();
    const bodies = [];
    for (let i = 0; i < 4; i += 1) bodies.push((await client.response()).text);
    expect(bodies).toEqual(['GET /held ', 'GET /1 ', 'hello', 'GET /2 ']);
    client.close();
  });

  it('may have bodies', async () => {
    const client = await connectTo(gateway.address());
    client.send(
      `${requestText('POST /a HTTP/1.1', 'content-length: 5')}hello` +
        `${requestText('POST /b HTTP/1.1', 'transfer-encoding: chunked')}3\r\nbye\r\n0\r\n\r\n` +
        requestText('GET /c HTTP/1.1') +
        `${requestText('PUT /d HTTP/1.1', 'content-length: 0')}`,
    );
    for (const expected of ['POST /a hello', 'POST /b bye', 'GET /c ', 'PUT /d ']) {
      expect((await client.response()).text).toBe(expected);
    }
    client.close();
  });

  it('come through in any number', async () => {
    const count = 500;
    const client = await connectTo(gateway.address());
    const targets = Array.from({ length: count }, (_, i) => `/${i}`);
    client.send(targets.map((target) => requestText(`GET ${target} HTTP/1.1`)).join(''));
    for (const target of targets) expect((await client.response()).text).toBe(`GET ${target} `);
    client.close();
  });

  it('are read the same wherever the bytes are split', async () => {
    const bytes =
      `${requestText('POST /a HTTP/1.1', 'content-length: 5')}hello` +
      `${requestText('POST /b HTTP/1.1', 'transfer-encoding: chunked')}3\r\nbye\r\n0\r\n\r\n` +
      requestText('GET /c HTTP/1.1');
    const positions = Array.from({ length: bytes.length - 1 }, (_, i) => i + 1);
    await Promise.all(
      positions.map(async (position) => {
        const client = await connectTo(gateway.address());
        await client.sendSplit(bytes, [position]);
        for (const expected of ['POST /a hello', 'POST /b bye', 'GET /c ']) {
          expect((await client.response()).text).toBe(expected);
        }
        client.close();
      }),
    );
  });

  it('are read the same byte by byte', async () => {
    const bytes =
      `${requestText('POST /b HTTP/1.1', 'transfer-encoding: chunked')}3\r\nbye\r\n0\r\nx-t: 1\r\n\r\n` +
      requestText('GET /c HTTP/1.1');
    const client = await connectTo(gateway.address());
    await client.sendSplit(bytes, [...bytes].map((_, i) => i + 1).slice(0, -1));
    expect((await client.response()).text).toBe('POST /b bye');
    expect((await client.response()).text).toBe('GET /c ');
    client.close();
  });

  it('behind one that ends the connection are not looked at', async () => {
    const client = await connectTo(gateway.address());
    client.send(
      requestText('GET /1 HTTP/1.1') +
        requestText('GET /2 HTTP/1.1', 'connection: close') +
        requestText('GET /3 HTTP/1.1'),
    );
    expect((await client.response()).text).toBe('GET /1 ');
    expect((await client.response()).text).toBe('GET /2 ');
    expect(await client.ended()).toBe('end');
    expect(client.unread.length).toBe(0);
    expect(origin.requests.map(({ target }) => target)).toEqual(['/1', '/2']);
  });

  it('behind a malformed one are not looked at, and those before it are answered', async () => {
    const client = await connectTo(gateway.address());
    client.send(
      requestText('GET /1 HTTP/1.1') +
        requestText('GET /2 HTTP/1.1', 'content-length: x') +
        requestText('GET /3 HTTP/1.1'),
    );
    expect((await client.response()).text).toBe('GET /1 ');
    expect((await client.response()).status).toBe(400);
    expect(await client.ended()).toBe('end');
    expect(client.unread.length).toBe(0);
    expect(origin.requests.map(({ target }) => target)).toEqual(['/1']);
  });
});
