// Responses that come before the request is complete (RFC 9112 9.3, 9110 7.5).
import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { connectTo, get, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startRawOrigin } from '../support/origin.js';

let origin: Origin;
let gateway: Gateway;

beforeAll(async () => {
  origin = await startRawOrigin();
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes:
  - { name: fixed, match: { path: /fixed }, respond: { body: "not interested" } }
  - { name: small, match: { path: /small }, upstream: origin, limits: { body: 1KiB } }
  - { name: all, upstream: origin }
upstreams: [{ name: origin, endpoints: ["${origin.address}"], retries: { attempts: 0 } }]
`);
});

describe('an early response', () => {
  it('reaches the client while it still sends; the rest of the request goes nowhere', async () => {
    const client = await connectTo(gateway.address());
    client.send(`${requestText('POST / HTTP/1.1', 'content-length: 100')}begin`);
    const connection = await origin.nextConnection();
    await connection.receive('begin');
    connection.respond('too much', '413 Content Too Large');
    const response = await client.response('POST');
    expect(response.status).toBe(413);
    expect(response.text).toBe('too much');
    client.send('x'.repeat(95));
    client.send(requestText('GET /smuggled HTTP/1.1'));
    expect(await client.ended()).toBe('end');
    expect(client.unread.length).toBe(0);
    await connection.ended();
    expect(connection.received).not.toContain('smuggled');
  });

  it('is not lost by what the client goes on sending', async () => {
    const client = await connectTo(gateway.address());
    const body = randomBytes(64 * 1024);
    client.send(requestText('POST / HTTP/1.1', `content-length: ${64 * body.length}`));
    const connection = await origin.nextConnection();
    await connection.requestHead();
    connection.respond('stop', '403 Forbidden');
    for (let i = 0; i < 3; i += 1) client.send(body);
    expect((await client.response('POST')).text).toBe('stop');
    client.close();
    await connection.ended();
  });

  it('is passed on whole when the origin closes right behind it', async () => {
    const client = await connectTo(gateway.address());
    client.send(`${requestText('POST / HTTP/1.1', 'transfer-encoding: chunked')}5\r\nhello\r\n`);
    const connection = await origin.nextConnection();
    await connection.receive('hello');
    connection.respond('enough', '400 Bad Request', 'connection: close');
    connection.end();
    const response = await client.response('POST');
    expect(response.status).toBe(400);
    expect(response.text).toBe('enough');
    await client.ended();
    connection.close();
  });

  it('may begin before the request ends and end after it', async () => {
    const client = await connectTo(gateway.address());
    client.send(requestText('POST /duplex HTTP/1.1', 'transfer-encoding: chunked'));
    const connection = await origin.nextConnection();
    await connection.requestHead();
    connection.send('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
    for (const word of ['one', 'two', 'three']) {
      client.send(`${word.length.toString(16)}\r\n${word}\r\n`);
      await connection.receive(word);
      const echo = word.toUpperCase();
      connection.send(`${echo.length.toString(16)}\r\n${echo}\r\n`);
      await client.receive(echo);
    }
    client.send('0\r\n\r\n');
    await connection.receive('\r\n0\r\n\r\n');
    connection.send('0\r\n\r\n');
    expect((await client.response('POST')).text).toBe('ONETWOTHREE');

    // Both messages are complete: both connections serve the next request.
    client.send(requestText('GET /next HTTP/1.1'));
    await connection.receive('GET /next');
    connection.respond('next');
    expect((await client.response()).text).toBe('next');
    client.close();
    connection.close();
  });
});

describe('an answer of the gateway to a request whose body it does not want', () => {
  it.each([
    ['/fixed', 200, 'content-length: 1000000'],
    ['/fixed', 200, 'transfer-encoding: chunked'],
    ['/small', 413, 'content-length: 1000000'],
  ])('comes at once and closes: %s %i %s', async (target, status, framing) => {
    const client = await connectTo(gateway.address());
    client.send(requestText(`POST ${target} HTTP/1.1`, framing));
    const response = await client.response('POST');
    expect(response.status).toBe(status);
    expect(response.header('connection')).toBe('close');
    client.send('5\r\nhello\r\n');
    expect(await client.ended()).toBe('end');
  });

  it('is not lost by a body on its way', async () => {
    const client = await connectTo(gateway.address());
    client.send(requestText('POST /small HTTP/1.1', 'content-length: 200000'));
    client.send(randomBytes(200_000));
    const response = await client.response('POST');
    expect(response.status).toBe(413);
    expect(response.problem.reason).toBe('request_body_too_large');
    expect(await client.ended()).toBe('end');
  });

  it('leaves other clients alone', async () => {
    const response = get(gateway.address(), '/other');
    const connection = await origin.nextConnection();
    await connection.requestHead();
    connection.respond('other');
    expect((await response).text).toBe('other');
    connection.close();
  });
});
