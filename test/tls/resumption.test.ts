// Sessions that clients resume: with both versions, on any thread, after reloads, on other nodes.
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Authority } from '../support/certificates.js';
import { requestText } from '../support/client.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { startOrigin } from '../support/origin.js';
import { connectTls, type TlsClientOptions } from '../support/tlsClient.js';

const authority = new Authority();
const site = authority.issue({ names: ['localhost', 'other.test'] });

function configOf(origin: string, tickets: string): string {
  return `
listeners:
  - name: public
    bind: 127.0.0.1:0
    protocol: https
    tls: { certificates: [{ cert: ${site.certFile}, key: ${site.keyFile} }], tickets: ${tickets} }
routes: [{ name: all, upstream: app }]
upstreams: [{ name: app, endpoints: ["${origin}"] }]
`;
}

async function visit(gateway: Gateway, options: TlsClientOptions) {
  const client = await connectTls(gateway.address(), { authority, ...options });
  const response = await client.request(requestText('GET / HTTP/1.1'));
  expect(response.status).toBe(200);
  const session = await client.until(
    'a session',
    () => client.sessions.at(-1) ?? client.tls.getSession(),
  );
  const resumed = client.tls.isSessionReused();
  client.close();
  return { session, resumed };
}

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('%s', (version) => {
  const only: TlsClientOptions = { minVersion: version, maxVersion: version };

  test('a client resumes, on every thread, and is logged as one that did', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(configOf(origin.address, '{}'), { ioThreads: 4 });
    const first = await visit(gateway, only);
    expect(first.resumed).toBe(false);
    for (let i = 0; i < 12; i += 1) {
      expect((await visit(gateway, { ...only, session: first.session })).resumed).toBe(true);
    }
    await gateway.metricIs('tidegate_tls_resumptions_total', 12);
    await gateway.logged((line) => line.tls_resumed === true);
  });

  test.runIf(version === 'TLSv1.3')('each ticket is used once: another comes', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(configOf(origin.address, '{}'));
    let { session } = await visit(gateway, only);
    for (let i = 0; i < 5; i += 1) {
      const client = await connectTls(gateway.address(), { authority, ...only, session });
      await client.request(requestText('GET / HTTP/1.1'));
      expect(client.tls.isSessionReused()).toBe(true);
      const next = await client.until('another ticket', () => client.sessions.at(-1));
      expect(next.equals(session)).toBe(false);
      session = next;
      client.close();
    }
  });

  test('tickets survive a reload', async () => {
    const origin = await startOrigin();
    const config = configOf(origin.address, '{}');
    const gateway = await startGateway(config);
    const { session } = await visit(gateway, only);
    expect(await gateway.reload(`${config}\nlog: { level: debug }\n`)).toBe(true);
    expect((await visit(gateway, { ...only, session })).resumed).toBe(true);
  });

  test('a session is good for the name that it was made with', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(configOf(origin.address, '{}'));
    const { session } = await visit(gateway, only);
    const other = await visit(gateway, { ...only, session, servername: 'other.test' });
    expect(other.resumed).toBe(false);
  });

  test('nodes with the same key file resume the sessions of each other', async () => {
    const file = join(temporaryFolder(), 'tickets.key');
    const keys = [randomBytes(80), randomBytes(80)];
    writeFileSync(file, Buffer.concat(keys));
    const origin = await startOrigin();
    const config = configOf(origin.address, `{ keyFile: ${file} }`);
    const [one, two] = await Promise.all([startGateway(config), startGateway(config)]);
    const { session } = await visit(one, only);
    expect((await visit(two, { ...only, session })).resumed).toBe(true);
    // A new key in front: the old one opens as long as it is in the file.
    writeFileSync(file, Buffer.concat([randomBytes(80), ...keys]));
    await two.log.find('new keys', (line) => line.includes('certificates adopted'));
    expect((await visit(two, { ...only, session })).resumed).toBe(true);
    writeFileSync(file, randomBytes(80));
    const from = two.log.all.length;
    await two.log.find('new keys', (line) => line.includes('certificates adopted'), from - 1);
    expect((await visit(one, { ...only, session })).resumed).toBe(true);
  });

  test('without tickets the sessions are kept in memory', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(configOf(origin.address, 'false'), { ioThreads: 2 });
    const { session } = await visit(gateway, only);
    expect((await visit(gateway, { ...only, session })).resumed).toBe(true);
  });
});
