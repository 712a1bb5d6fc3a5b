// Clients that end their half of the connection, or go away, before they have their response.
import { beforeAll, describe, expect, it } from 'vitest';
import { connectTo, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startRawOrigin } from '../support/origin.js';

let origin: Origin;
let gateway: Gateway;

beforeAll(async () => {
  origin = await startRawOrigin();
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, upstream: origin }]
upstreams:
  - { name: origin, endpoints: ["${origin.address}"], pool: { maxIdle: 0 }, retries: { attempts: 0 } }
`);
});

describe('a client that has ended its half', () => {
  it('gets its response, and then the end', async () => {
    const client = await connectTo(gateway.address());
    client.send(requestText('GET /1 HTTP/1.1'));
    client.end();
    const connection = await origin.nextConnection();
    await connection.requestHead();
    connection.respond('for a half-closed client');
    expect((await client.response()).text).toBe('for a half-closed client');
    expect(await client.ended()).toBe('end');
  });

  it('gets the responses to all that it sent before', async () => {
    const client = await connectTo(gateway.address());
    client.send(['/1', '/2', '/3'].map((target) => requestText(`GET ${target} HTTP/1.1`)).join(''));
    client.end();
    for (const body of ['one', 'two', 'three']) {
      const connection = await origin.nextConnection();
      await connection.requestHead();
      connection.respond(body);
      expect((await client.response()).text).toBe(body);
    }
    expect(await client.ended()).toBe('end');
  });

  it('gets a response that comes in pieces', async () => {
    const client = await connectTo(gateway.address());
    client.send(`${requestText('POST /1 HTTP/1.1', 'content-length: 5')}hello`);
    client.end();
    const connection = await origin.nextConnection();
    await connection.receive('hello');
    connection.send('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n');
    await client.receive('one');
    connection.send('3\r\ntwo\r\n0\r\n\r\n');
    expect((await client.response('POST')).text).toBe('onetwo');
    expect(await client.ended()).toBe('end');
  });

  it.each(['GET /cut', 'GET /cut HTTP/1.1\r\nhost: a', 'GET /cut HTTP/1.1\r\nhost: a\r\n'])(
    'in the middle of a head is refused: %j',
    async (bytes) => {
      const client = await connectTo(gateway.address());
      client.send(bytes);
      client.end();
      expect((await client.response()).status).toBe(400);
      expect(await client.ended()).toBe('end');
    },
  );

  it.each([
    ['content-length: 5', 'hel'],
    ['transfer-encoding: chunked', '5\r\nhel'],
    ['transfer-encoding: chunked', '3\r\nhel\r\n'],
    ['transfer-encoding: chunked', '3\r\nhel\r\n0\r\nx-a: b\r\n'],
  ])(
    'in the middle of a body: the origin sees no complete request (%s, %j)',
    async (framing, body) => {
      const client = await connectTo(gateway.address());
      client.send(`${requestText('POST /cut HTTP/1.1', framing)}${body}`);
      const connection = await origin.nextConnection();
      await connection.receive('hel');
      client.end();
      await connection.ended();
      expect(connection.received.endsWith('0\r\n\r\n')).toBe(false);
      await client.ended();
      expect(client.receivedBytes).toBe(0);
    },
  );

  it('between two requests just ends', async () => {
    const client = await connectTo(gateway.address());
    client.send(requestText('GET /1 HTTP/1.1'));
    const connection = await origin.nextConnection();
    await connection.requestHead();
    connection.respond();
    await client.response();
    client.end();
    expect(await client.ended()).toBe('end');
    expect(client.unread.length).toBe(0);
  });
});

describe('a client that goes away', () => {
  it('by a reset, while the origin thinks: the exchange ends, also at the origin', async () => {
    const client = await connectTo(gateway.address());
    client.send(requestText('GET /gone-waiting HTTP/1.1'));
    const connection = await origin.nextConnection();
    await connection.requestHead();
    client.reset();
    await connection.ended();
    const line = await gateway.loggedTarget('/gone-waiting');
    expect(line).toMatchObject({ reason: 'client_closed', status: null });
  });

  it('by a reset, in the middle of the response', async () => {
    const client = await connectTo(gateway.address());
    client.send(requestText('GET /gone-reading HTTP/1.1'));
    const connection = await origin.nextConnection();
    await connection.requestHead();
    connection.send('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegin');
    await client.receive('begin');
    client.reset();
    await connection.ended();
    const line = await gateway.loggedTarget('/gone-reading');
    expect(line).toMatchObject({ reason: 'client_closed', status: 200, bytes_out: 5 });
  });

  it('by closing, in the middle of a response that goes on', async () => {
    const client = await connectTo(gateway.address());
    client.send(requestText('GET /closed-reading HTTP/1.1'));
    const connection = await origin.nextConnection();
    await connection.requestHead();
    connection.send('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegin\r\n');
    await client.receive('begin');
    client.close();
    const goOn = setInterval(() => connection.send('5\r\nmore \r\n'), 20);
    await connection.ended();
    clearInterval(goOn);
    const line = await gateway.loggedTarget('/closed-reading');
    expect(line.reason).toBe('client_closed');
  });

  it('by a reset, in the middle of its body', async () => {
    const client = await connectTo(gateway.address());
    client.send(`${requestText('POST /gone-sending HTTP/1.1', 'content-length: 100')}begin`);
    const connection = await origin.nextConnection();
    await connection.receive('begin');
    client.reset();
    await connection.ended();
    const line = await gateway.loggedTarget('/gone-sending');
    expect(line).toMatchObject({ reason: 'client_closed', bytes_in: 5 });
  });
});
