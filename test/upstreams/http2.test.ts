// Upstreams that speak HTTP/2, with stock servers behind the gateway: what is forwarded either way, and how connections are shared.
import { createHash, randomBytes } from 'node:crypto';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { constants } from 'node:http2';
import { setTimeout as delay } from 'node:timers/promises';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { destinationOf } from '../support/address.js';
import { connectTo, get, requestText, send } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import {
  bodyOf,
  type Http2Handler,
  type Http2ServerOrigin,
  startHttp2Server,
} from '../support/http2Server.js';
import { eventually } from '../support/patience.js';

let origin: Http2ServerOrigin;
let gateway: Gateway;

const ok: Http2Handler = ({ stream }) => {
  stream.respond({ ':status': 200 });
  stream.end('ok');
};

const pools = {
  plain: '',
  'three-requests': 'pool: { maxRequests: 3 }',
  'short-idle': 'pool: { idleTimeout: 200ms }',
  'short-age': 'pool: { maxAge: 300ms }',
  'few-streams': 'pool: { maxStreams: 2 }',
  none: 'pool: { maxIdle: 0 }',
  impatient: 'timeouts: { firstByte: 200ms, idle: 200ms }, retries: { attempts: 0 }',
};

const config = () => `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes:
${Object.keys(pools)
  .map((name) => `  - { name: ${name}, match: { path: "/${name}/*" }, upstream: ${name} }`)
  .join('\n')}
upstreams:
${Object.entries(pools)
  .map(
    ([name, more]) =>
      `  - { name: ${name}, protocol: http2, endpoints: ["${origin.address}"], health: { passive: false }${more && `, ${more}`} }`,
  )
  .join('\n')}
`;

beforeAll(async () => {
  origin = await startHttp2Server();
  gateway = await startGateway(config());
});

beforeEach(() => {
  origin.handler = ok;
  origin.clear();
});

/** The session indices that the requests took. */
const taken = () => origin.requests.map(({ session }) => session);

/** Sends a body of any size and reads the response whole. */
async function exchange(
  path: string,
  body: Buffer,
  headers: Record<string, string> = {},
): Promise<{ response: IncomingMessage; body: Buffer }> {
  const options = { ...destinationOf(gateway.address()), method: 'POST', path, headers };
  return new Promise((resolve, reject) => {
    const request = httpRequest(options, async (response) => {
      try {
        const parts: Buffer[] = [];
        for await (const part of response) parts.push(part as Buffer);
        resolve({ response, body: Buffer.concat(parts) });
      } catch (error) {
        reject(error);
      }
    });
    request.on('error', reject);
    request.end(body);
  });
}

const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

describe('a request', () => {
  it('becomes pseudo-fields and fields in lower case, without what is for one connection', async () => {
    const response = await get(
      gateway.address(),
      '/plain/a%20b?q=1',
      'Host: app.example:8080',
      'X-Mixed-Case: Yes',
      'Connection: x-hop, keep-alive',
      'Keep-Alive: timeout=5',
      'X-Hop: gone',
      'Cookie: a=1; b=2',
    );
    expect(response.status).toBe(200);
    const headers = origin.requests[0]?.headers;
    expect(headers).toMatchObject({
      ':method': 'GET',
      ':scheme': 'http',
      ':authority': 'app.example:8080',
      ':path': '/plain/a%20b?q=1',
      'x-mixed-case': 'Yes',
      'x-forwarded-for': '127.0.0.1',
      cookie: 'a=1; b=2',
      via: '1.1 tidegate',
    });
    for (const name of ['connection', 'keep-alive', 'x-hop', 'host', 'te', 'transfer-encoding'])
      expect(headers).not.toHaveProperty(name);
  });

  it('passes the same fields again when they come out of the tables', async () => {
    const fields = ['X-Long: '.padEnd(600, 'abc'), 'Authorization: Bearer secret'];
    for (let i = 0; i < 5; i += 1) await get(gateway.address(), '/plain/a', ...fields);
    const all = origin.requests.map(({ headers }) => [headers['x-long'], headers.authorization]);
    expect(new Set(all.map(String)).size).toBe(1);
    expect(all[0]?.[1]).toBe('Bearer secret');
  });

  it('with heads beyond a frame comes in several', async () => {
    const value = randomBytes(7000).toString('base64');
    const fields = ['a', 'b'].map((name) => `x-${name}: ${value.slice(0, 7000)}`);
    const response = await get(gateway.address(), '/plain/a', ...fields);
    expect(response.status).toBe(200);
    expect(origin.requests[0]?.headers['x-b']).toBe(value.slice(0, 7000));
  });

  it.each([
    ['of known length', { 'content-length': '5' }, '5'],
    ['of unknown length', { 'transfer-encoding': 'chunked' }, undefined],
  ])('passes a body %s', async (_, headers, length) => {
    origin.handler = async ({ stream }) => {
      const body = await bodyOf(stream);
      stream.respond({ ':status': 200 });
      stream.end(body);
    };
    const { body } = await exchange('/plain/a', Buffer.from('hello'), headers);
    expect(body.toString()).toBe('hello');
    expect(origin.requests[0]?.headers['content-length']).toBe(length);
  });

  it('without a body ends with its head', async () => {
    let ended: boolean | undefined;
    origin.handler = (request) => {
      ended = request.stream.readableEnded || request.stream.endAfterHeaders;
      ok(request);
    };
    await send(gateway.address(), requestText('POST /plain/a HTTP/1.1', 'content-length: 0'));
    expect(ended).toBe(true);
    expect(origin.requests[0]?.headers['content-length']).toBe('0');
  });

  it('passes trailers', async () => {
    const trailers = new Promise((resolve) => {
      origin.handler = async (request) => {
        request.stream.on('trailers', resolve);
        await bodyOf(request.stream);
        ok(request);
      };
    });
    const response = await send(
      gateway.address(),
      `${requestText('POST /plain/a HTTP/1.1', 'transfer-encoding: chunked', 'te: trailers', 'connection: te')}5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n`,
    );
    expect(response.status).toBe(200);
    expect(origin.requests[0]?.headers['te']).toBe('trailers');
    expect(await trailers).toMatchObject({ 'x-sum': '42' });
  });
});

