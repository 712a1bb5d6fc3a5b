// An upstream over TLS whose protocol a reload changes: connections of the old one carry nothing of the new one.
import { createSecureServer } from 'node:http2';
import { beforeAll, expect, it } from 'vitest';
import { addressOf } from '../support/address.js';
import { Authority } from '../support/certificates.js';
import { endLater } from '../support/cleanup.js';
import { connectTo, requestText } from '../support/client.js';
import { startGateway } from '../support/gateway.js';

const authority = new Authority();
const { cert, key } = authority.issue();
const protocols: string[] = [];
let address: string;

beforeAll(async () => {
  // Speaks both, as ALPN says.
  const server = createSecureServer({ cert, key, allowHTTP1: true }, (request, response) => {
    protocols.push(request.httpVersion);
    response.end(request.url);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  address = addressOf(server);
  const sockets = new Set<{ destroy(): void }>();
  server.on('secureConnection', (socket) => sockets.add(socket));
  endLater('origin', () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
});

const config = (protocol: string) => `
listeners: [{ name: public, bind: 127.0.0.1:0 }]
routes: [{ name: all, upstream: app }]
upstreams:
  - name: app
    protocol: ${protocol}
    endpoints: ["${address}"]
    tls: { ca: ${authority.certFile}, serverName: localhost }
    retries: { attempts: 0 }
`;

it('from HTTP/1 to HTTP/2 and back, while connections are kept', async () => {
  const gateway = await startGateway(config('http1'));
  const client = await connectTo(gateway.address());
  const ask = async (target: string) => {
    for (let i = 0; i < 2; i += 1) {
      const response = await client.request(requestText(`GET ${target} HTTP/1.1`));
      expect([response.status, response.text]).toEqual([200, target]);
    }
  };
  await ask('/one');
  expect(await gateway.reload(config('http2'))).toBe(true);
  await ask('/two');
  expect(await gateway.reload(config('http1'))).toBe(true);
  await ask('/three');
  expect(protocols).toEqual(['1.1', '1.1', '2.0', '2.0', '1.1', '1.1']);
  client.close();
});
