// Limits on time towards endpoints: to connect, to the first byte, between bytes, and for the whole exchange. 504.
import { beforeAll, describe, expect, it } from 'vitest';
import { connectTo, get, type Response, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin, startRawOrigin } from '../support/origin.js';
import { unansweringAddress } from '../support/unanswering.js';

const limit = 300;

let origin: Origin;
/** Accepts and reads, and says nothing by itself. */
let silent: Origin;
let gateway: Gateway;

beforeAll(async () => {
  origin = await startOrigin();
  silent = await startRawOrigin();
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes:
  - { name: connect, match: { path: /connect }, upstream: unreachable }
  - { name: first-byte, match: { path: /first-byte }, upstream: silent }
  - { name: first-byte-of-route, match: { path: /first-byte-of-route }, upstream: patient, timeouts: { firstByte: ${limit}ms } }
  - { name: idle, match: { path: /idle }, upstream: silent }
  - { name: request, match: { path: /request }, upstream: patient, timeouts: { request: ${limit}ms } }
  - { name: other, match: { path: /other }, upstream: origin }
upstreams:
  - { name: unreachable, endpoints: ["${await unansweringAddress()}"], timeouts: { connect: ${limit}ms }, retries: { attempts: 0 }, health: { passive: false } }
  - { name: silent, endpoints: ["${silent.address}"], timeouts: { firstByte: ${limit}ms, idle: ${limit}ms }, retries: { attempts: 2 }, health: { passive: false } }
  - { name: patient, endpoints: ["${silent.address}"], health: { passive: false } }
  - { name: origin, endpoints: ["${origin.address}"] }
`);
});

async function timed(work: Promise<Response>): Promise<Response> {
  const begin = performance.now();
  const response = await work;
  expect(performance.now() - begin).toBeGreaterThan(limit - 50);
  return response;
}

describe('an endpoint that does not answer to a connect', () => {
  it('is 504 after `timeouts.connect`', async () => {
    const response = await timed(get(gateway.address(), '/connect'));
    expect(response.status).toBe(504);
    expect(response.problem.reason).toBe('upstream_connect_timeout');
    expect(await gateway.loggedTarget('/connect')).toMatchObject({
      status: 504,
      reason: 'upstream_connect_timeout',
      upstream: 'unreachable',
      first_byte_us: null,
    });
  });
});

describe('an endpoint that does not answer to a request', () => {
  it('is 504 after `timeouts.firstByte`, and is not asked again', async () => {
    const response = await timed(get(gateway.address(), '/first-byte'));
    expect(response.status).toBe(504);
    expect(response.problem.reason).toBe('upstream_first_byte_timeout');
    const connection = await silent.nextConnection();
    await connection.ended();
    expect(silent.connections).toHaveLength(1);
  });

  it("is measured by the route's own limit where it has one", async () => {
    const response = await timed(get(gateway.address(), '/first-byte-of-route'));
    expect(response.problem.reason).toBe('upstream_first_byte_timeout');
    await (await silent.nextConnection()).ended();
  });

  it('has the time from the end of the request on', async () => {
    const client = await connectTo(gateway.address());
    client.send(requestText('POST /first-byte HTTP/1.1', 'content-length: 10'));
    const connection = await silent.nextConnection();
    for (let i = 0; i < 10; i += 1) {
      client.send('x');
      await connection.until('a byte', () => connection.received.endsWith('x'.repeat(i + 1)));
      await new Promise((resolve) => setTimeout(resolve, limit / 6));
      expect(client.receivedBytes).toBe(0);
    }
    connection.respond('in time');
    expect((await client.response('POST')).text).toBe('in time');
    client.close();
    connection.close();
  });

  it('leaves the connection of the client as it is', async () => {
    const client = await connectTo(gateway.address());
    expect((await client.request(requestText('GET /first-byte HTTP/1.1'))).status).toBe(504);
    expect((await client.request(requestText('GET /other HTTP/1.1'))).status).toBe(200);
    client.close();
    await (await silent.nextConnection()).ended();
  });
});

describe('an endpoint that stops in the middle', () => {
  it.each([
    ['content-length: 100\r\n\r\nbegin', false],
    ['transfer-encoding: chunked\r\n\r\n5\r\nbegin\r\n', false],
    ['\r\nbegin', true],
  ])('breaks the response off after `timeouts.idle`: %j', async (rest, untilClose) => {
    const client = await connectTo(gateway.address());
    const { localPort } = client;
    client.send(requestText(`GET /idle HTTP/1.${untilClose ? 0 : 1}`));
    const connection = await silent.nextConnection();
    await connection.requestHead();
    connection.send(`HTTP/1.1 200 OK\r\n${rest}`);
    await client.receive('begin');
    const ending = await client.ended();
    // What ends with the connection would look complete after an orderly end.
    if (untilClose) expect(ending).toBe('reset');
    expect(client.received).not.toMatch(/0\r\n\r\n$/);
    await connection.ended();
    const line = await gateway.logged((l) => l.target === '/idle' && l.port === localPort);
    expect(line).toMatchObject({ status: 200, reason: 'upstream_idle_timeout', bytes_out: 5 });
  });

  it('may be slow as long as something comes', async () => {
    const client = await connectTo(gateway.address());
    client.send(requestText('GET /idle HTTP/1.1'));
    const connection = await silent.nextConnection();
    await connection.requestHead();
    connection.send('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n');
    for (let i = 0; i < 10; i += 1) {
      await new Promise((resolve) => setTimeout(resolve, limit / 6));
      connection.send('x');
    }
    expect((await client.response()).text).toBe('xxxxxxxxxx');
    client.close();
    connection.close();
  });
});

describe('`timeouts.request` of a route', () => {
  it('is 504 when no response has begun', async () => {
    const response = await timed(get(gateway.address(), '/request'));
    expect(response.status).toBe(504);
    expect(response.problem.reason).toBe('request_timeout');
    await (await silent.nextConnection()).ended();
  });

  it('breaks off a response under way, however lively', async () => {
    const client = await connectTo(gateway.address());
    client.send(requestText('GET /request HTTP/1.1'));
    const connection = await silent.nextConnection();
    await connection.requestHead();
    connection.send('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
    const drip = setInterval(() => connection.send('1\r\nx\r\n'), 20);
    await client.ended();
    clearInterval(drip);
    expect(client.received).not.toMatch(/0\r\n\r\n$/);
    await connection.ended();
  });

  it('covers a client that sends slowly', async () => {
    const client = await connectTo(gateway.address());
    client.send(requestText('POST /request HTTP/1.1', 'content-length: 1000'));
    const connection = await silent.nextConnection();
    const drip = setInterval(() => client.send('x'), 20);
    const response = await client.response('POST');
    clearInterval(drip);
    expect(response.status).toBe(504);
    expect(response.problem.reason).toBe('request_timeout');
    client.close();
    await connection.ended();
  });
});