describe('a response', () => {
  it('passes status, fields and body', async () => {
    origin.handler = ({ stream }) => {
      stream.respond({ ':status': 418, 'x-a': '1', 'set-cookie': ['a=1', 'b=2'] });
      stream.end('short and stout');
    };
    const response = await get(gateway.address(), '/plain/a');
    expect(response.status).toBe(418);
    expect(response.header('x-a')).toBe('1');
    expect(response.headers('set-cookie')).toEqual(['a=1', 'b=2']);
    expect(response.message.framing).toBe('chunked');
    expect(response.text).toBe('short and stout');
  });

  it.each(['HEAD', 'GET'])('to %s keeps its length', async (method) => {
    origin.handler = ({ stream }) => {
      stream.respond({ ':status': 200, 'content-length': 4 });
      stream.end('four');
    };
    const client = await connectTo(gateway.address());
    for (let i = 0; i < 2; i += 1) {
      const response = await client.request(requestText(`${method} /plain/a HTTP/1.1`));
      expect(response.header('content-length')).toBe('4');
      expect(response.text).toBe(method === 'HEAD' ? '' : 'four');
    }
    client.close();
  });

  it.each([204, 304])('of status %i has no body', async (status) => {
    origin.handler = ({ stream }) => {
      stream.respond({ ':status': status, etag: '"a"' }, { endStream: true });
    };
    const client = await connectTo(gateway.address());
    for (let i = 0; i < 2; i += 1) {
      const response = await client.request(requestText('GET /plain/a HTTP/1.1'));
      expect(response.status).toBe(status);
      expect(response.header('etag')).toBe('"a"');
    }
    client.close();
  });

  it('that ends with its head is one of no bytes', async () => {
    origin.handler = ({ stream }) => stream.respond({ ':status': 200 }, { endStream: true });
    const client = await connectTo(gateway.address());
    for (let i = 0; i < 2; i += 1) {
      const response = await client.request(requestText('GET /plain/a HTTP/1.1'));
      expect(response.header('content-length')).toBe('0');
    }
    client.close();
  });

  it('may follow 103', async () => {
    origin.handler = (request) => {
      request.stream.additionalHeaders({ ':status': 103, link: '</a.css>; rel=preload' });
      ok(request);
    };
    const client = await connectTo(gateway.address());
    client.send(requestText('GET /plain/a HTTP/1.1'));
    const early = await client.response();
    expect([early.status, early.header('link')]).toEqual([103, '</a.css>; rel=preload']);
    expect((await client.response()).text).toBe('ok');
    client.close();
  });

  it('passes trailers', async () => {
    origin.handler = ({ stream }) => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () =>
        stream.sendTrailers({ 'grpc-status': '0', 'x-b-bin': 'AAE=' }),
      );
      stream.end('ok');
    };
    const response = await get(gateway.address(), '/plain/a', 'te: trailers', 'connection: te');
    expect(response.message.trailers).toEqual([
      ['grpc-status', '0'],
      ['x-b-bin', 'AAE='],
    ]);
  });

  it('that comes before the end of the request is passed on', async () => {
    origin.handler = ({ stream }) => {
      stream.respond({ ':status': 413 });
      stream.end('too much');
    };
    const client = await connectTo(gateway.address());
    client.send(`${requestText('POST /plain/a HTTP/1.1', 'content-length: 1000000')}begin`);
    const response = await client.response('POST');
    expect([response.status, response.text]).toEqual([413, 'too much']);
    client.close();
  });

  it('that breaks off is broken off for the client', async () => {
    origin.handler = async ({ stream }) => {
      stream.respond({ ':status': 200, 'content-length': 100 });
      stream.write('some of it');
      await delay(50);
      stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    };
    const client = await connectTo(gateway.address());
    client.send(requestText('GET /plain/broken HTTP/1.1'));
    await client.receive('some of it');
    await client.ended();
    const line = await gateway.loggedTarget('/plain/broken');
    expect(line.reason).toBe('upstream_body_aborted');
    // The connection and its other streams go on.
    origin.handler = ok;
    await get(gateway.address(), '/plain/a');
    expect(new Set(taken()).size).toBe(1);
  });
});

