// TLS towards endpoints: whom the gateway believes, and what happens when it does not.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { renameSync, writeFileSync } from 'node:fs';
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type SecureServerOptions,
} from 'node:http2';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { addressOf } from '../support/address.js';
import { Authority, type Certificate } from '../support/certificates.js';
import { endLater } from '../support/cleanup.js';
import { connectTo, get, requestText } from '../support/client.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { openHttp2, responseOf } from '../support/http2Client.js';
import { startOrigin, startRawOrigin } from '../support/origin.js';
import { eventually, within } from '../support/patience.js';
import { startTlsOrigin } from '../support/tlsOrigin.js';

const authority = new Authority();
const site = authority.issue({ names: ['localhost', 'app.internal'] });

function configOf(endpoint: string, tls: string, more = ''): string {
  return `
listeners: [{ name: public, bind: 127.0.0.1:0 }]
routes: [{ name: all, upstream: app }]
upstreams:
  - { name: app, endpoints: ["${endpoint}"], tls: ${tls}, ${more} }
`;
}

const ca = `ca: ${authority.certFile}`;

describe('an upstream over TLS', () => {
  test('is asked for by its name and verified', async () => {
    const origin = await startTlsOrigin({ cert: site.cert, key: site.key });
    const gateway = await startGateway(configOf(`localhost:${origin.port}`, `{ ${ca} }`));
    const response = await get(gateway.address(), '/');
    expect(response.status).toBe(200);
    expect(response.text).toBe('ok');
    expect(origin.requests[0]?.servername).toBe('localhost');
  });

  test('serverName stands in place of an address', async () => {
    const origin = await startTlsOrigin({ cert: site.cert, key: site.key });
    const gateway = await startGateway(
      configOf(origin.address, `{ ${ca}, serverName: app.internal }`),
    );
    expect((await get(gateway.address(), '/')).status).toBe(200);
    expect(origin.requests[0]?.servername).toBe('app.internal');
  });

  test.each([
    ['another name', `{ ${ca}, serverName: other.internal }`, 'hostname mismatch'],
    ['an address that the certificate does not have', `{ ${ca} }`, 'IP address mismatch'],
    [
      'an authority that nobody knows',
      '{ serverName: localhost }',
      'unable to get local issuer certificate',
    ],
  ])('%s is 502, with the cause in the log', async (_what, tls, cause) => {
    const origin = await startTlsOrigin({ cert: site.cert, key: site.key });
    const gateway = await startGateway(configOf(origin.address, tls));
    const response = await get(gateway.address(), '/');
    expect(response.status).toBe(502);
    expect(response.problem.reason).toBe('upstream_tls_failed');
    expect(response.text).not.toContain(cause);
    const line = await gateway.loggedTarget('/');
    expect(line.upstream_tls_error).toBe(cause);
    expect(origin.requests).toHaveLength(0);
  });

  test('NODE_EXTRA_CA_CERTS names more authorities that are believed', async () => {
    const origin = await startTlsOrigin({ cert: site.cert, key: site.key });
    const gateway = await startGateway(configOf(origin.address, '{ serverName: localhost }'), {
      env: { NODE_EXTRA_CA_CERTS: authority.certFile },
    });
    expect((await get(gateway.address(), '/')).status).toBe(200);
  });

  test('verify: false takes any certificate', async () => {
    const origin = await startTlsOrigin({ cert: site.cert, key: site.key });
    const gateway = await startGateway(configOf(origin.address, '{ verify: false }'));
    expect((await get(gateway.address(), '/')).status).toBe(200);
  });

  test('an endpoint that speaks no TLS is 502, and one that says nothing 504', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(configOf(origin.address, '{ verify: false }'));
    const refused = await connectTo(gateway.address());
    refused.send(requestText('GET / HTTP/1.1'));
    const connection = await origin.nextConnection();
    await connection.until('a first message', () => connection.receivedBytes > 0);
    connection.send('HTTP/1.1 400 Bad Request\r\n\r\n');
    expect((await refused.response()).problem.reason).toBe('upstream_tls_failed');
    refused.close();
    await gateway.reload(
      configOf(
        origin.address,
        '{ verify: false }',
        'timeouts: { connect: 200ms }, retries: { attempts: 0 }',
      ),
    );
    expect((await get(gateway.address(), '/')).status).toBe(504);
  });

  describe('of the protocol http2', () => {
    const http2 = (address: string) =>
      configOf(address, `{ ${ca}, serverName: localhost }`, 'protocol: http2');

    test('is spoken to in HTTP/2 where it chooses that', async () => {
      const server = createSecureServer(site, (request, response) => {
        const { alpnProtocol } = request.socket as TLSSocket;
        response.end(`${request.httpVersion} ${alpnProtocol} ${request.headers[':scheme']}`);
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      endLater('origin', () => void server.close());
      const gateway = await startGateway(http2(addressOf(server)));
      expect((await get(gateway.address(), '/')).text).toBe('2.0 h2 https');
    });

    test.each<[string, TlsOptions, string]>([
      ['chooses no protocol', {}, 'the endpoint did not choose HTTP/2 (ALPN)'],
      [
        'speaks other protocols',
        { ALPNProtocols: ['http/1.1'] },
        'tlsv1 alert no application protocol',
      ],
    ])('one that %s is 502 and gets nothing', async (_what, options, cause) => {
      const received: Buffer[] = [];
      const ends: Promise<unknown>[] = [];
      const server = createServer({ ...site, ...options }, (socket) => {
        socket.on('data', (bytes) => received.push(bytes)).on('error', () => {});
        ends.push(once(socket, 'close'));
      });
      server.on('tlsClientError', () => {});
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      endLater('origin', () => void server.close());
      const gateway = await startGateway(http2(addressOf(server)));
      const response = await get(gateway.address(), '/');
      expect(response.status).toBe(502);
      expect(response.problem.reason).toBe('upstream_tls_failed');
      expect((await gateway.loggedTarget('/')).upstream_tls_error).toBe(cause);
      await within(Promise.all(ends), 'the ends of the connections');
      expect(Buffer.concat(received).toString()).toBe('');
    });
  });

  describe('of the protocol auto', () => {
    const auto = (address: string, more = '') =>
      configOf(address, `{ ${ca}, serverName: localhost }`, `protocol: auto, ${more}`);

    /** Says which HTTP it was asked in; HTTP/2 only where that is offered to it. */
    async function startSecureServer(options: SecureServerOptions) {
      const server = createSecureServer(
        { ...site, allowHTTP1: true, ...options },
        (request, response) => response.end(request.httpVersion),
      );
      const seen = { connections: 0, protocols: [] as unknown[], address: '', server };
      server.on('secureConnection', ({ alpnProtocol }) => {
        seen.connections += 1;
        seen.protocols.push(alpnProtocol);
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      endLater('origin', () => void server.close());
      seen.address = addressOf(server);
      return seen;
    }

    test('is spoken to in HTTP/2 where it chooses that, also by many at once over one connection', async () => {
      const origin = await startSecureServer({});
      const gateway = await startGateway(auto(origin.address));
      const texts = await Promise.all(
        Array.from({ length: 30 }, async () => (await get(gateway.address(), '/')).text),
      );
      expect(new Set(texts)).toEqual(new Set(['2.0']));
      expect((await get(gateway.address(), '/')).text).toBe('2.0');
      expect(origin.connections).toBe(1);
    });

    test('is spoken to in HTTP/1.1 where it chooses that, one connection for each at a time', async () => {
      const origin = await startTlsOrigin({ ...site, ALPNProtocols: ['http/1.1'] });
      const gateway = await startGateway(auto(origin.address));
      const responses = await Promise.all(
        Array.from({ length: 10 }, () => get(gateway.address(), '/')),
      );
      for (const { text } of responses) expect(text).toBe('ok');
      const before = origin.connections;
      expect(before).toBeLessThanOrEqual(10);
      expect((await get(gateway.address(), '/')).text).toBe('ok');
      expect(origin.connections).toBe(before);
    });

    test('is spoken to in HTTP/1.1 where it chooses nothing', async () => {
      const origin = await startTlsOrigin({ ...site, ALPNProtocols: [] });
      const gateway = await startGateway(auto(origin.address));
      expect((await get(gateway.address(), '/')).text).toBe('ok');
      expect((await get(gateway.address(), '/')).text).toBe('ok');
      expect(origin.connections).toBe(1);
    });

    test('may change its mind with each connection', async () => {
      let chosen = 'http/1.1';
      const origin = await startSecureServer({ ALPNCallback: () => chosen });
      const config = auto(origin.address, 'pool: { maxRequests: 1 }');
      const gateway = await startGateway(config);
      for (const [protocol, version] of [
        ['http/1.1', '1.1'],
        ['h2', '2.0'],
        ['http/1.1', '1.1'],
      ] as const) {
        chosen = protocol;
        expect((await get(gateway.address(), '/')).text).toBe(version);
      }
    });

    describe('a WebSocket', () => {
      const handshake = requestText(
        'GET /socket HTTP/1.1',
        ...['connection: upgrade', 'upgrade: websocket', 'sec-websocket-version: 13'],
        'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
      );

      /** Answers a handshake of HTTP/1 with an echo. */
      function acceptWebSockets(server: Http2SecureServer) {
        server.on('upgrade', (request, socket: Duplex) => {
          const key = request.headers['sec-websocket-key'];
          const accept = createHash('sha1')
            .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
            .digest('base64');
          socket.write(
            `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
          );
          socket.pipe(socket).on('error', () => {});
        });
      }

      async function echoes(gateway: Gateway) {
        const client = await connectTo(gateway.address());
        expect((await client.request(handshake)).status).toBe(101);
        client.send('ping');
        await client.receive('ping');
        client.end();
        expect(await client.ended()).toBe('end');
      }

      test('goes by HTTP/1.1 where its HTTP/2 takes none, and other requests do not', async () => {
        const origin = await startSecureServer({});
        acceptWebSockets(origin.server);
        const gateway = await startGateway(auto(origin.address));
        await echoes(gateway);
        expect((await get(gateway.address(), '/')).text).toBe('2.0');
        await echoes(gateway);
        const session = await openHttp2(gateway.address());
        const stream = session.request({
          ...{ ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/of-http2' },
          ...{ ':scheme': 'http', ':authority': 'a', 'sec-websocket-version': '13' },
        });
        stream.end('ping');
        expect(await responseOf(stream)).toMatchObject({ status: 200, body: Buffer.from('ping') });
        session.close();
        expect((await get(gateway.address(), '/')).text).toBe('2.0');
        expect(origin.protocols).toEqual(['h2', 'http/1.1', 'http/1.1', 'http/1.1']);
      });

      test('goes by HTTP/2 where that takes it', async () => {
        const origin = await startSecureServer({ settings: { enableConnectProtocol: true } });
        acceptWebSockets(origin.server);
        origin.server.on('connect', ({ stream }: Http2ServerRequest) => {
          stream.respond({ ':status': 200 });
          stream.pipe(stream);
        });
        const gateway = await startGateway(auto(origin.address));
        await echoes(gateway);
        expect(origin.protocols).toEqual(['h2']);
      });

      test('is refused with the reason where HTTP/1.1 is not spoken, and nothing else is', async () => {
        const origin = await startSecureServer({ allowHTTP1: false });
        const gateway = await startGateway(
          auto(origin.address, 'health: { passive: { failures: 1, downFor: 1h } }'),
        );
        const client = await connectTo(gateway.address());
        const response = await client.request(handshake);
        expect([response.status, response.problem.reason]).toEqual([502, 'upgrade_unsupported']);
        client.close();
        expect((await get(gateway.address(), '/')).text).toBe('2.0');
      });
    });

    test('is 502 where TLS fails, and 504 where nothing comes', async () => {
      const origin = await startSecureServer({});
      const gateway = await startGateway(
        configOf(origin.address, '{ serverName: localhost }', 'protocol: auto'),
      );
      const responses = await Promise.all([
        get(gateway.address(), '/'),
        get(gateway.address(), '/'),
      ]);
      for (const { problem } of responses) expect(problem.reason).toBe('upstream_tls_failed');
      expect((await gateway.loggedTarget('/')).upstream_tls_error).toBe(
        'unable to get local issuer certificate',
      );
      const silent = await startRawOrigin();
      await gateway.reload(auto(silent.address, 'timeouts: { connect: 200ms }'));
      expect((await get(gateway.address(), '/')).problem.reason).toBe('upstream_connect_timeout');
    });

    test('a client that goes away meanwhile takes its connection with it', async () => {
      const silent = await startRawOrigin();
      const gateway = await startGateway(auto(silent.address));
      const client = await connectTo(gateway.address());
      client.send(requestText('GET / HTTP/1.1'));
      const connection = await silent.nextConnection();
      client.socket.resetAndDestroy();
      await connection.ended();
      expect((await gateway.loggedTarget('/')).reason).toBe('client_closed');
    });
  });

  test('connections are kept, and new ones resume the session', async () => {
    const origin = await startTlsOrigin({ cert: site.cert, key: site.key }, (request, response) => {
      if (request.url === '/close') response.setHeader('connection', 'close');
      response.end('ok');
    });
    const gateway = await startGateway(configOf(`localhost:${origin.port}`, `{ ${ca} }`));
    for (const target of ['/', '/', '/close', '/', '/close', '/']) {
      expect((await get(gateway.address(), target)).status).toBe(200);
    }
    expect(origin.connections).toBe(3);
    expect(origin.requests.map(({ resumed }) => resumed)).toEqual([
      false,
      false,
      false,
      true,
      true,
      true,
    ]);
  });

  test('our own certificate is shown where it is asked for', async () => {
    const own = authority.issue({ names: [], commonName: 'gateway' });
    const origin = await startTlsOrigin({
      cert: site.cert,
      key: site.key,
      ca: authority.cert,
      requestCert: true,
      rejectUnauthorized: false,
    });
    const config = (tls: string) => configOf(`localhost:${origin.port}`, tls);
    const gateway = await startGateway(
      config(`{ ${ca}, cert: ${own.certFile}, key: ${own.keyFile} }`),
    );
    expect((await get(gateway.address(), '/')).status).toBe(200);
    expect(origin.requests[0]?.client).toBe('gateway');
    // Another identity takes no connection of the first one.
    expect(await gateway.reload(config(`{ ${ca} }`))).toBe(true);
    expect((await get(gateway.address(), '/')).status).toBe(200);
    expect(origin.requests[1]?.client).toBeUndefined();
    expect(origin.requests[1]?.port).not.toBe(origin.requests[0]?.port);
  });

  test('its files are watched: whom it believes and what it shows follow them', async () => {
    const other = new Authority('Other');
    const folder = temporaryFolder();
    const file = (name: string) => join(folder, name);
    const put = (name: string, text: string) => {
      writeFileSync(`${file(name)}.new`, text);
      renameSync(`${file(name)}.new`, file(name));
    };
    const show = ({ cert, key }: Certificate) => {
      put('own.key', key);
      put('own.pem', cert);
    };
    const origin = await startTlsOrigin(
      {
        ...{ cert: site.cert, key: site.key, ca: authority.cert },
        ...{ requestCert: true, rejectUnauthorized: false },
      },
      (_, response) => void response.setHeader('connection', 'close').end('ok'),
    );
    show(authority.issue({ names: [], commonName: 'first' }));
    put('ca.pem', other.cert);
    const gateway = await startGateway(
      configOf(
        `localhost:${origin.port}`,
        `{ ca: ${file('ca.pem')}, cert: ${file('own.pem')}, key: ${file('own.key')} }`,
      ),
    );
    expect((await get(gateway.address(), '/')).problem.reason).toBe('upstream_tls_failed');
    put('ca.pem', authority.cert);
    await eventually('an endpoint that is believed', async () => {
      return (await get(gateway.address(), '/')).status === 200;
    });
    expect(origin.requests.at(-1)?.client).toBe('first');
    show(authority.issue({ names: [], commonName: 'second' }));
    await eventually('the new certificate', async () => {
      expect((await get(gateway.address(), '/')).status).toBe(200);
      return origin.requests.at(-1)?.client === 'second';
    });
  });

  test('bodies of MiB pass both ways', async () => {
    const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
    const origin = await startTlsOrigin(
      { cert: site.cert, key: site.key },
      async (request, response) => {
        const parts: Buffer[] = [];
        for await (const part of request) parts.push(part as Buffer);
        const body = Buffer.concat(parts);
        response.setHeader('x-digest', digest(body));
        response.end(body);
      },
    );
    const gateway = await startGateway(configOf(`localhost:${origin.port}`, `{ ${ca} }`));
    const client = await connectTo(gateway.address());
    for (const size of [1, 100_000, 3 * 1024 * 1024]) {
      const body = randomBytes(size);
      client.send(requestText('POST / HTTP/1.1', `content-length: ${size}`));
      client.send(body);
      const response = await client.response('POST');
      expect(response.header('x-digest')).toBe(digest(body));
      expect(digest(response.message.body)).toBe(digest(body));
    }
    client.close();
  });
});
