// Limits on sizes, each with its own status: 413, 414, 431 (and 400 for what no limit is about).
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo, type Response, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';

let origin: Origin;
let gateway: Gateway;

beforeAll(async () => {
  origin = await startOrigin();
  gateway = await startGateway(`
listeners:
  - name: public
    bind: "127.0.0.1:0"
    limits: { requestLine: 100, headerBytes: 1KiB, headerCount: 10, body: 1000 }
  - { name: default, bind: "127.0.0.2:0" }
  - name: widest
    bind: "127.0.0.3:0"
    limits: { requestLine: 64KiB, headerBytes: 64KiB, headerCount: 256 }
routes:
  - { name: small, match: { path: /small }, upstream: origin, limits: { body: 10 } }
  - { name: large, match: { path: /large }, upstream: origin, limits: { body: 1MiB } }
  - { name: all, match: { path: "/*" }, upstream: origin }
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`);
});

beforeEach(() => origin.clear());

async function answerTo(bytes: string, listener = 'public'): Promise<Response> {
  const client = await connectTo(gateway.address(listener));
  const response = await client.request(bytes, 'GET');
  if (response.status >= 400) expect(await client.ended()).toBe('end');
  client.close();
  return response;
}

function expectRefusal(response: Response, status: number, reason: string): void {
  expect(response.status).toBe(status);
  expect(response.problem.reason).toBe(reason);
  expect(response.header('connection')).toBe('close');
  expect(origin.requests).toEqual([]);
}

/** A request line of that many bytes. */
const lineOf = (bytes: number) => `GET /${'a'.repeat(bytes - 'GET / HTTP/1.1'.length)} HTTP/1.1`;

describe('the request line', () => {
  it('may be as long as `limits.requestLine`', async () => {
    expect((await answerTo(requestText(lineOf(100)))).status).toBe(200);
  });

  it('is refused with 414 when it is longer', async () => {
    expectRefusal(await answerTo(requestText(lineOf(101))), 414, 'request_target_too_long');
  });

  it('is refused before its end is there', async () => {
    const client = await connectTo(gateway.address());
    client.send(`GET /${'a'.repeat(100)}`);
    expectRefusal(await client.response(), 414, 'request_target_too_long');
    expect(await client.ended()).toBe('end');
  });

  it.each([
    ['default', 8 * 1024],
    ['widest', 60 * 1024],
  ])('of listener %s may have %i bytes', async (listener, bytes) => {
    expect((await answerTo(requestText(lineOf(bytes)), listener)).status).toBe(200);
  });
});

describe('the head', () => {
  /** A head of that many bytes, the empty line included. */
  const headOf = (bytes: number) => {
    const rest = requestText('GET / HTTP/1.1', 'x-a: ').length;
    return requestText('GET / HTTP/1.1', `x-a: ${'b'.repeat(bytes - rest)}`);
  };

  it('may be as long as `limits.headerBytes`', async () => {
    expect((await answerTo(headOf(1024))).status).toBe(200);
  });

  it('is refused with 431 when it is longer', async () => {
    expectRefusal(await answerTo(headOf(1025)), 431, 'request_head_too_large');
  });

  it('is refused before its end is there', async () => {
    const client = await connectTo(gateway.address());
    client.send(`GET / HTTP/1.1\r\nx-a: ${'b'.repeat(1100)}`);
    expectRefusal(await client.response(), 431, 'request_head_too_large');
    expect(await client.ended()).toBe('end');
  });

  it('of many pieces is refused all the same', async () => {
    const client = await connectTo(gateway.address());
    client.send('GET / HTTP/1.1\r\n');
    await client.sendSplit(
      'x: y\r\n'.repeat(400),
      Array.from({ length: 300 }, (_, i) => (i + 1) * 7),
    );
    expect((await client.response()).status).toBe(431);
    expect(await client.ended()).toBe('end');
  });

  it('may have `limits.headerCount` fields and no more', async () => {
    const fields = (count: number) => Array.from({ length: count }, (_, i) => `x-${i}: ${i}`);
    expect((await answerTo(requestText('GET / HTTP/1.1', ...fields(9)))).status).toBe(200);
    origin.clear();
    expectRefusal(
      await answerTo(requestText('GET / HTTP/1.1', ...fields(10))),
      431,
      'request_head_too_large',
    );
  });

  it('may have 256 fields and 64 KiB where the listener says so, all of which reach the origin', async () => {
    const fields = Array.from({ length: 255 }, (_, i) => `x-${i}: ${'v'.repeat(240)}`);
    const response = await answerTo(requestText('GET / HTTP/1.1', ...fields), 'widest');
    expect(response.status).toBe(200);
    const seen = await origin.nextRequest();
    expect(seen.header('x-254')).toBe('v'.repeat(240));
    expect(seen.message.fields.filter(([name]) => /^x-\d+$/.test(name))).toHaveLength(255);
  });
});

describe('the body', () => {
  const withLength = (target: string, bytes: number) =>
    `${requestText(`POST ${target} HTTP/1.1`, `content-length: ${bytes}`)}${'x'.repeat(bytes)}`;
  const chunked = (target: string, ...sizes: number[]) =>
    `${requestText(`POST ${target} HTTP/1.1`, 'transfer-encoding: chunked')}${sizes
      .map((size) => `${size.toString(16)}\r\n${'x'.repeat(size)}\r\n`)
      .join('')}0\r\n\r\n`;

  it.each([
    ['of the listener', '/', 1000],
    ['of the route, when that is smaller', '/small', 10],
    ['of the listener, when the route allows more', '/large', 1000],
  ])('is bound by the limit %s', async (_, target, limit) => {
    for (const bytes of [
      withLength(target, limit),
      chunked(target, limit),
      chunked(target, limit - 5, 5),
    ]) {
      expect((await answerTo(bytes)).status).toBe(200);
    }
    origin.clear();
    for (const bytes of [
      withLength(target, limit + 1),
      chunked(target, limit + 1),
      chunked(target, limit - 5, 6),
    ]) {
      expectRefusal(await answerTo(bytes), 413, 'request_body_too_large');
    }
  });

  it('of known length that is too large is refused before any of it comes', async () => {
    const client = await connectTo(gateway.address());
    client.send(requestText('POST /small HTTP/1.1', 'content-length: 11'));
    expectRefusal(await client.response('POST'), 413, 'request_body_too_large');
    expect(await client.ended()).toBe('end');
  });
});
