// Certificates of clients: who is let in, and who hears of it.
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { Authority } from '../support/certificates.js';
import { get, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';
import { connectTls } from '../support/tlsClient.js';

const authority = new Authority();
const site = authority.issue();
const clients = new Authority('Clients');
const known = clients.issue({ names: ['robot.example'], commonName: 'robot' });
const stranger = new Authority('Strangers').issue({ commonName: 'stranger' });

function configOf(origin: string, mode: string, more = ''): string {
  return `
listeners:
  - name: public
    bind: 127.0.0.1:0
    protocol: https
    tls:
      certificates: [{ cert: ${site.certFile}, key: ${site.keyFile} }]
      clientAuth: { mode: ${mode}, ca: ${clients.certFile} }
    forwarding: { clientCert: true }
    ${more}
routes: [{ name: all, upstream: app }]
upstreams: [{ name: app, endpoints: ["${origin}"] }]
`;
}

describe('required', () => {
  test('a client with a good one is served, and the upstream and the log know which', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(configOf(origin.address, 'required'));
    const client = await connectTls(gateway.address(), {
      authority,
      cert: known.cert,
      key: known.key,
    });
    const forged = 'client-cert: :Zm9yZ2Vk:';
    expect((await client.request(requestText('GET /in HTTP/1.1', forged))).status).toBe(200);
    client.close();
    const certificate = new X509Certificate(known.cert);
    const request = await origin.nextRequest();
    expect(request.headers('client-cert')).toEqual([`:${certificate.raw.toString('base64')}:`]);
    expect(await gateway.loggedTarget('/in')).toMatchObject({
      client_subject: 'CN=robot',
      client_sans: 'DNS:robot.example',
      client_fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
      client_verification: 'ok',
    });
  });

  test.each([
    ['none', {}],
    ['one of another authority', { cert: stranger.cert, key: stranger.key }],
  ])('a client with %s is refused', async (_what, options) => {
    const origin = await startOrigin();
    const gateway = await startGateway(configOf(origin.address, 'required'));
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const attempt = async () => {
        const client = await connectTls(gateway.address(), {
          authority,
          maxVersion: version,
          ...options,
        });
        return client.request(requestText('GET / HTTP/1.1'));
      };
      await expect(attempt()).rejects.toThrow();
    }
    await gateway.metricIs('tidegate_tls_handshake_failures_total', 2, 'reason="certificate"');
    expect(origin.requests).toHaveLength(0);
  });
});

test('optional: a client without one is served, one with a bad one is not', async () => {
  const origin = await startOrigin();
  const gateway = await startGateway(configOf(origin.address, 'optional'));
  const client = await connectTls(gateway.address(), { authority });
  const forged = ['client-cert: :Zm9yZ2Vk:', 'Client-Cert-Chain: :Zm9yZ2Vk:'];
  expect((await client.request(requestText('GET / HTTP/1.1', ...forged))).status).toBe(200);
  client.close();
  const request = await origin.nextRequest();
  expect(request.headers('client-cert')).toEqual([]);
  expect(request.headers('client-cert-chain')).toEqual([]);
  expect((await gateway.loggedTarget('/')).client_verification).toBeNull();
  const bad = { authority, cert: stranger.cert, key: stranger.key, maxVersion: 'TLSv1.2' as const };
  await expect(connectTls(gateway.address(), bad)).rejects.toThrow();
});

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('request, %s', (version) => {
  const versions = { minVersion: version, maxVersion: version };
  let origin: Origin;
  let gateway: Gateway;

  beforeAll(async () => {
    origin = await startOrigin();
    gateway = await startGateway(configOf(origin.address, 'request'));
  });

  test.each([
    ['a good one', known, 'ok'],
    ['one of another authority', stranger, 'unable to verify the first certificate'],
    ['none', undefined, null],
  ])('a client with %s is served, and all hear what it is', async (_what, shown, verification) => {
    const from = gateway.output.all.length;
    origin.clear();
    const identity = shown && { cert: shown.cert, key: shown.key };
    const client = await connectTls(gateway.address(), { authority, ...versions, ...identity });
    const text = requestText('GET /first HTTP/1.1', 'client-cert: :Zm9yZ2Vk:');
    expect((await client.request(text)).status).toBe(200);
    const session = client.sessions.at(-1) ?? client.tls.getSession();
    client.close();
    // What was found stays with the session.
    const again = await connectTls(gateway.address(), {
      ...{ authority, ...versions, ...identity, session },
    });
    expect((await again.request(requestText('GET /again HTTP/1.1'))).status).toBe(200);
    again.close();
    for (const target of ['/first', '/again']) {
      const line = await gateway.loggedTarget(target, from);
      expect(line).toMatchObject({
        tls_resumed: target === '/again',
        client_verification: verification,
        client_subject: verification === 'ok' ? 'CN=robot' : null,
      });
      expect(line.client_fingerprint === null).toBe(verification !== 'ok');
      const told = (await origin.nextRequest()).headers('client-cert');
      expect(told).toHaveLength(verification === 'ok' ? 1 : 0);
    }
  });
});

