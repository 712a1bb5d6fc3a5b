// Fields that belong to one connection end there (RFC 9110 7.6.1); all others pass, in their order.
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { get, requestText, send } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';

let origin: Origin;
let gateway: Gateway;
/** Fields of the next response. */
let answer: string[] = [];

beforeAll(async () => {
  origin = await startOrigin((_request, connection) =>
    connection.respond('ok', '200 OK', ...answer),
  );
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0", forwarding: { xForwarded: off, via: false }, requestId: false }]
routes: [{ name: all, upstream: origin }]
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`);
});

beforeEach(() => {
  origin.clear();
  answer = [];
});

describe('a request', () => {
  it('keeps every end-to-end field, as it was written and in its order', async () => {
    const fields = [
      'host: test.example',
      'X-Mixed-Case: a  b',
      'accept: text/html',
      'accept: */*;q=0.1',
      'x-empty:',
      'cookie: a=b; c=d',
      'x-bytes: \x80\xff',
      'content-type: text/plain',
      'X-Mixed-Case: again',
      'authorization: Bearer x',
    ];
    await send(gateway.address(), requestText('GET / HTTP/1.1', ...fields));
    const seen = await origin.nextRequest();
    expect(seen.message.fields.map(([name, value]) => `${name}: ${value}`.trim())).toEqual([
      'Host: test.example',
      ...fields.slice(1),
    ]);
  });

  it.each([
    'connection: keep-alive',
    'keep-alive: timeout=5',
    'proxy-connection: keep-alive',
    'te: gzip',
    'trailer: x-sum',
    'upgrade: h2c',
    'proxy-authorization: basic eA==',
  ])('loses `%s`', async (field) => {
    await get(gateway.address(), '/', field);
    const seen = await origin.nextRequest();
    expect(seen.header(field.split(':')[0] ?? '')).toBeUndefined();
  });

  it.each(['x-mine', 'X-MINE', 'close, x-mine', 'x-other, x-mine', ' x-mine ,'])(
    'loses what `Connection: %s` names, in any case',
    async (connection) => {
      await get(
        gateway.address(),
        '/',
        'x-mine: 1',
        `connection: ${connection}`,
        'X-Mine: 2',
        'x-mine-too: stays',
      );
      const seen = await origin.nextRequest();
      expect(seen.headers('x-mine')).toEqual([]);
      expect(seen.header('x-mine-too')).toBe('stays');
      expect(seen.header('connection')).toBeUndefined();
    },
  );

  it('announces to the origin that trailers are welcome when the client did', async () => {
    await get(gateway.address(), '/', 'te: trailers, gzip');
    const seen = await origin.nextRequest();
    expect(seen.headers('te')).toEqual(['trailers']);
    expect(seen.headers('connection').map((value) => value.toLowerCase())).toEqual(['te']);
  });
});

describe('a response', () => {
  it('keeps every end-to-end field, as it was written and in its order', async () => {
    answer = [
      'Date: Mon, 02 Jan 2006 15:04:05 GMT',
      'X-Mixed-Case: a  b',
      'set-cookie: a=b',
      'Set-Cookie: c=d',
      'x-empty:',
      'x-bytes: \x80\xff',
      'Server: thing/1',
      'etag: "a"',
    ];
    const response = await get(gateway.address(), '/');
    expect(response.message.fields.map(([name, value]) => `${name}: ${value}`.trim())).toEqual([
      ...answer,
      'Content-Length: 2',
    ]);
  });

  it('loses its hop-by-hop fields and those that Connection names', async () => {
    answer = [
      'connection: keep-alive, x-mine',
      'keep-alive: timeout=5',
      'proxy-connection: keep-alive',
      'X-Mine: 1',
      'upgrade: h2c',
      'trailer: x-sum',
      'proxy-authenticate: basic',
      'x-stays: 1',
    ];
    const response = await get(gateway.address(), '/');
    expect(response.message.fields.map(([name]) => name.toLowerCase())).toEqual([
      'x-stays',
      'date',
      'content-length',
    ]);
  });

  it('keeps its reason phrase, and may have none', async () => {
    const script = origin.script;
    const phrases = ['HTTP/1.1 200 Very Fine', 'HTTP/1.1 299 ', 'HTTP/1.1 299'];
    origin.script = async (connection) => {
      for (const phrase of phrases) {
        await connection.request();
        connection.send(`${phrase}\r\ncontent-length: 0\r\n\r\n`);
      }
    };
    // The pooled connection has the script of before.
    for (const connection of origin.connections) connection.close();
    const lines = [];
    for (let i = 0; i < phrases.length; i += 1) {
      lines.push((await get(gateway.address(), '/')).message.startLine);
    }
    origin.script = script;
    expect(lines[0]).toBe('HTTP/1.1 200 Very Fine');
    expect(lines[1]).toMatch(/^HTTP\/1\.1 299 /);
    expect(lines[2]).toMatch(/^HTTP\/1\.1 299 /);
  });
});
