// What HTTP/2 clients get: bodies both ways, trailers, 1xx, and many requests at a time on one connection.
import { createHash, randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { ClientHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { endLater } from '../support/cleanup.js';
import { send } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { openHttp2, request, responseOf } from '../support/http2Client.js';
import { type Origin, startOrigin, startRawOrigin } from '../support/origin.js';

let gateway: Gateway;
let raw: Origin;
let simple: Origin;
let session: ClientHttp2Session;

/** Answers with what it got: `/echo`, `/sum` (the digest of the body), `/bytes/N`, `/trailers`, `/hints`. */
function startNodeOrigin(): Promise<number> {
  const server: Server = createServer((incoming, response) => {
    const url = incoming.url ?? '';
    const digest = createHash('sha256');
    let size = 0;
    incoming.on('data', (bytes: Buffer) => {
      digest.update(bytes);
      size += bytes.length;
    });
    incoming.on('end', () => {
      const bytes = /^\/bytes\/(\d+)/.exec(url)?.[1];
      if (bytes !== undefined) {
        response.setHeader('content-length', bytes);
        response.end(Buffer.alloc(Number(bytes), url.at(-1)));
      } else if (url === '/trailers') {
        response.writeHead(200, { trailer: 'x-sum' });
        response.write('body');
        response.addTrailers({ 'x-sum': 'abc' });
        response.end();
      } else if (url === '/hints') {
        response.writeEarlyHints({ link: '</a.css>; rel=preload' }, () => response.end('late'));
      } else {
        response.setHeader('content-type', 'application/json');
        response.end(
          JSON.stringify({
            method: incoming.method,
            url,
            headers: incoming.headers,
            trailers: incoming.trailers,
            size,
            sha256: digest.digest('hex'),
          }),
        );
      }
    });
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
    endLater('origin', () => server.close());
  });
}

beforeAll(async () => {
  const port = await startNodeOrigin();
  raw = await startRawOrigin();
  simple = await startOrigin();
  gateway = await startGateway(`
listeners:
  - { name: public, bind: "127.0.0.1:0", limits: { body: 40MiB } }
  - { name: one, bind: "127.0.0.1:0", maxRequests: 3 }
  - { name: old, bind: "127.0.0.1:0", protocols: [http1] }
  - { name: new, bind: "127.0.0.1:0", protocols: [http2] }
routes:
  - { name: raw, match: { path: /raw/* }, upstream: raw }
  - { name: simple, match: { path: /simple/* }, upstream: simple }
  - { name: fixed, match: { path: /fixed }, respond: { body: fixed } }
  - { name: small, match: { path: /small/* }, upstream: node, limits: { body: 10 } }
  - { name: node, upstream: node }
upstreams:
  - { name: node, endpoints: ["127.0.0.1:${port}"] }
  - { name: raw, endpoints: ["${raw.address}"], retries: { attempts: 0 } }
  - { name: simple, endpoints: ["${simple.address}"] }
`);
});

beforeEach(async () => {
  session = await openHttp2(gateway.address());
  return () => session.destroy();
});

describe('one request', () => {
  it('reaches the origin as HTTP/1 and is logged as HTTP/2', async () => {
    const { status, headers, body } = await request(session, {
      ':path': '/echo?a=b',
      'x-custom': 'yes',
      cookie: ['a=1', 'b=2'],
    });
    expect(status).toBe(200);
    expect(headers['via']).toBe('1.1 tidegate');
    expect(headers).not.toHaveProperty('connection');
    expect(headers).not.toHaveProperty('keep-alive');
    expect(headers).not.toHaveProperty('transfer-encoding');
    const seen = JSON.parse(body.toString());
    expect(seen).toMatchObject({ method: 'GET', url: '/echo?a=b' });
    expect(seen.headers).toMatchObject({
      host: 'test.example',
      'x-custom': 'yes',
      cookie: 'a=1; b=2',
      'x-forwarded-host': 'test.example',
      'x-forwarded-proto': 'http',
      via: '2.0 tidegate',
    });
    const line = await gateway.loggedTarget('/echo?a=b');
    expect(line).toMatchObject({ protocol: 'HTTP/2.0', status: 200, host: 'test.example' });
  });

  it('may have a body of any size, with its length announced or not', async () => {
    const large = randomBytes(20 * 1024 * 1024);
    const sum = createHash('sha256').update(large).digest('hex');
    for (const announced of [{}, { 'content-length': large.length }]) {
      const { body } = await request(
        session,
        { ':path': '/echo', ':method': 'POST', ...announced },
        large,
      );
      const seen = JSON.parse(body.toString());
      expect(seen.size).toBe(large.length);
      expect(seen.sha256).toBe(sum);
    }
  });

  it('may have trailers, and so may its response', async () => {
    const stream = session.request(
      { ':authority': 'a', ':path': '/echo', ':method': 'POST', te: 'trailers' },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-check': 'sum' }));
    stream.end('body');
    const seen = JSON.parse((await responseOf(stream)).body.toString());
    expect(seen.trailers).toEqual({ 'x-check': 'sum' });

    const { body, trailers } = await request(session, { ':path': '/trailers', te: 'trailers' });
    expect(body.toString()).toBe('body');
    expect(trailers).toMatchObject({ 'x-sum': 'abc' });
  });

  it('gets 1xx responses on the way', async () => {
    const { status, informational, body } = await request(session, { ':path': '/hints' });
    expect(status).toBe(200);
    expect(body.toString()).toBe('late');
    expect(informational[0]).toMatchObject({ ':status': 103, link: '</a.css>; rel=preload' });
  });

  it('gets responses without a body by HEAD, and large ones by GET', async () => {
    const head = await request(session, { ':path': '/bytes/1000/a', ':method': 'HEAD' });
    expect(head.headers['content-length']).toBe('1000');
    expect(head.body.length).toBe(0);
    const size = 30 * 1024 * 1024;
    const { body } = await request(session, { ':path': `/bytes/${size}/b` });
    expect(body.equals(Buffer.alloc(size, 'b'))).toBe(true);
  });

  it('is answered by the gateway where it goes too far', async () => {
    const tooLarge = await request(
      session,
      { ':path': '/small/a', ':method': 'POST' },
      'x'.repeat(11),
    );
    expect(tooLarge.status).toBe(413);
    const longHead = await request(session, { ':path': '/echo', 'x-large': 'x'.repeat(17_000) });
    expect(longHead.status).toBe(431);
    expect(await gateway.logged((line) => line.reason === 'request_head_too_large')).toMatchObject({
      protocol: 'HTTP/2.0',
      status: 431,
    });
    const longTarget = await request(session, { ':path': `/${'x'.repeat(9_000)}` });
    expect(longTarget.status).toBe(414);
    const expectation = await request(session, { ':path': '/echo', expect: 'the-unexpected' });
    expect(expectation.status).toBe(417);
    expect(JSON.parse(longHead.body.toString()).reason).toBe('request_head_too_large');
    // The connection is as good as before.
    expect((await request(session, { ':path': '/echo' })).status).toBe(200);
  });

  it('sees a response break off', async () => {
    raw.script = (connection) => {
      connection.send('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf');
      connection.end();
    };
    await expect(request(session, { ':path': '/raw/half' })).rejects.toThrow('INTERNAL_ERROR');
    expect((await request(session, { ':path': '/echo' })).status).toBe(200);
  });

  it('that the client gives up ends at the origin too', async () => {
    raw.script = () => {};
    const stream = session.request({ ':authority': 'a', ':path': '/raw/given-up' });
    const connection = await raw.nextConnection();
    await connection.requestHead();
    stream.close(8);
    expect(await connection.ended()).toMatch(/end|reset/);
    const line = await gateway.loggedTarget('/raw/given-up');
    expect(line.reason).toBe('client_closed');
  });
});

describe('many requests at a time', () => {
  it('are never mixed up', async () => {
    const responses = await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const upload = Buffer.alloc(1_000 * i, `${i % 10}`);
        const { body } = await request(
          session,
          { ':path': `/echo?n=${i}`, ':method': 'POST' },
          upload,
        );
        const { url, size, sha256 } = JSON.parse(body.toString());
        const sum = createHash('sha256').update(upload).digest('hex');
        return {
          seen: { url, size, sha256 },
          sent: { url: `/echo?n=${i}`, size: 1_000 * i, sha256: sum },
        };
      }),
    );
    for (const { seen, sent } of responses) expect(seen).toEqual(sent);
  });

  it('come with bodies that are whole, whatever their sizes', async () => {
    const sizes = Array.from({ length: 60 }, (_, i) => (i * 7_919) % 300_000);
    const bodies = await Promise.all(
      sizes.map(
        async (size, i) => (await request(session, { ':path': `/bytes/${size}/${i % 10}` })).body,
      ),
    );
    bodies.forEach((body, i) => {
      expect(body.equals(Buffer.alloc(sizes[i] ?? 0, `${i % 10}`))).toBe(true);
    });
  });

  it('do not wait for one whose client reads slowly', async () => {
    const slow = session.request({ ':authority': 'a', ':path': '/bytes/3000000/s' });
    slow.pause();
    await new Promise((resolve) => slow.once('response', resolve));
    for (let i = 0; i < 20; ++i) {
      expect((await request(session, { ':path': '/bytes/50000/f' })).body.length).toBe(50_000);
    }
    let size = 0;
    slow.on('data', (bytes: Buffer) => {
      size += bytes.length;
    });
    slow.resume();
    await new Promise((resolve) => slow.once('end', resolve));
    expect(size).toBe(3_000_000);
  });

  it('do not wait for one whose body the origin does not read', async () => {
    raw.script = async (connection) => {
      await connection.requestHead();
      connection.pause();
    };
    const stalled = session.request({
      ':authority': 'a',
      ':path': '/raw/stalled',
      ':method': 'POST',
    });
    stalled.on('error', () => {});
    stalled.write(Buffer.alloc(8 * 1024 * 1024));
    for (let i = 0; i < 20; ++i) {
      const { body } = await request(
        session,
        { ':path': '/echo', ':method': 'POST' },
        Buffer.alloc(100_000),
      );
      expect(JSON.parse(body.toString()).size).toBe(100_000);
    }
    stalled.close(8);
    for (const connection of raw.connections) connection.close();
  });
});