test('depth bounds the authorities between', async () => {
  const origin = await startOrigin();
  const between = clients.issue({
    names: [],
    commonName: 'Between',
    extensions: ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign'],
  });
  const far = new Authority('Far');
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'],
      ...['-subj', '/CN=far', '-CA', between.certFile, '-CAkey', between.keyFile],
      ...['-keyout', join(far.folder, 'far.key'), '-out', join(far.folder, 'far.pem')],
      ...['-addext', 'basicConstraints=CA:FALSE'],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const cert = readFileSync(join(far.folder, 'far.pem'), 'utf8') + between.cert;
  const key = readFileSync(join(far.folder, 'far.key'), 'utf8');
  const config = (depth: number) => configOf(origin.address, `required, depth: ${depth}`);
  const gateway = await startGateway(config(1));
  const ask = async () => {
    const client = await connectTls(gateway.address(), { authority, cert, key });
    const { status } = await client.request(requestText('GET / HTTP/1.1'));
    client.close();
    return status;
  };
  expect(await ask()).toBe(200);
  expect(await gateway.reload(config(0))).toBe(true);
  await expect(ask()).rejects.toThrow();
  await gateway.metricIs('tidegate_tls_handshake_failures_total', 1, 'reason="certificate"');
});

test('http goes to https, and https says that it wants to stay', async () => {
  const origin = await startOrigin();
  const gateway = await startGateway(
    configOf(origin.address, 'optional', 'hsts: { includeSubDomains: true }')
      .replace(
        'listeners:',
        'listeners:\n  - { name: plain, bind: "127.0.0.1:0", redirectToHttps: 8443 }',
      )
      .replace(
        'routes: [',
        'routes: [{ name: own, match: { path: /own }, respond: { headers: { strict-transport-security: max-age=1 } } }, ',
      ),
  );
  const redirect = await get(gateway.address('plain'), '/a%20b?x=1', 'host: API.example.com:8080');
  expect(redirect.status).toBe(308);
  expect(redirect.header('location')).toBe('https://api.example.com:8443/a%20b?x=1');
  const client = await connectTls(gateway.address(), { authority });
  const response = await client.request(requestText('GET / HTTP/1.1'));
  expect(response.headers('strict-transport-security')).toEqual([
    'max-age=31536000; includeSubDomains',
  ]);
  const refused = await client.request(requestText('GET /%00 HTTP/1.1'));
  expect(refused.status).toBe(400);
  expect(refused.header('strict-transport-security')).toContain('max-age');
  // Browsers read the first line alone.
  const own = await client.request(requestText('GET /own HTTP/1.1'));
  expect(own.headers('strict-transport-security')).toEqual(['max-age=1']);
  client.close();
});
