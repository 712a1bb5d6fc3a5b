// HTTP/2 on both sides of the gateway: what passes from the client's stream to the endpoint's.
import { createHash, randomBytes } from 'node:crypto';
import type { ClientHttp2Session } from 'node:http2';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway.js';
import { openHttp2, responseOf } from '../support/http2Client.js';
import {
  bodyOf,
  type Http2Handler,
  type Http2ServerOrigin,
  startHttp2Server,
} from '../support/http2Server.js';

let origin: Http2ServerOrigin;
let gateway: Gateway;
let session: ClientHttp2Session;

const echo: Http2Handler = async ({ stream, headers }) => {
  const body = await bodyOf(stream);
  stream.respond({ ':status': 200, 'x-path': `${headers[':path']}` }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.end(body);
};

beforeAll(async () => {
  origin = await startHttp2Server(echo, { settings: { enableConnectProtocol: true } });
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, match: { path: "/*" }, upstream: origin }]
upstreams: [{ name: origin, protocol: http2, endpoints: ["${origin.address}"] }]
`);
  session = await openHttp2(gateway.address());
});

beforeEach(() => {
  origin.handler = echo;
  origin.clear();
});

const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

describe('a request', () => {
  it('passes with body, trailers of both sides, and te: trailers', async () => {
    const trailers = new Promise((resolve) => {
      origin.handler = (request) => {
        request.stream.on('trailers', resolve);
        return echo(request);
      };
    });
    const stream = session.request(
      { ':method': 'POST', ':path': '/pkg.Service/Method', te: 'trailers', 'x-a-bin': 'AAE=' },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '42' }));
    stream.end('message');
    const response = await responseOf(stream);
    expect(response.body.toString()).toBe('message');
    expect(response.trailers).toMatchObject({ 'grpc-status': '0' });
    expect(await trailers).toMatchObject({ 'x-sum': '42' });
    expect(origin.requests[0]?.headers).toMatchObject({ te: 'trailers', 'x-a-bin': 'AAE=' });
  });

  it('with trailers behind a body of known length keeps both', async () => {
    const trailers = new Promise((resolve) => {
      origin.handler = (request) => {
        request.stream.on('trailers', resolve);
        return echo(request);
      };
    });
    const stream = session.request(
      { ':method': 'POST', ':path': '/a', 'content-length': '7' },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '42' }));
    stream.end('message');
    expect((await responseOf(stream)).body.toString()).toBe('message');
    expect(await trailers).toMatchObject({ 'x-sum': '42' });
  });
});

describe('streams', () => {
  it('of one connection, 100 at a time, meet in none of the endpoint', async () => {
    const bodies = Array.from({ length: 100 }, () => randomBytes(20_000));
    const responses = await Promise.all(
      bodies.map((body, i) => {
        const stream = session.request({ ':method': 'POST', ':path': `/${i}` });
        stream.end(body);
        return responseOf(stream);
      }),
    );
    expect(responses.map(({ headers }) => headers['x-path'])).toEqual(
      bodies.map((_, i) => `/${i}`),
    );
    expect(responses.map(({ body }) => digest(body))).toEqual(bodies.map(digest));
  });

  it('speak both ways at once', async () => {
    origin.handler = ({ stream }) => {
      stream.respond({ ':status': 200 });
      stream.pipe(stream);
    };
    const stream = session.request({ ':method': 'POST', ':path': '/chat' });
    for (const text of ['one', 'two', 'three']) {
      stream.write(text);
      const [echoed] = await new Promise<Buffer[]>((resolve) =>
        stream.once('data', (bytes) => resolve([bytes])),
      );
      expect(echoed?.toString()).toBe(text);
    }
    stream.end();
  });

  it('that the client cancels are cancelled', async () => {
    const gone = new Promise((resolve) => {
      origin.handler = ({ stream }) => {
        stream.respond({ ':status': 200 });
        stream.write('begun');
        stream.on('close', () => resolve(stream.rstCode));
      };
    });
    const stream = session.request({ ':path': '/a' });
    stream.on('error', () => {});
    await new Promise((resolve) => stream.once('data', resolve));
    stream.close(8);
    expect(await gone).toBe(8);
  });

  it('may be WebSockets', async () => {
    origin.handler = ({ stream }) => {
      stream.respond({ ':status': 200 });
      stream.pipe(stream);
    };
    const stream = session.request({
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':path': '/socket',
      'sec-websocket-version': '13',
    });
    const head = await new Promise<Record<string, unknown>>((resolve) =>
      stream.once('response', resolve),
    );
    expect(head[':status']).toBe(200);
    expect(head).not.toHaveProperty('sec-websocket-accept');
    stream.write('ping');
    const echoed = await new Promise<Buffer>((resolve) => stream.once('data', resolve));
    expect(echoed.toString()).toBe('ping');
    stream.end();
    expect(origin.requests[0]?.headers).toMatchObject({
      ':method': 'CONNECT',
      ':protocol': 'websocket',
    });
  });
});