describe('a listener', () => {
  it('says with GOAWAY that a connection has had its requests', async () => {
    const few = await openHttp2(gateway.address('one'));
    const goaway = new Promise((resolve) =>
      few.once('goaway', (code, last) => resolve([code, last])),
    );
    const statuses = await Promise.all(
      [1, 2, 3].map(async () => (await request(few, { ':path': '/echo' })).status),
    );
    expect(statuses).toEqual([200, 200, 200]);
    expect(await goaway).toEqual([0, 5]);
  });

  it('speaks only what its protocols say', async () => {
    const refused = await openHttp2(gateway.address('old'));
    await expect(request(refused, { ':path': '/echo' })).rejects.toThrow();
    const { status } = await send(gateway.address('new'), 'GET /echo HTTP/1.1\r\nhost: a\r\n\r\n');
    expect(status).toBe(505);
    const taken = await openHttp2(gateway.address('new'));
    expect((await request(taken, { ':path': '/echo' })).status).toBe(200);
  });

  it('does not switch to HTTP/2 when HTTP/1 asks for it', async () => {
    const response = await send(
      gateway.address(),
      'GET /echo HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n',
    );
    expect(response.status).toBe(200);
  });
});

describe('a WebSocket', () => {
  /** Asks for one at `path`. */
  async function openSocket(path: string) {
    await new Promise<void>((resolve) =>
      session.remoteSettings.enableConnectProtocol
        ? resolve()
        : session.once('remoteSettings', () => resolve()),
    );
    const fields = {
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': 'http',
      ':authority': 'a',
      ':path': path,
      'sec-websocket-version': '13',
    };
    return session.request(fields, { endStream: false });
  }

  /** Sec-WebSocket-Accept for the key of the head (RFC 6455 4.2.2). */
  function acceptFor(head: string): string {
    const [, key] = /\r\nsec-websocket-key: (\S+)/i.exec(head) ?? [];
    return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  }

  it.each([
    ['of another key', 'sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n'],
    ['none', ''],
  ])('is refused where the upstream accepts with %s', async (_what, field) => {
    raw.script = async (connection) => {
      await connection.requestHead();
      connection.send(
        `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n${field}\r\n`,
      );
    };
    const from = gateway.output.all.length;
    const { status, body } = await responseOf(await openSocket('/raw/deaf'));
    expect(status).toBe(502);
    expect(body.toString()).toContain('upstream_bad_response');
    expect(await gateway.loggedTarget('/raw/deaf', from)).toMatchObject({
      method: 'CONNECT',
      status: 502,
    });
  });

  it.each([
    ['an upstream', '/simple/page'],
    ['a route', '/fixed'],
  ])('is refused where %s answers with a page, which is no consent to it', async (_what, path) => {
    const { status, body } = await responseOf(await openSocket(path));
    expect(status).toBe(502);
    expect(body.toString()).toContain('upgrade_unsupported');
  });

  it('passes through the extended CONNECT', async () => {
    raw.script = async (connection) => {
      const head = await connection.requestHead();
      expect(head).toMatch(/^GET \/raw\/socket HTTP\/1.1\r\n/);
      expect(head).toMatch(/\r\nupgrade: websocket\r\n/i);
      expect(head).toMatch(/\r\nsec-websocket-key: [A-Za-z0-9+/]{22}==\r\n/i);
      connection.send(
        `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ${acceptFor(head)}\r\nsec-websocket-protocol: chat\r\n\r\nhello`,
      );
      await connection.until('a word', () => connection.unread.toString() === 'ping');
      connection.send('pong');
      await connection.ended();
      connection.end();
    };
    const stream = await openSocket('/raw/socket');
    const head = new Promise<Record<string, unknown>>((resolve) =>
      stream.once('response', resolve),
    );
    let received = '';
    stream.on('data', (bytes) => {
      received += bytes;
      if (received === 'hello') stream.write('ping');
      if (received === 'hellopong') stream.end();
    });
    expect(await head).toMatchObject({ ':status': 200, 'sec-websocket-protocol': 'chat' });
    expect(await head).not.toHaveProperty('sec-websocket-accept');
    await new Promise((resolve) => stream.once('close', resolve));
    expect(received).toBe('hellopong');
    // What the client has said and heard, and not the handshake that the upstream has.
    expect(await gateway.loggedTarget('/raw/socket')).toMatchObject({
      method: 'CONNECT',
      status: 200,
      protocol: 'HTTP/2.0',
      reason: 'none',
    });
  });

  it('is all that CONNECT is for', async () => {
    const stream = session.request(
      { ':method': 'CONNECT', ':authority': 'a:443' },
      { endStream: false },
    );
    expect((await responseOf(stream)).status).toBe(501);
  });
});
