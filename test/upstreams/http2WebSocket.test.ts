// WebSockets of HTTP/1 clients to endpoints that speak HTTP/2: extended CONNECT (RFC 8441).
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectTo, get, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import {
  type Http2Handler,
  type Http2ServerOrigin,
  startHttp2Server,
} from '../support/http2Server.js';

let origin: Http2ServerOrigin;
let plain: Http2ServerOrigin;
let gateway: Gateway;

const echo: Http2Handler = ({ stream }) => {
  stream.respond({ ':status': 200, 'sec-websocket-protocol': 'chat' });
  stream.pipe(stream);
};

beforeAll(async () => {
  origin = await startHttp2Server(echo, { settings: { enableConnectProtocol: true } });
  plain = await startHttp2Server();
  gateway = await startGateway(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes:
  - { name: plain, match: { path: "/plain/*" }, upstream: plain }
  - { name: all, match: { path: "/*" }, upstream: origin }
upstreams:
  - { name: origin, protocol: http2, endpoints: ["${origin.address}"] }
  - { name: plain, protocol: http2, endpoints: ["${plain.address}"], health: { passive: { failures: 1 } } }
`);
});

beforeEach(() => {
  origin.handler = echo;
  origin.clear();
  plain.clear();
});

const handshake = (target: string, upgrade = 'websocket') =>
  requestText(
    `GET ${target} HTTP/1.1`,
    'connection: upgrade',
    `upgrade: ${upgrade}`,
    'sec-websocket-version: 13',
    'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
    'sec-websocket-protocol: chat',
  );

describe('a WebSocket', () => {
  it.each(['before the endpoint has said that it takes them', 'after'])('%s', async () => {
    const client = await connectTo(gateway.address());
    const response = await client.request(handshake('/socket?room=1', 'WebSocket'));
    expect(response.status).toBe(101);
    expect(response.header('upgrade')).toBe('websocket');
    expect(response.header('connection')).toBe('upgrade');
    expect(response.header('sec-websocket-accept')).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
    expect(response.header('sec-websocket-protocol')).toBe('chat');
    const headers = origin.requests.at(-1)?.headers;
    expect(headers).toMatchObject({
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':path': '/socket?room=1',
      ':authority': 'test.example',
      'sec-websocket-version': '13',
      'sec-websocket-protocol': 'chat',
    });
    expect(headers).not.toHaveProperty('sec-websocket-key');
    for (const text of ['one', 'two', 'x'.repeat(200_000)]) {
      client.send(text);
      await client.receive(text);
    }
    client.end();
    expect(await client.ended()).toBe('end');
    expect(origin.requests).toHaveLength(1);
  });

  it('that the endpoint ends has ended for the client', async () => {
    origin.handler = ({ stream }) => {
      stream.respond({ ':status': 200 });
      stream.end('bye');
    };
    const client = await connectTo(gateway.address());
    expect((await client.request(handshake('/socket'))).status).toBe(101);
    await client.receive('bye');
    client.end();
    expect(await client.ended()).toBe('end');
  });

  it('that the endpoint refuses is refused as it says', async () => {
    origin.handler = ({ stream }) => {
      stream.respond({ ':status': 403 });
      stream.end('not you');
    };
    const client = await connectTo(gateway.address());
    const response = await client.request(handshake('/socket'));
    expect([response.status, response.text]).toEqual([403, 'not you']);
    client.close();
  });

  it('to an endpoint that takes none is refused with the reason', async () => {
    for (let i = 0; i < 2; i += 1) {
      const client = await connectTo(gateway.address());
      const response = await client.request(handshake('/plain/socket'));
      expect([response.status, response.problem.reason]).toEqual([502, 'upgrade_unsupported']);
      client.close();
    }
    expect(plain.requests).toHaveLength(0);
    // It says nothing of the endpoint's health.
    expect((await get(gateway.address(), '/plain/a')).status).toBe(200);
  });
});

describe('another upgrade', () => {
  it('is ignored, as HTTP/2 has none', async () => {
    const client = await connectTo(gateway.address());
    const response = await client.request(handshake('/plain/a', 'chat/2'));
    expect(response.status).toBe(200);
    expect(plain.requests[0]?.headers).not.toHaveProperty('upgrade');
    client.close();
  });
});
