// Limits on time towards the client: to the head, between body bytes, for a response that is not read. 408, or a closed connection.
import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { connectTo, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin, startRawOrigin } from '../support/origin.js';

const limit = 300;
const patientLimit = 1000;
const largeBytes = 64 * 1024 * 1024;

let origin: Origin;
let byHand: Origin;
let gateway: Gateway;

beforeAll(async () => {
  const megabyte = randomBytes(1024 * 1024);
  origin = await startOrigin((request, connection) => {
    if (request.target !== '/large') return connection.respond();
    connection.send(`HTTP/1.1 200 OK\r\ncontent-length: ${largeBytes}\r\n\r\n`);
    for (let i = 0; i < largeBytes / megabyte.length; i += 1) connection.send(megabyte);
  });
  byHand = await startRawOrigin();
  gateway = await startGateway(`
listeners:
  - { name: public, bind: "127.0.0.1:0", timeouts: { head: ${limit}ms, body: ${limit}ms, write: ${limit}ms } }
  - { name: patient, bind: "127.0.0.2:0", timeouts: { write: ${patientLimit}ms } }
routes:
  - { name: by-hand, match: { path: /by-hand }, upstream: by-hand }
  - { name: all, match: { path: "/*" }, upstream: origin }
upstreams:
  - { name: origin, endpoints: ["${origin.address}"] }
  - { name: by-hand, endpoints: ["${byHand.address}"], retries: { attempts: 0 } }
`);
});

/** The time from now until the promise is kept, in milliseconds. */
async function timeTo(work: Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work;
  return performance.now() - begin;
}

describe('a slow head', () => {
  it.each(['G', 'GET / HTTP/1.1\r\n', 'GET / HTTP/1.1\r\nhost: test.example\r\n'])(
    'gets 408 when it is not complete in time: %j',
    async (bytes) => {
      const client = await connectTo(gateway.address());
      client.send(bytes);
      const response = client.response();
      expect(await timeTo(response)).toBeGreaterThan(limit - 50);
      expect((await response).status).toBe(408);
      expect((await response).problem.reason).toBe('request_head_timeout');
      expect(await client.ended()).toBe('end');
    },
  );

  it('gets 408 though a byte comes now and then', async () => {
    const client = await connectTo(gateway.address());
    client.send('GET / HTTP/1.1\r\nx: ');
    const drip = setInterval(() => client.send('y'), 30);
    const response = await client.response();
    clearInterval(drip);
    expect(response.status).toBe(408);
    expect(await client.ended()).toBe('end');
  });

  it('is measured for each request of a connection anew', async () => {
    const client = await connectTo(gateway.address());
    const begin = performance.now();
    while (performance.now() - begin < 2 * limit) {
      expect((await client.request(requestText('GET / HTTP/1.1'))).status).toBe(200);
    }
    client.close();
  });
});

describe('a slow request body', () => {
  it.each([
    ['content-length: 10', ''],
    ['content-length: 10', 'hello'],
    ['transfer-encoding: chunked', '5\r\nhel'],
    ['transfer-encoding: chunked', '5\r\nhello\r\n'],
    ['transfer-encoding: chunked', '5\r\nhello\r\n0\r\nx-a: b\r\n'],
  ])('gets 408 when nothing more comes: %s, %j', async (framing, body) => {
    const client = await connectTo(gateway.address());
    client.send(`${requestText('POST / HTTP/1.1', framing)}${body}`);
    const response = client.response('POST');
    expect(await timeTo(response)).toBeGreaterThan(limit - 50);
    expect((await response).status).toBe(408);
    expect((await response).problem.reason).toBe('request_body_timeout');
    expect(await client.ended()).toBe('end');
  });

  it('may take long as a whole', async () => {
    const client = await connectTo(gateway.address());
    client.send(requestText('POST / HTTP/1.1', 'content-length: 20'));
    const begin = performance.now();
    for (let i = 0; i < 20; i += 1) {
      client.send('x');
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    expect(performance.now() - begin).toBeGreaterThan(limit);
    expect((await client.response('POST')).status).toBe(200);
    client.close();
  });

  it('is not blamed on the client while the origin does not read', async () => {
    const client = await connectTo(gateway.address());
    const body = Buffer.alloc(32 * 1024 * 1024);
    client.send(requestText('POST /by-hand HTTP/1.1', `content-length: ${body.length}`));
    const connection = await byHand.nextConnection();
    await connection.requestHead();
    connection.pause();
    client.send(body);
    // Until nothing moves any more, and then for more than the client's limit.
    let before = -1;
    for (let still = 0; still < 2 * limit; still += 50) {
      const read = await gateway.metric('tidegate_client_bytes_read_total');
      if (read !== before) still = 0;
      before = read;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(before).toBeLessThan(body.length);
    expect(client.receivedBytes).toBe(0);
    connection.resume();
    await connection.receiveBytes(body.length);
    connection.respond('all of it');
    expect((await client.response('POST')).text).toBe('all of it');
    client.close();
    connection.close();
  });
});

describe('a client that does not read', () => {
  it('is cut off, and so is the exchange at the origin; memory stays bounded', async () => {
    const client = await connectTo(gateway.address());
    client.pause();
    client.send(requestText('GET /large HTTP/1.1'));
    const line = await gateway.loggedTarget('/large');
    expect(line.reason).toBe('client_write_timeout');
    expect(line.bytes_out).toBeLessThan(largeBytes);
    const request = await origin.nextRequest();
    await request.connection.ended();
    client.close();
  });

  it('may be slow as long as it reads', async () => {
    const client = await connectTo(gateway.address('patient'));
    client.pause();
    client.send(requestText('GET /large HTTP/1.1', 'x-slow: yes'));
    const begin = performance.now();
    // Gulps and not sips: the kernel tells the gateway of room only when there is much of it.
    while (performance.now() - begin < 3 * patientLimit) {
      await new Promise((resolve) => setTimeout(resolve, patientLimit / 5));
      client.resume();
      await client.receiveBytes(client.receivedBytes + 2 * 1024 * 1024);
      client.pause();
    }
    expect(client.ending).toBe('open');
    client.resume();
    await client.receiveBytes(largeBytes);
    client.close();
  });
});