describe('bodies of many MiB', () => {
  it('pass both ways, byte for byte', async () => {
    origin.handler = ({ stream }) => {
      stream.respond({ ':status': 200 });
      stream.pipe(stream);
    };
    const sent = randomBytes(12 * 1024 * 1024);
    const { body } = await exchange('/plain/a', sent);
    expect(body.length).toBe(sent.length);
    expect(digest(body)).toBe(digest(sent));
  });

  it('of several streams at once do not meet', async () => {
    origin.handler = ({ stream }) => {
      stream.respond({ ':status': 200 });
      stream.pipe(stream);
    };
    const sent = Array.from({ length: 8 }, () => randomBytes(2 * 1024 * 1024));
    const results = await Promise.all(sent.map((bytes) => exchange('/plain/a', bytes)));
    expect(results.map(({ body }) => digest(body))).toEqual(sent.map(digest));
  });
});

describe('connections', () => {
  it('are shared: 64 exchanges at once take one, and each gets its own answer', async () => {
    await get(gateway.address(), '/plain/warm');
    origin.clear();
    origin.handler = async ({ stream, headers }) => {
      await delay(Math.random() * 20);
      stream.respond({ ':status': 200 });
      stream.end(`answer to ${headers[':path']}`);
    };
    const clients = await Promise.all(
      Array.from({ length: 64 }, () => connectTo(gateway.address())),
    );
    await Promise.all(
      clients.map(async (client, c) => {
        for (let i = 0; i < 10; i += 1) {
          const path = `/plain/${c}-${i}`;
          const response = await client.request(requestText(`GET ${path} HTTP/1.1`));
          expect(response.text).toBe(`answer to ${path}`);
        }
        client.close();
      }),
    );
    expect(origin.requests).toHaveLength(640);
    expect(new Set(taken()).size).toBe(1);
  });

  it('of more than `pool.maxStreams` exchanges are several', async () => {
    const release: (() => void)[] = [];
    origin.handler = async (request) => {
      await new Promise<void>((resolve) => release.push(resolve));
      ok(request);
    };
    const responses = Array.from({ length: 6 }, () => get(gateway.address(), '/few-streams/a'));
    await eventually('all to be there', () => release.length === 6);
    for (const go of release) go();
    for (const response of await Promise.all(responses)) expect(response.status).toBe(200);
    const counts = new Map<number, number>();
    for (const session of taken()) counts.set(session, (counts.get(session) ?? 0) + 1);
    expect([...counts.values()]).toEqual([2, 2, 2]);
  });

  it('are not used beyond `pool.maxRequests`', async () => {
    for (let i = 0; i < 6; i += 1) await get(gateway.address(), '/three-requests/a');
    const [a, b, c, d, e, f] = taken();
    expect([b, c]).toEqual([a, a]);
    expect([e, f]).toEqual([d, d]);
    expect(d).not.toBe(a);
  });

  it('are closed after `pool.idleTimeout`, with GOAWAY', async () => {
    await get(gateway.address(), '/short-idle/a');
    const session = origin.sessions[origin.requests[0]?.session ?? -1];
    const said = new Promise((resolve) => session?.on('goaway', resolve));
    expect(await said).toBe(0);
    await eventually('the end of the session', () => session?.destroyed);
  });

  it('are not used again after `pool.maxAge`', async () => {
    await get(gateway.address(), '/short-age/a');
    await eventually('another connection', async () => {
      await get(gateway.address(), '/short-age/a');
      return new Set(taken()).size > 1;
    });
  });

  it('are not kept where the pool has no room', async () => {
    for (let i = 0; i < 3; i += 1) {
      await get(gateway.address(), '/none/a');
      await delay(20);
    }
    expect(new Set(taken()).size).toBe(3);
  });

  it('that the endpoint closes cost the next request nothing', async () => {
    for (let i = 0; i < 20; i += 1) {
      const response = await get(gateway.address(), '/plain/a');
      expect(response.status).toBe(200);
      // The next request may come before or after the gateway has noticed.
      for (const session of origin.openSessions) session.close();
    }
  });

  it('stay over a reload that names their endpoint', async () => {
    await get(gateway.address(), '/plain/a');
    expect(await gateway.reload(config())).toBe(true);
    await get(gateway.address(), '/plain/a');
    expect(new Set(taken()).size).toBe(1);
  });
});

