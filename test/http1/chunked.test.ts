// Bodies of either framing, both ways, with trailers (RFC 9112 6 and 7).
import { createHash, randomBytes } from 'node:crypto';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo, get, requestText, send } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin, startRawOrigin } from '../support/origin.js';

const chunkedHead = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
const responses: Record<string, string> = {
  '/plain': `${chunkedHead}5\r\nhello\r\n0\r\n\r\n`,
  '/empty': `${chunkedHead}0\r\n\r\n`,
  '/trailers':
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\nx-other:  a b \r\n\r\n',
  '/extensions': `${chunkedHead}5;a=b;c="d e"\r\nhello\r\n000;last\r\n\r\n`,
  '/odd-sizes': `${chunkedHead}0000A\r\n0123456789\r\nB\r\nabcdefghijk\r\n0\r\n\r\n`,
};

let origin: Origin;
/** Its connections are handled by the tests. */
let byHand: Origin;
let gateway: Gateway;

beforeAll(async () => {
  byHand = await startRawOrigin();
  origin = await startOrigin((request, connection) => {
    if (request.target === '/echo') {
      connection.send(`${chunkedHead}${request.message.body.length.toString(16)}\r\n`);
      connection.send(request.message.body);
      connection.send('\r\n0\r\n\r\n');
      return;
    }
    connection.send(responses[request.target] ?? 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
  });
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes:
  - { name: by-hand, match: { path: /by-hand }, upstream: by-hand }
  - { name: all, upstream: origin }
upstreams:
  - { name: origin, endpoints: ["${origin.address}"] }
  - { name: by-hand, endpoints: ["${byHand.address}"] }
`);
});

beforeEach(() => origin.clear());

describe('a chunked request', () => {
  const chunked = (chunks: string) =>
    `${requestText('POST /ok HTTP/1.1', 'transfer-encoding: chunked')}${chunks}`;

  it.each([
    ['one chunk', '5\r\nhello\r\n0\r\n\r\n', 'hello'],
    ['several chunks', '5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n', 'hello world'],
    ['an empty body', '0\r\n\r\n', ''],
    ['sizes in capitals and with leading zeros', '00A\r\n0123456789\r\n0\r\n\r\n', '0123456789'],
    ['extensions', '5;a=b\r\nhello\r\n0;c\r\n\r\n', 'hello'],
    ['data that looks like framing', '7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n', '\r\n0\r\n\r\n'],
  ])('reaches the origin chunked, without its extensions: %s', async (_, chunks, body) => {
    expect((await send(gateway.address(), chunked(chunks))).text).toBe('ok');
    const seen = await origin.nextRequest();
    expect(seen.message.framing).toBe('chunked');
    expect(seen.headers('transfer-encoding')).toEqual(['chunked']);
    expect(seen.header('content-length')).toBeUndefined();
    expect(seen.text).toBe(body);
    expect(seen.connection.received).not.toContain(';');
  });

  it('brings its trailers along', async () => {
    const request = `${requestText('POST /ok HTTP/1.1', 'transfer-encoding: chunked', 'trailer: x-sum')}5\r\nhello\r\n0\r\nX-Sum: 42\r\nx-other: a\r\n\r\n`;
    expect((await send(gateway.address(), request)).text).toBe('ok');
    const seen = await origin.nextRequest();
    expect(seen.text).toBe('hello');
    expect(seen.message.trailers).toEqual([
      ['X-Sum', '42'],
      ['x-other', 'a'],
    ]);
  });

  it('is read the same wherever it is split', async () => {
    const request = chunked('5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nx-sum: 42\r\n\r\n');
    const positions = Array.from({ length: request.length - 1 }, (_, i) => i + 1);
    await Promise.all(
      positions.map(async (position) => {
        const client = await connectTo(gateway.address());
        await client.sendSplit(request, [position]);
        expect((await client.response()).text).toBe('ok');
        client.close();
      }),
    );
    for (const seen of origin.requests) {
      expect(seen.text).toBe('hello world');
      expect(seen.message.trailers).toEqual([['x-sum', '42']]);
    }
    expect(origin.requests.length).toBe(positions.length);
  });

  it('streams: the origin has a chunk before the client sends the next', async () => {
    const client = await connectTo(gateway.address());
    client.send(
      `${requestText('POST /by-hand HTTP/1.1', 'transfer-encoding: chunked')}3\r\none\r\n`,
    );
    const connection = await byHand.nextConnection();
    await connection.receive('3\r\none\r\n');
    client.send('3\r\ntwo\r\n');
    await connection.receive('3\r\ntwo\r\n');
    client.send('0\r\n\r\n');
    await connection.receive('0\r\n\r\n');
    connection.respond('done');
    expect((await client.response()).text).toBe('done');
    client.close();
    connection.close();
  });
});

describe('a request body of known length', () => {
  it.each([
    ['POST', ['content-length: 5'], 'hello', ['5']],
    ['POST', ['content-length: 0'], '', ['0']],
    ['PUT', ['content-length: 000005'], 'hello', ['5']],
    ['GET', ['content-length: 5'], 'hello', ['5']],
    ['DELETE', ['content-length: 5'], 'hello', ['5']],
    ['GET', [], '', []],
    ['POST', [], '', []],
  ])('reaches the origin as such: %s %j', async (method, fields, body, lengths) => {
    const request = `${requestText(`${method} /ok HTTP/1.1`, ...fields)}${body}`;
    expect((await send(gateway.address(), request)).text).toBe('ok');
    const seen = await origin.nextRequest();
    expect(seen.text).toBe(body);
    expect(seen.headers('content-length')).toEqual(lengths);
    expect(seen.header('transfer-encoding')).toBeUndefined();
  });
});

describe('a chunked response', () => {
  it.each([
    ['/plain', 'hello'],
    ['/empty', ''],
    ['/extensions', 'hello'],
    ['/odd-sizes', '0123456789abcdefghijk'],
  ])('reaches the client chunked: %s', async (target, body) => {
    const response = await get(gateway.address(), target);
    expect(response.message.framing).toBe('chunked');
    expect(response.headers('transfer-encoding')).toEqual(['chunked']);
    expect(response.text).toBe(body);
  });

  it('streams: the client has a chunk before the origin sends the next', async () => {
    const client = await connectTo(gateway.address());
    client.send(requestText('GET /by-hand HTTP/1.1'));
    const connection = await byHand.nextConnection();
    await connection.requestHead();
    connection.send(`${chunkedHead}3\r\none\r\n`);
    await client.receive('one');
    connection.send('3\r\ntwo\r\n');
    await client.receive('two');
    connection.send('0\r\n\r\n');
    expect((await client.response()).text).toBe('onetwo');
    client.close();
    connection.close();
  });

  it('brings its trailers along', async () => {
    const response = await get(gateway.address(), '/trailers', 'te: trailers');
    expect(response.text).toBe('hello');
    expect(response.message.trailers).toEqual([
      ['X-Sum', '42'],
      ['x-other', 'a b'],
    ]);
  });

  it('leaves the connection ready for the next, on both sides', async () => {
    const client = await connectTo(gateway.address());
    for (const target of ['/plain', '/trailers', '/empty', '/plain']) {
      const response = await client.request(requestText(`GET ${target} HTTP/1.1`));
      expect(response.status).toBe(200);
    }
    expect(new Set(origin.requests.map(({ connection }) => connection)).size).toBe(1);
    client.close();
  });
});

describe('large bodies', () => {
  const megabyte = randomBytes(1024 * 1024);
  const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

  it('arrive unchanged both ways, whatever their framing', async () => {
    const client = await connectTo(gateway.address());
    client.send(requestText('POST /echo HTTP/1.1', `content-length: ${megabyte.length}`));
    client.send(megabyte);
    const response = await client.response();
    expect(digest(response.message.body)).toBe(digest(megabyte));

    client.send(requestText('POST /echo HTTP/1.1', 'transfer-encoding: chunked'));
    for (let at = 0, size = 1; at < megabyte.length; at += size, size = size * 3 + 1) {
      const chunk = megabyte.subarray(at, at + size);
      client.send(`${chunk.length.toString(16)}\r\n`);
      client.send(chunk);
      client.send('\r\n');
    }
    client.send('0\r\n\r\n');
    const echoed = await client.response();
    expect(digest(echoed.message.body)).toBe(digest(megabyte));
    client.close();
  });
});
