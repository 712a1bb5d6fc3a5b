// The examples tls and mtls, each run as it stands, with files and ports of the test's own.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Authority } from '../support/certificates.js';
import { get, requestText } from '../support/client.js';
import { startGateway } from '../support/gateway.js';
import { openHttp2, request } from '../support/http2Client.js';
import { startOrigin } from '../support/origin.js';
import { connectTls } from '../support/tlsClient.js';
import { startTlsOrigin } from '../support/tlsOrigin.js';

const authority = new Authority();
const site = authority.issue();
const files = { SITE_CERT: site.certFile, SITE_KEY: site.keyFile };

const example = (name: string) =>
  readFileSync(new URL(`../../examples/${name}.yaml`, import.meta.url), 'utf8');

/** Listeners are on all addresses. */
const local = (address: string) => address.replace('0.0.0.0', '127.0.0.1');

describe('the example', () => {
  it('tls leads to https, and speaks HTTP/1.1 and HTTP/2 there', async () => {
    const origin = await startOrigin((_, connection) => connection.respond('shop'));
    const gateway = await startGateway(example('tls'), {
      env: { ...files, HTTP_PORT: '0', HTTPS_PORT: '0', SHOP: origin.address },
    });
    const plain = await get(local(gateway.address('plain')), '/a?b', 'host: shop.example');
    expect([plain.status, plain.header('location')]).toEqual([308, 'https://shop.example/a?b']);
    const secure = local(gateway.address('secure'));
    const client = await connectTls(secure, { authority });
    const response = await client.request(requestText('GET / HTTP/1.1'));
    expect([response.text, response.header('strict-transport-security')]).toEqual([
      'shop',
      'max-age=31536000',
    ]);
    client.close();
    const session = await openHttp2(secure, {
      ...{ protocol: 'https:', ca: authority.cert, servername: 'localhost' },
    });
    const { status, body } = await request(session, { ':path': '/' });
    expect([status, body.toString()]).toEqual([200, 'shop']);
    session.destroy();
  });

  it('mtls lets nobody in without a certificate, shows its own, and says whose it was', async () => {
    const clients = new Authority('Clients');
    const partner = clients.issue({ names: [], commonName: 'partner' });
    const seen: (string | undefined)[] = [];
    const orders = await startTlsOrigin(
      {
        ...{ cert: site.cert, key: site.key, ca: authority.cert },
        ...{ requestCert: true, rejectUnauthorized: true },
      },
      (incoming, response) => {
        seen.push(incoming.headers['client-cert'] as string | undefined);
        response.end('order');
      },
    );
    const gateway = await startGateway(example('mtls'), {
      env: {
        ...{ ...files, CLIENTS_CA: clients.certFile, ORDERS_CA: authority.certFile },
        ...{ PORT: '0', ORDERS: `localhost:${orders.port}` },
      },
    });
    const address = local(gateway.address('partners'));
    const { cert, key } = partner;
    const client = await connectTls(address, { authority, cert, key });
    expect((await client.request(requestText('GET /orders/7 HTTP/1.1'))).text).toBe('order');
    client.close();
    expect(orders.requests[0]?.client).toBe('localhost');
    expect(seen).toEqual([expect.stringMatching(/^:MII[\w+/]+=*:$/)]);
    const nobody = async () => {
      const stranger = await connectTls(address, { authority });
      return stranger.request(requestText('GET /orders/7 HTTP/1.1'));
    };
    await expect(nobody()).rejects.toThrow();
    expect(seen).toHaveLength(1);
  });
});
