// HTTP/1.0 clients and origins, and minor versions to come (RFC 9110 2.5, RFC 9112 9.3).
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo, get, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';

const responses: Record<string, string> = {
  '/length': 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
  '/chunked':
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n',
  '/1.0-close': 'HTTP/1.0 200 OK\r\n\r\nhello until the end',
  '/1.0-length': 'HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello',
  '/1.0-keep-alive': 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello',
  '/1.1-close': 'HTTP/1.1 200 OK\r\n\r\nhello until the end',
  '/1.0-chunked': 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  '/1.7': 'HTTP/1.7 200 OK\r\nContent-Length: 5\r\n\r\nhello',
  '/2.0': 'HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello',
  '/informational':
    'HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
};

let origin: Origin;
let gateway: Gateway;

beforeAll(async () => {
  origin = await startOrigin((request, connection) => {
    connection.send(responses[request.target] ?? '');
    if (/close|1\.0-length/.test(request.target)) connection.end();
  });
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, upstream: origin }]
upstreams: [{ name: origin, endpoints: ["${origin.address}"], retries: { attempts: 0 } }]
`);
});

beforeEach(() => origin.clear());

describe('an HTTP/1.0 client', () => {
  it('is answered by HTTP/1.1 and the connection ends', async () => {
    const client = await connectTo(gateway.address());
    const response = await client.request('GET /length HTTP/1.0\r\n\r\n');
    expect(response.message.startLine).toBe('HTTP/1.1 200 OK');
    expect(response.text).toBe('hello');
    expect(response.header('connection')).toBe('close');
    expect(await client.ended()).toBe('end');
  });

  it('keeps the connection when it asks for that', async () => {
    const client = await connectTo(gateway.address());
    for (let i = 0; i < 3; i += 1) {
      const response = await client.request(
        'GET /length HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n',
      );
      expect(response.text).toBe('hello');
      expect(response.header('connection')).toBe('keep-alive');
    }
    client.close();
  });

  it.each(['', 'Connection: keep-alive\r\n'])(
    'gets a chunked body as it is, ended by the connection (%j)',
    async (fields) => {
      const client = await connectTo(gateway.address());
      client.send(`GET /chunked HTTP/1.0\r\n${fields}\r\n`);
      const response = await client.response();
      expect(response.message.framing).toBe('close');
      expect(response.text).toBe('hello world');
      expect(response.header('connection')).toBe('close');
      expect(client.ending).toBe('end');
    },
  );

  it('needs no Host; the upstream gets HTTP/1.1 with one', async () => {
    const client = await connectTo(gateway.address());
    await client.request('GET /length HTTP/1.0\r\n\r\n');
    const seen = await origin.nextRequest();
    expect(seen.message.startLine).toBe('GET /length HTTP/1.1');
    expect(seen.headers('host')).toEqual(['localhost']);
    expect(seen.header('via')).toBe('1.0 tidegate');
    client.close();
  });

  it('gets no 1xx, and its Expect goes no further', async () => {
    const client = await connectTo(gateway.address());
    const response = await client.request(
      'POST /informational HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi',
    );
    expect(response.text).toBe('hello');
    expect(client.received).not.toContain('103');
    expect((await origin.nextRequest()).header('expect')).toBeUndefined();
    client.close();
  });
});

describe('an HTTP/1.0 origin', () => {
  it.each(['/1.0-close', '/1.1-close'])(
    'ends its body by closing, which an HTTP/1.1 client gets chunked (%s)',
    async (target) => {
      const client = await connectTo(gateway.address());
      for (let i = 0; i < 2; i += 1) {
        const response = await client.request(requestText(`GET ${target} HTTP/1.1`));
        expect(response.message.framing).toBe('chunked');
        expect(response.text).toBe('hello until the end');
      }
      client.close();
    },
  );

  it('closes after a body of known length, and the client notices nothing', async () => {
    const client = await connectTo(gateway.address());
    for (let i = 0; i < 2; i += 1) {
      const response = await client.request(requestText('GET /1.0-length HTTP/1.1'));
      expect(response.text).toBe('hello');
      expect(response.header('connection')).toBeUndefined();
    }
    client.close();
  });

  it('is used again when it says keep-alive', async () => {
    await get(gateway.address(), '/1.0-keep-alive');
    await get(gateway.address(), '/1.0-keep-alive');
    const [first, second] = origin.requests;
    expect(second?.connection).toBe(first?.connection);
  });

  it('may not use chunked, which that version does not know', async () => {
    const response = await get(gateway.address(), '/1.0-chunked');
    expect(response.status).toBe(502);
    expect(response.problem.reason).toBe('upstream_bad_response');
  });
});

describe('other versions', () => {
  it('of HTTP/1 are read as HTTP/1.1, on both sides', async () => {
    const client = await connectTo(gateway.address());
    const response = await client.request(requestText('GET /1.7 HTTP/1.9'));
    expect(response.text).toBe('hello');
    expect((await origin.nextRequest()).version).toBe('HTTP/1.1');
    client.close();
  });

  it('of an origin are a bad response', async () => {
    const response = await get(gateway.address(), '/2.0');
    expect(response.status).toBe(502);
    expect(response.problem.reason).toBe('upstream_bad_response');
  });
});
