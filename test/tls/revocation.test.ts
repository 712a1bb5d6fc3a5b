// Certificates of clients that their authority has taken back.
import { renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { Authority, type Certificate } from '../support/certificates.js';
import { requestText } from '../support/client.js';
import { runCommand } from '../support/command.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';
import { connectTls, type TlsClient } from '../support/tlsClient.js';

const authority = new Authority();
const site = authority.issue();
const clients = new Authority('Clients');
const good = clients.issue({ commonName: 'good' });
const lost = clients.issue({ commonName: 'lost' });

let origin: Origin;

beforeAll(async () => {
  origin = await startOrigin();
});

const folder = temporaryFolder();
let lists = 0;

/** In one step, as whoever fetches such lists should do it. */
function write(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

async function start(list: string): Promise<{ gateway: Gateway; listFile: string }> {
  lists += 1;
  const listFile = join(folder, `revoked-${lists}.pem`);
  write(listFile, list);
  return { gateway: await startGateway(configOf(listFile)), listFile };
}

function configOf(listFile: string): string {
  return `
listeners:
  - name: public
    bind: 127.0.0.1:0
    protocol: https
    tls:
      certificates: [{ cert: ${site.certFile}, key: ${site.keyFile} }]
      clientAuth: { mode: required, ca: ${clients.certFile}, crl: ${listFile} }
routes: [{ name: all, upstream: app }]
upstreams: [{ name: app, endpoints: ["${origin.address}"] }]
`;
}

const adopted = (line: string) => (line.includes('certificates adopted') ? line : undefined);

const versions = ['TLSv1.2', 'TLSv1.3'] as const;
type Version = (typeof versions)[number];

function connect(
  gateway: Gateway,
  { cert, key }: Certificate,
  version: Version,
  session?: Buffer,
): Promise<TlsClient> {
  const limits = { minVersion: version, maxVersion: version };
  return connectTls(gateway.address(), { authority, cert, key, ...limits, session });
}

const ask = (client: TlsClient) => client.request(requestText('GET / HTTP/1.1'));

/** With TLS 1.3 a client learns that it is refused when it reads. */
async function served(...parameters: Parameters<typeof connect>): Promise<boolean> {
  try {
    const client = await connect(...parameters);
    const { status } = await ask(client);
    client.close();
    return status === 200;
  } catch {
    return false;
  }
}

describe.each(versions)('%s', (version) => {
  it('a client whose certificate was revoked is refused, others are served', async () => {
    const { gateway } = await start(clients.revocationList([lost]));
    expect(await served(gateway, lost, version)).toBe(false);
    expect(await served(gateway, good, version)).toBe(true);
    await gateway.metricIs('tidegate_tls_handshake_failures_total', 1, 'reason="certificate"');
  });

  it('a new list is in force for new connections, also for those that resume a session', async () => {
    const { gateway, listFile } = await start(clients.revocationList([]));
    const before = await connect(gateway, lost, version);
    expect((await ask(before)).status).toBe(200);
    const session = before.sessions.at(-1) ?? before.tls.getSession();
    expect(session).toBeDefined();
    expect(await served(gateway, lost, version, session)).toBe(true);
    write(listFile, clients.revocationList([lost]));
    const line = await gateway.log.find('the new list', adopted);
    expect(line).toContain(basename(listFile));
    expect(line).not.toContain(basename(site.certFile));
    expect(await served(gateway, lost, version)).toBe(false);
    expect(await served(gateway, lost, version, session)).toBe(false);
    expect(await served(gateway, good, version)).toBe(true);
    // What was let in before goes on.
    expect((await ask(before)).status).toBe(200);
    before.close();
  });
});

it('a list that cannot be read is refused, and the one before it stays', async () => {
  const { gateway, listFile } = await start(clients.revocationList([lost]));
  write(listFile, 'nobody\n');
  await gateway.log.find('a refusal', (line) => line.includes('certificates refused'));
  expect(gateway.log.text).toMatch(
    new RegExp(`expected revocation lists in PEM but \\S*${basename(listFile)} has none`),
  );
  expect(await served(gateway, lost, 'TLSv1.3')).toBe(false);
  expect(await served(gateway, good, 'TLSv1.3')).toBe(true);
});

it('a list whose time is over lets nobody in', async () => {
  const { gateway } = await start(clients.revocationList([], new Date('2024-02-01')));
  await gateway.log.find('a warning', (line) => line.includes('has expired at 2024-02-01'));
  expect(await served(gateway, good, 'TLSv1.3')).toBe(false);
  await gateway.metricIs('tidegate_tls_handshake_failures_total', 1, 'reason="certificate"');
});

describe('the end of a list', () => {
  const file = /in \S*revoked-\d+\.pem/;

  it('is a metric, and in the log near it and when it has come', async () => {
    const end = new Date(Date.now() + 3_000);
    const { gateway } = await start(clients.revocationList([], end));
    const line = await gateway.log.find('the end', (text) =>
      text.includes('the revocation list of Clients') && text.includes('has expired')
        ? text
        : undefined,
    );
    expect(line).toContain('"code":"revocation_list_expires"');
    expect(line).toMatch(file);
    expect(Date.now()).toBeGreaterThanOrEqual(Math.floor(end.getTime() / 1000) * 1000);
    const labels = 'listener="public",issuer="Clients"';
    const metric = 'tidegate_revocation_list_expiry_timestamp_seconds';
    expect(await gateway.metric(metric, labels)).toBe(Math.floor(end.getTime() / 1000));
  });

  it('is no matter where it is far, and of two lists of an authority the later counts', async () => {
    const two = clients.revocationList([], new Date('2024-02-01')) + clients.revocationList([]);
    const { gateway, listFile } = await start(two);
    write(listFile, clients.revocationList([]));
    await gateway.log.find('the new list', adopted);
    expect(gateway.log.text).not.toContain('revocation_list_expires');
  });

  it.skipIf(process.env['TIDEGATE_HOST'])('is what tidegate check says', async () => {
    const listFile = join(folder, 'ending.pem');
    write(listFile, clients.revocationList([], new Date(Date.now() + 5.5 * 24 * 3_600_000)));
    const configFile = join(folder, 'ending.yaml');
    writeFileSync(configFile, configOf(listFile));
    const { status, stdout, stderr } = await runCommand('check', '-c', configFile);
    expect(status).toBe(0);
    expect(stdout + stderr).toMatch(/list of Clients in \S*ending\.pem expires in 5 days/);
  });
});

it('without a list of the authority that issued it, no certificate is good', async () => {
  const { gateway } = await start(authority.revocationList([]));
  expect(await served(gateway, good, 'TLSv1.3')).toBe(false);
  await gateway.metricIs('tidegate_tls_handshake_failures_total', 1, 'reason="certificate"');
});
