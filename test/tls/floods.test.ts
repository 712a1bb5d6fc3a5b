// Clients that begin many handshakes and end none: what they can hold is bounded, and those who are served already do not notice.
import { beforeAll, expect, it } from 'vitest';
import { Authority } from '../support/certificates.js';
import { type Client, connectTo, requestText } from '../support/client.js';
import { startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';
import { eventually } from '../support/patience.js';
import { connectTls } from '../support/tlsClient.js';

const authority = new Authority();
const site = authority.issue();
let origin: Origin;
let hello: Buffer;

const start = (limits: string, timeout: string) =>
  startGateway(`
listeners:
  - name: public
    bind: 127.0.0.1:0
    protocol: https
    tls: { certificates: [{ cert: ${site.certFile}, key: ${site.keyFile} }] }
    limits: { ${limits} }
    timeouts: { handshake: ${timeout} }
routes: [{ name: all, upstream: app }]
upstreams: [{ name: app, endpoints: ["${origin.address}"] }]
`);

beforeAll(async () => {
  origin = await startOrigin();
  hello = await firstMessage();
});

/** What a client says first. */
async function firstMessage(): Promise<Buffer> {
  const server = await startOrigin();
  const attempt = connectTls(server.address, { authority });
  const connection = await server.nextConnection();
  await connection.until('a ClientHello', () => connection.receivedBytes > 200);
  const bytes = Buffer.from(connection.received, 'latin1');
  connection.close();
  await expect(attempt).rejects.toThrow();
  return bytes;
}

const open = (address: string, count: number): Promise<Client[]> =>
  Promise.all(
    Array.from({ length: count }, async () => {
      const client = await connectTo(address);
      client.send(hello.subarray(0, hello.length / 2));
      return client;
    }),
  );

it('300 half handshakes: the bound holds, who was there is served, the time limit ends them all', async () => {
  const gateway = await start('handshakes: 100', '800ms');
  const established = await connectTls(gateway.address(), { authority });
  const ask = async () => (await established.request(requestText('GET / HTTP/1.1'))).status;
  expect(await ask()).toBe(200);
  const flood = await open(gateway.address(), 300);
  let most = 0;
  await eventually('the end of the flood', async () => {
    expect(await ask()).toBe(200);
    most = Math.max(most, await gateway.metric('tidegate_tls_handshakes_active'));
    return flood.every(({ ending }) => ending !== 'open');
  });
  expect(most).toBeLessThanOrEqual(100);
  expect(most).toBeGreaterThan(50);
  await gateway.metricIs('tidegate_tls_handshakes_active', 0);
  // On a machine that stalls for a second, some make room for others instead.
  expect(await gateway.metric('tidegate_tls_handshake_failures_total')).toBe(300);
  expect(
    await gateway.metric('tidegate_tls_handshake_failures_total', 'reason="timeout"'),
  ).toBeGreaterThan(0);
  expect(await ask()).toBe(200);
  established.close();
  for (const client of flood) client.close();
});

it('who comes behind a flood is served: what is older than a second makes room', async () => {
  const gateway = await start('handshakes: 50', '1m');
  const flood = await open(gateway.address(), 60);
  const client = await connectTls(gateway.address(), { authority });
  expect((await client.request(requestText('GET / HTTP/1.1'))).status).toBe(200);
  await gateway.metricIs('tidegate_tls_handshake_failures_total', 11, 'reason="displaced"');
  client.close();
  for (const one of flood) one.close();
  await gateway.metricIs('tidegate_tls_handshakes_active', 0);
  expect(await gateway.metric('tidegate_tls_handshake_failures_total', 'reason="closed"')).toBe(49);
});

it('a drain ends half handshakes at once', async () => {
  const gateway = await start('handshakes: 1000', '1m');
  const flood = await open(gateway.address(), 20);
  await gateway.metricIs('tidegate_tls_handshakes_active', 20);
  gateway.signal('SIGTERM');
  for (const client of flood) expect(await client.ended()).toBe('end');
  expect(await gateway.exited).toBe(0);
  for (const client of flood) client.close();
  await gateway.stop();
});
