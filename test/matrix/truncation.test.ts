// Responses whose end is the end of their connection: over TLS only an end that was said is one (RFC 9112 9.8).
import { createServer, type TLSSocket } from 'node:tls';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { addressOf } from '../support/address.js';
import { Authority } from '../support/certificates.js';
import { endLater } from '../support/cleanup.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type MatrixClient, openMatrixClient } from './client.js';
import { isSecure, protocols } from './origin.js';

const authority = new Authority();
const site = authority.issue();
const part = 'all that there is, or not';

let gateway: Gateway;

beforeAll(async () => {
  const origin = createServer({ cert: site.cert, key: site.key }, (socket: TLSSocket) => {
    socket.on('error', () => {});
    socket.once('data', (request) => {
      const head = 'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n';
      if (request.includes('/said')) socket.end(head + part);
      // The socket ends, and nothing says so within TLS.
      else socket.write(head + part, () => socket.destroy());
    });
  });
  await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve));
  endLater('origin', () => origin.close());
  gateway = await startGateway(`
listeners:
  - { name: plain, bind: "127.0.0.1:0" }
  - name: secure
    bind: "127.0.0.1:0"
    protocol: https
    tls: { certificates: [{ cert: ${site.certFile}, key: ${site.keyFile} }] }
routes: [{ name: all, upstream: origin }]
upstreams:
  - { name: origin, tls: { verify: false }, endpoints: ["${addressOf(origin)}"] }
`);
});

describe.each(protocols)('for a client of %s', (protocol) => {
  let client: MatrixClient;

  beforeEach(async () => {
    const address = gateway.address(isSecure(protocol) ? 'secure' : 'plain');
    client = await openMatrixClient(protocol, address, authority);
    return () => client.close();
  });

  it('a response whose end was said is complete', async () => {
    const { status, text } = await client.get('/said');
    expect([status, text]).toEqual([200, part]);
  });

  it('a response that just stops is broken', async () => {
    const path = `/cut/${protocol}`;
    await expect(client.get(path)).rejects.toThrow();
    expect(await gateway.loggedTarget(path)).toMatchObject({ reason: 'upstream_body_aborted' });
  });
});
