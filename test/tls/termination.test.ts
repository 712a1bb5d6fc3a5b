// TLS towards clients: requests and responses are what they are in the clear.
import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { Authority } from '../support/certificates.js';
import { connectTo, requestText } from '../support/client.js';
import { startGateway } from '../support/gateway.js';
import { startOrigin } from '../support/origin.js';
import { connectTls } from '../support/tlsClient.js';

const authority = new Authority();
const site = authority.issue({ names: ['localhost'] });

function httpsConfig(origin: string, more = '', upstream = ''): string {
  return `
listeners:
  - name: public
    bind: 127.0.0.1:0
    protocol: https
    tls: { certificates: [{ cert: ${site.certFile}, key: ${site.keyFile} }] }
    ${more}
routes:
  - { name: all, upstream: app }
upstreams:
  - name: app
    endpoints: ["${origin}"]
    ${upstream}
`;
}

describe('requests over TLS', () => {
  test('a request and its response', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(
      httpsConfig(origin.address, 'forwarding: { forwarded: append }'),
    );
    const client = await connectTls(gateway.address(), { authority });
    const response = await client.request(requestText('GET /hello HTTP/1.1'));
    expect(response.status).toBe(200);
    expect(response.text).toBe('ok');
    const request = await origin.nextRequest();
    expect(request.header('x-forwarded-proto')).toBe('https');
    expect(request.header('forwarded')).toContain('proto=https');
    const line = await gateway.loggedTarget('/hello');
    expect(line).toMatchObject({
      tls_version: 'TLSv1.3',
      tls_cipher: expect.stringMatching(/^TLS_(AES|CHACHA20)_/),
      sni: 'localhost',
      alpn: null,
      tls_resumed: false,
      ja4: expect.stringMatching(/^t13d\d{4}00_[0-9a-f]{12}_[0-9a-f]{12}$/),
    });
    client.close();
    await gateway.metricIs('tidegate_tls_handshakes_total', 1);
    await gateway.metricIs('tidegate_tls_connections_active', 0);
  });

  test('many requests on one connection, also when they are pipelined', async () => {
    const origin = await startOrigin((request, connection) => connection.respond(request.target));
    const gateway = await startGateway(httpsConfig(origin.address));
    const client = await connectTls(gateway.address(), { authority });
    for (let i = 0; i < 20; i += 1) {
      const response = await client.request(requestText(`GET /${i} HTTP/1.1`));
      expect(response.text).toBe(`/${i}`);
    }
    const targets = Array.from({ length: 50 }, (_, i) => `/p${i}`);
    client.send(targets.map((target) => requestText(`GET ${target} HTTP/1.1`)).join(''));
    for (const target of targets) expect((await client.response()).text).toBe(target);
    client.close();
  });

  test('bodies of a MiB and more in both directions are what was sent', async () => {
    const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
    const origin = await startOrigin((request, connection) => {
      connection.send(
        `HTTP/1.1 200 OK\r\nx-digest: ${digest(request.message.body)}\r\ncontent-length: ${request.message.body.length}\r\n\r\n`,
      );
      connection.send(request.message.body);
    });
    const gateway = await startGateway(httpsConfig(origin.address));
    const client = await connectTls(gateway.address(), { authority });
    for (const size of [1, 16_384, 16_385, 65_536, 1024 * 1024 + 7, 5 * 1024 * 1024]) {
      const body = randomBytes(size);
      client.send(requestText('POST / HTTP/1.1', `content-length: ${size}`));
      client.send(body);
      const response = await client.response('POST');
      expect(response.header('x-digest')).toBe(digest(body));
      expect(digest(response.message.body)).toBe(digest(body));
    }
    client.close();
  });

  test('a client that reads slowly holds the origin back, and gets all of it', async () => {
    const size = 24 * 1024 * 1024;
    const body = randomBytes(size);
    let sent = 0;
    const origin = await startOrigin((_request, connection) => {
      connection.send(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`);
      const more = () => {
        while (sent < size) {
          const part = body.subarray(sent, sent + 65_536);
          sent += part.length;
          if (!connection.socket.write(part)) return void connection.socket.once('drain', more);
        }
      };
      more();
    });
    const gateway = await startGateway(httpsConfig(origin.address));
    const client = await connectTls(gateway.address(), { authority });
    client.pause();
    client.send(requestText('GET / HTTP/1.1'));
    await origin.nextRequest();
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(sent).toBeLessThan(size);
    client.resume();
    const { status } = await client.responseHead();
    expect(status).toBe(200);
    const headBytes = client.receivedBytes - client.unread.length;
    await client.receiveBytes(headBytes + size);
    expect(client.unread.length).toBe(size);
    expect(client.unread.equals(body)).toBe(true);
    client.close();
  });

  test('an upgrade makes a tunnel', async () => {
    const origin = await startOrigin(async (_request, connection) => {
      connection.send(
        'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n',
      );
      connection.socket.pipe(connection.socket);
      await new Promise(() => {});
    });
    const gateway = await startGateway(httpsConfig(origin.address));
    const client = await connectTls(gateway.address(), { authority });
    const response = await client.request(
      requestText('GET / HTTP/1.1', 'connection: upgrade', 'upgrade: echo'),
    );
    expect(response.status).toBe(101);
    const text = 'x'.repeat(100_000);
    client.send(text);
    await client.until('the echo', () => client.unread.length >= text.length);
    expect(client.unread.toString('latin1')).toBe(text);
    client.end();
    expect(await client.ended()).toBe('end');
  });

  test('a body without its end is no end, and a response breaks off visibly', async () => {
    const origin = await startOrigin((_request, connection) => {
      connection.send('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhalf of it');
      setTimeout(() => connection.reset(), 50);
    });
    const gateway = await startGateway(httpsConfig(origin.address));
    const client = await connectTls(gateway.address(), { authority });
    client.send(requestText('GET / HTTP/1.0'));
    expect(await client.ended()).toBe('reset');
    const upload = await connectTls(gateway.address(), { authority });
    upload.send(requestText('POST /cut HTTP/1.1', 'content-length: 100'));
    upload.send('half');
    upload.close();
    expect((await gateway.loggedTarget('/cut')).reason).toBe('client_closed');
  });
});

describe('what is no TLS', () => {
  test('a request in the clear is closed and counted', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(httpsConfig(origin.address));
    const client = await connectTo(gateway.address());
    client.send(requestText('GET / HTTP/1.1'));
    await client.ended();
    await gateway.metricIs('tidegate_tls_handshake_failures_total', 1, 'reason="plain_http"');
    expect(origin.connections).toHaveLength(0);
  });

  test('garbage is closed and counted', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(httpsConfig(origin.address));
    const client = await connectTo(gateway.address());
    client.send(randomBytes(1000));
    await client.ended();
    await gateway.metricIs('tidegate_tls_handshake_failures_total', 1);
  });

  test('a client that says nothing is closed after the time limit', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(
      httpsConfig(origin.address, 'timeouts: { handshake: 200ms }'),
    );
    const client = await connectTo(gateway.address());
    await client.ended();
    await gateway.metricIs('tidegate_tls_handshake_failures_total', 1, 'reason="timeout"');
    await gateway.metricIs('tidegate_tls_handshakes_active', 0);
  });

  test('at the limit of handshakes the oldest makes room', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(httpsConfig(origin.address, 'limits: { handshakes: 2 }'));
    const slow = await Promise.all([1, 2].map(() => connectTo(gateway.address())));
    // The beginning of a record: a client that says nothing at all is in nobody's way.
    for (const connection of slow) connection.send('\x16');
    const client = await connectTls(gateway.address(), { authority });
    expect((await client.request(requestText('GET / HTTP/1.1'))).status).toBe(200);
    await gateway.metricIs('tidegate_tls_handshake_failures_total', 1, 'reason="displaced"');
    for (const connection of slow) connection.close();
    client.close();
  });
});
