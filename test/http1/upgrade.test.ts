// Upgrade: after a 101 the gateway is a tunnel (RFC 9110 7.8), for WebSocket and for any other protocol.
import { createHash, randomBytes } from 'node:crypto';
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { beforeAll, describe, expect, it } from 'vitest';
import { destinationOf } from '../support/address.js';
import { endLater } from '../support/cleanup.js';
import { type Client, connectTo, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, type OriginConnection, startRawOrigin } from '../support/origin.js';
import { within } from '../support/patience.js';

const switching =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n\r\n';

let origin: Origin;
let gateway: Gateway;
let webSocketPort: number;

beforeAll(async () => {
  origin = await startRawOrigin();
  webSocketPort = await startWebSocketEcho();
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes:
  - { name: websocket, match: { path: /websocket }, upstream: websocket }
  - { name: short, match: { path: /short }, upstream: origin, timeouts: { tunnel: 300ms } }
  - { name: limited, match: { path: /limited }, upstream: origin, limits: { body: 4 }, timeouts: { request: 300ms } }
  - { name: all, upstream: origin }
upstreams:
  - { name: origin, endpoints: ["${origin.address}"], retries: { attempts: 0 } }
  - { name: websocket, endpoints: ["127.0.0.1:${webSocketPort}"] }
`);
});

/** A server of node:http that accepts the handshake of RFC 6455 and sends every byte back. */
async function startWebSocketEcho(): Promise<number> {
  const server = createServer();
  server.on('upgrade', (request, socket: Duplex, head: Buffer) => {
    const accept = createHash('sha1')
      .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.write(head);
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endLater('origin', () => server.close());
  return (server.address() as AddressInfo).port;
}

/** Both ends of a tunnel through the gateway. */
async function openTunnel(target = '/tunnel'): Promise<[Client, OriginConnection]> {
  const client = await connectTo(gateway.address());
  client.send(requestText(`GET ${target} HTTP/1.1`, 'connection: upgrade', 'upgrade: echo/1'));
  const connection = await origin.nextConnection();
  await connection.requestHead();
  connection.send(switching);
  expect((await client.response()).status).toBe(101);
  return [client, connection];
}

describe('an upgrade to WebSocket', () => {
  it('is made by its handshake, and frames pass both ways', async () => {
    const key = randomBytes(16).toString('base64');
    const client = httpRequest({
      ...destinationOf(gateway.address()),
      path: '/websocket',
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-key': key,
        'sec-websocket-version': '13',
      },
    });
    client.end();
    const [response, socket] = await within(
      new Promise<[import('node:http').IncomingMessage, Socket]>((resolve, reject) => {
        client.on('upgrade', (r, s) => resolve([r, s as Socket])).on('error', reject);
      }),
      'the upgrade',
    );
    expect(response.headers.upgrade).toBe('websocket');
    expect(response.headers['sec-websocket-accept']).toBe(
      createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64'),
    );
    // A text frame "hello", masked with zeros.
    const frame = Buffer.from([0x81, 0x85, 0, 0, 0, 0, ...Buffer.from('hello')]);
    socket.write(frame);
    const echoed = await within(
      new Promise<Buffer>((resolve) => socket.once('data', resolve)),
      'the echoed frame',
    );
    expect(echoed).toEqual(frame);
    socket.end();
    await within(new Promise((resolve) => socket.once('close', resolve)), 'the end of the tunnel');
  });
});

describe('an upgrade to another version of HTTP', () => {
  it.each(['h2c', 'H2C', 'echo/1, h2c', 'HTTP/2.0', 'h2'])(
    'is not passed on, since no route would see what follows: %s',
    async (protocol) => {
      const client = await connectTo(gateway.address());
      client.send(
        requestText(
          'GET /tunnel HTTP/1.1',
          'connection: Upgrade, HTTP2-Settings',
          `upgrade: ${protocol}`,
          'http2-settings: AAMAAABkAAQAoAAAAAIAAAAA',
        ),
      );
      const connection = await origin.nextConnection();
      const head = await connection.requestHead();
      expect(JSON.stringify(head).toLowerCase()).not.toMatch(/upgrade|http2-settings/);
      // An origin that switches all the same finds no tunnel.
      connection.send(switching);
      expect((await client.response()).status).toBe(502);
      client.close();
    },
  );
});

describe('an upgrade', () => {
  it('is asked for with the fields that it needs, and only those', async () => {
    const client = await connectTo(gateway.address());
    client.send(
      requestText(
        'GET /tunnel HTTP/1.1',
        'connection: keep-alive, Upgrade, x-mine',
        'upgrade: echo/1, echo/2',
        'x-mine: 1',
        'keep-alive: timeout=5',
      ),
    );
    const connection = await origin.nextConnection();
    const head = await connection.requestHead();
    expect(head).toMatch(/^connection: upgrade\r$/im);
    expect(head).toMatch(/^upgrade: echo\/1, echo\/2\r$/im);
    expect(head).not.toMatch(/x-mine|keep-alive/i);
    connection.send(switching);
    const response = await client.response();
    expect(response.header('connection')?.toLowerCase()).toBe('upgrade');
    expect(response.header('upgrade')).toBe('echo/1');
    client.close();
    await connection.ended();
    connection.close();
  });

  it('may be refused: the answer is an ordinary one, and the connection goes on', async () => {
    const client = await connectTo(gateway.address());
    client.send(requestText('GET /tunnel HTTP/1.1', 'connection: upgrade', 'upgrade: echo/1'));
    const connection = await origin.nextConnection();
    await connection.requestHead();
    connection.respond('not here', '200 OK');
    expect((await client.response()).text).toBe('not here');
    client.send(requestText('GET /tunnel HTTP/1.1'));
    expect(await connection.requestHead()).not.toMatch(/^upgrade/im);
    connection.respond('again');
    expect((await client.response()).text).toBe('again');
    client.close();
    connection.close();
  });

  it.each([
    ['that Connection does not name', 'HTTP/1.1', ['upgrade: echo/1']],
    ['of an HTTP/1.0 client', 'HTTP/1.0', ['connection: upgrade', 'upgrade: echo/1']],
  ])('%s is not asked for', async (_, version, fields) => {
    const client = await connectTo(gateway.address());
    client.send(requestText(`GET /tunnel ${version}`, ...fields));
    const connection = await origin.nextConnection();
    expect(await connection.requestHead()).not.toMatch(/upgrade/i);
    connection.respond();
    expect((await client.response()).text).toBe('ok');
    client.close();
    connection.close();
  });

  it('counts, and is logged with what passed', async () => {
    const before = await gateway.metric('tidegate_tunnels_total');
    const [client, connection] = await openTunnel('/counted');
    client.send('12345');
    await connection.receive('12345');
    connection.send('1234567');
    await client.receive('1234567');
    client.close();
    await connection.ended();
    connection.close();
    const line = await gateway.loggedTarget('/counted');
    expect(line).toMatchObject({ status: 101, bytes_in: 5, bytes_out: 7, reason: 'none' });
    await gateway.metricIs('tidegate_tunnels_total', before + 1);
  });
});

describe('a tunnel', () => {
  it('passes bytes both ways as they come', async () => {
    const [client, connection] = await openTunnel();
    for (const text of ['one', 'two\r\n\r\n', '\0\xff', 'GET / HTTP/1.1\r\n\r\n']) {
      client.send(text);
      await connection.receive(text);
      connection.send(text);
      await client.receive(text);
    }
    client.close();
    await connection.ended();
    connection.close();
  });

  it('begins with what the client sent right behind its request', async () => {
    const client = await connectTo(gateway.address());
    client.send(
      `${requestText('GET /t HTTP/1.1', 'connection: upgrade', 'upgrade: echo/1')}early bird`,
    );
    const connection = await origin.nextConnection();
    await connection.requestHead();
    connection.send(switching);
    await connection.receive('early bird');
    client.close();
    await connection.ended();
    connection.close();
  });

  it('begins with what the origin sent right behind its 101', async () => {
    const client = await connectTo(gateway.address());
    client.send(requestText('GET /t HTTP/1.1', 'connection: upgrade', 'upgrade: echo/1'));
    const connection = await origin.nextConnection();
    await connection.requestHead();
    connection.send(`${switching}early bird`);
    await client.receive('\r\n\r\nearly bird');
    client.close();
    await connection.ended();
    connection.close();
  });

  it('stays open one way when the client has ended its half', async () => {
    const [client, connection] = await openTunnel();
    client.send('last words');
    client.end();
    await connection.receive('last words');
    expect(await connection.ended()).toBe('end');
    connection.send('still here');
    await client.receive('still here');
    expect(client.ending).toBe('open');
    connection.end();
    expect(await client.ended()).toBe('end');
  });

  it('stays open one way when the origin has ended its half', async () => {
    const [client, connection] = await openTunnel();
    connection.send('last words');
    connection.end();
    await client.receive('last words');
    expect(await client.ended()).toBe('end');
    client.send('still here');
    await connection.receive('still here');
    expect(connection.ending).toBe('open');
    client.end();
    expect(await connection.ended()).toBe('end');
  });

  it('breaks off when the client resets', async () => {
    const [client, connection] = await openTunnel();
    client.reset();
    await connection.ended();
  });

  it('breaks off when the origin resets', async () => {
    const [client, connection] = await openTunnel();
    connection.reset();
    await client.ended();
  });

  it('ends when nothing moves for `timeouts.tunnel`, and not while something does', async () => {
    const [client, connection] = await openTunnel('/short');
    const begin = performance.now();
    // Movement in one direction keeps it open.
    while (performance.now() - begin < 900) {
      client.send('x');
      const bytes = connection.receivedBytes;
      await connection.receiveBytes(bytes + 1);
    }
    expect(client.ending).toBe('open');
    await Promise.all([client.ended(), connection.ended()]);
    const line = await gateway.loggedTarget('/short');
    expect(line.reason).toBe('upstream_idle_timeout');
  });

  it('knows no limit of bytes and no time limit for the whole', async () => {
    const [client, connection] = await openTunnel('/limited');
    const begin = performance.now();
    while (performance.now() - begin < 600) {
      client.send('0123456789');
      const bytes = connection.receivedBytes;
      await connection.receiveBytes(bytes + 10);
    }
    connection.send('still here');
    await client.receive('still here');
    client.close();
    await connection.ended();
    connection.close();
  });

  it('carries much in both directions at once', async () => {
    const [client, connection] = await openTunnel();
    const up = randomBytes(4 * 1024 * 1024);
    const down = randomBytes(4 * 1024 * 1024);
    const clientHad = client.receivedBytes;
    const originHad = connection.receivedBytes;
    client.send(up);
    connection.send(down);
    client.end();
    connection.end();
    await Promise.all([client.ended(), connection.ended()]);
    expect(client.received.length - clientHad).toBe(down.length);
    expect(connection.received.length - originHad).toBe(up.length);
    expect(client.received.endsWith(down.toString('latin1'))).toBe(true);
    expect(connection.received.endsWith(up.toString('latin1'))).toBe(true);
  });

  it('holds back what the other side does not read', async () => {
    const [client, connection] = await openTunnel();
    client.pause();
    const chunk = Buffer.alloc(256 * 1024);
    // More than the gateway and all socket buffers take: the origin cannot write it off.
    for (let i = 0; i < 128; i += 1) connection.send(chunk);
    const read = await gateway.metric('tidegate_upstream_bytes_read_total');
    expect(read).toBeLessThan(128 * chunk.length);
    expect(connection.socket.writableLength).toBeGreaterThan(0);
    client.resume();
    await client.receiveBytes(128 * chunk.length);
    client.close();
    await connection.ended();
    connection.close();
  });
});