describe('a reload that changes the protocol', () => {
  it('makes other connections for it', async () => {
    const of = (protocol: string) => `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, match: { path: "/*" }, upstream: app }]
upstreams: [{ name: app, protocol: ${protocol}, endpoints: ["${origin.address}"], health: { passive: false }, retries: { attempts: 0 } }]
`;
    const other = await startGateway(of('http1'));
    expect((await get(other.address(), '/a')).status).toBe(502);
    expect(await other.reload(of('http2'))).toBe(true);
    expect((await get(other.address(), '/a')).status).toBe(200);
    expect(await other.reload(of('http1'))).toBe(true);
    expect((await get(other.address(), '/a')).status).toBe(502);
    await other.stop();
  });
});

describe('an endpoint that is slow', () => {
  it('is given up after `timeouts.firstByte`, and its connection is not', async () => {
    origin.handler = ({ headers, stream }) => {
      if (headers[':path'] === '/impatient/a') ok({ headers, stream, session: 0 });
    };
    await get(gateway.address(), '/impatient/a');
    const response = await get(gateway.address(), '/impatient/slow');
    expect([response.status, response.problem.reason]).toEqual([
      504,
      'upstream_first_byte_timeout',
    ]);
    await eventually('the stream to be reset', () => origin.requests[1]?.stream.destroyed);
    await get(gateway.address(), '/impatient/a');
    expect(new Set(taken()).size).toBe(1);
  });

  it('in its body is given up after `timeouts.idle`', async () => {
    origin.handler = ({ stream }) => {
      stream.respond({ ':status': 200 });
      stream.write('some');
    };
    const client = await connectTo(gateway.address());
    client.send(requestText('GET /impatient/body HTTP/1.1'));
    await client.receive('some');
    await client.ended();
    expect((await gateway.loggedTarget('/impatient/body')).reason).toBe('upstream_idle_timeout');
  });
});

describe('a client that goes away', () => {
  it('has its stream cancelled, and no other', async () => {
    origin.handler = ({ stream, headers }) => {
      stream.respond({ ':status': 200 });
      stream.write('begun');
      if (headers[':path'] === '/plain/stays') stream.end();
    };
    const client = await connectTo(gateway.address());
    client.send(requestText('GET /plain/leaves HTTP/1.1'));
    await client.receive('begun');
    client.reset();
    const stream = origin.requests[0]?.stream;
    await eventually('the reset', () => stream?.rstCode === constants.NGHTTP2_CANCEL);
    expect((await get(gateway.address(), '/plain/stays')).text).toBe('begun');
    expect(new Set(taken()).size).toBe(1);
  });

  it('does not hold up others while it does not read', async () => {
    const body = randomBytes(8 * 1024 * 1024);
    origin.handler = ({ stream, headers }) => {
      stream.respond({ ':status': 200 });
      stream.end(headers[':path'] === '/plain/large' ? body : 'small');
    };
    const stalled = await connectTo(gateway.address());
    stalled.pause();
    stalled.send(requestText('GET /plain/large HTTP/1.1'));
    await eventually('the large one to be there', () => origin.requests.length === 1);
    for (let i = 0; i < 50; i += 1) {
      expect((await get(gateway.address(), '/plain/small')).text).toBe('small');
    }
    expect(new Set(taken()).size).toBe(1);
    stalled.resume();
    const response = await stalled.response();
    expect(digest(response.message.body)).toBe(digest(body));
    stalled.close();
  });
});

describe('an endpoint that restarts', () => {
  it('gets requests again as soon as it listens', async () => {
    await get(gateway.address(), '/plain/a');
    await origin.close();
    expect((await get(gateway.address(), '/plain/a')).status).toBe(502);
    await origin.listen();
    expect((await get(gateway.address(), '/plain/a')).status).toBe(200);
  });
});
