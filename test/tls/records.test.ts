// How the gateway cuts what it sends into TLS records: small ones first, so that a client can begin with what is there, then full ones.
import { connect, createServer } from 'node:net';
import { beforeAll, expect, it } from 'vitest';
import { addressOf, destinationOf } from '../support/address.js';
import { Authority } from '../support/certificates.js';
import { endLater } from '../support/cleanup.js';
import { requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { startOrigin } from '../support/origin.js';
import { connectTls } from '../support/tlsClient.js';

const authority = new Authority();
const site = authority.issue();

/** Stands between a client and the gateway, and keeps what the latter sends. */
async function startRelay(address: string): Promise<{ address: string; received: Buffer[] }> {
  const received: Buffer[] = [];
  const server = createServer((client) => {
    const gateway = connect(destinationOf(address) as { host: string; port: number });
    gateway.on('data', (bytes) => received.push(bytes));
    gateway.pipe(client).pipe(gateway);
    for (const socket of [client, gateway]) {
      socket.on('error', () => {
        client.destroy();
        gateway.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endLater('origin', () => void server.close());
  return { address: addressOf(server), received };
}

/** Of the whole records: how much each of them holds. */
function recordSizes(bytes: Buffer): number[] {
  const sizes: number[] = [];
  for (let at = 0; at + 5 <= bytes.length; at += 5 + bytes.readUInt16BE(at + 3)) {
    sizes.push(bytes.readUInt16BE(at + 3));
  }
  return sizes;
}

const body = 'x'.repeat(400_000);
let gateway: Gateway;

beforeAll(async () => {
  const origin = await startOrigin((request, connection) =>
    connection.respond(request.target === '/large' ? body : 'ok'),
  );
  gateway = await startGateway(`
listeners:
  - name: public
    bind: "127.0.0.1:0"
    protocol: https
    tls: { certificates: [{ cert: ${site.certFile}, key: ${site.keyFile} }] }
routes: [{ name: all, upstream: origin }]
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`);
});

it.each(['TLSv1.2', 'TLSv1.3'] as const)(
  '%s: small records first, then full ones',
  async (maxVersion) => {
    const relay = await startRelay(gateway.address());
    const client = await connectTls(relay.address, { authority, maxVersion });
    // The handshake and the tickets behind it have come.
    expect((await client.request(requestText('GET /small HTTP/1.1'))).text).toBe('ok');
    const from = Buffer.concat(relay.received).length;
    expect((await client.request(requestText('GET /large HTTP/1.1'))).text).toBe(body);
    const sizes = recordSizes(Buffer.concat(relay.received).subarray(from));
    client.close();
    // Nonce, type and tag of a record are 17 bytes (TLS 1.3) or 24 (TLS 1.2).
    const small = 1370 + 24;
    const full = 16 * 1024 + 24;
    const firstLarge = sizes.findIndex((size) => size > small);
    const sentSmall = sizes.slice(0, firstLarge).reduce((sum, size) => sum + size, 0);
    expect(sentSmall).toBeGreaterThan(60_000);
    expect(sentSmall).toBeLessThan(80_000);
    expect(Math.max(...sizes)).toBeGreaterThan(16_000);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(full);
  },
);
