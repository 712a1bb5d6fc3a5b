// Which certificate a client gets, and how certificates are replaced.
import { execFile } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Authority, type Certificate } from '../support/certificates.js';
import { requestText } from '../support/client.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { startOrigin } from '../support/origin.js';
import { connectTls } from '../support/tlsClient.js';

const authority = new Authority();

/** What the program prints; it has nothing to read. */
function run(program: string, parameters: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(program, parameters, (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    );
    child.stdin?.end();
  });
}

interface Entry {
  certificate: Pick<Certificate, 'certFile' | 'keyFile'>;
  names?: string[];
}

function configOf(origin: string, entries: readonly Entry[], more = ''): string {
  const certificates = entries.map(
    ({ certificate, names }) =>
      `{ cert: ${certificate.certFile}, key: ${certificate.keyFile}${names === undefined ? '' : `, names: ${JSON.stringify(names)}`} }`,
  );
  return `
listeners:
  - name: public
    bind: 127.0.0.1:0
    protocol: https
    tls:
      certificates: [${certificates.join(', ')}]
      ${more}
routes: [{ name: all, upstream: app }]
upstreams: [{ name: app, endpoints: ["${origin}"] }]
`;
}

/** The common name of the certificate that a client of that name gets. */
async function nameFor(gateway: Gateway, servername: string, options = {}): Promise<string> {
  const client = await connectTls(gateway.address(), {
    rejectUnauthorized: false,
    servername,
    ...options,
  });
  const { CN } = client.tls.getPeerCertificate().subject;
  client.close();
  return String(CN);
}

describe('the certificate of a name', () => {
  const exact = authority.issue({ names: ['api.example.com'] });
  const wildcard = authority.issue({ names: ['*.example.com'], commonName: 'wild' });
  const other = authority.issue({ names: ['other.test'] });
  const entries = [other, exact, wildcard].map((certificate) => ({ certificate }));

  test('is the exact one, else that of the wildcard, else the default', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(configOf(origin.address, entries));
    expect(await nameFor(gateway, 'api.example.com')).toBe('api.example.com');
    expect(await nameFor(gateway, 'API.Example.COM')).toBe('api.example.com');
    expect(await nameFor(gateway, 'www.example.com')).toBe('wild');
    expect(await nameFor(gateway, 'example.com')).toBe('other.test');
    expect(await nameFor(gateway, 'a.b.example.com')).toBe('other.test');
    expect(await nameFor(gateway, '')).toBe('other.test');
  });

  test('with strictSni there is no default', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(configOf(origin.address, entries, 'strictSni: true'));
    expect(await nameFor(gateway, 'www.example.com')).toBe('wild');
    await expect(nameFor(gateway, 'example.com')).rejects.toThrow(/unrecognized name/);
    await expect(nameFor(gateway, '')).rejects.toThrow(/unrecognized name/);
    await gateway.metricIs('tidegate_tls_handshake_failures_total', 2, 'reason="server_name"');
  });

  test('names of the configuration take the place of its own', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(
      configOf(origin.address, [
        { certificate: other },
        { certificate: wildcard, names: ['a.example.com'] },
      ]),
    );
    expect(await nameFor(gateway, 'a.example.com')).toBe('wild');
    expect(await nameFor(gateway, 'b.example.com')).toBe('other.test');
  });

  test('of an RSA and an ECDSA certificate the client gets the one that it can use', async () => {
    const rsa = authority.issue({ names: ['both.test'], keyType: 'rsa', commonName: 'rsa' });
    const ec = authority.issue({ names: ['both.test'], commonName: 'ec' });
    const origin = await startOrigin();
    const gateway = await startGateway(
      configOf(
        origin.address,
        [rsa, ec].map((certificate) => ({ certificate })),
      ),
    );
    expect(await nameFor(gateway, 'both.test', { sigalgs: 'ecdsa_secp256r1_sha256' })).toBe('ec');
    expect(await nameFor(gateway, 'both.test', { sigalgs: 'rsa_pss_rsae_sha256' })).toBe('rsa');
    const tls12 = { maxVersion: 'TLSv1.2', sigalgs: 'ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256' };
    expect(
      await nameFor(gateway, 'both.test', { ...tls12, ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' }),
    ).toBe('rsa');
    expect(
      await nameFor(gateway, 'both.test', { ...tls12, ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' }),
    ).toBe('ec');
  });
});

describe('what is agreed on', () => {
  const site = authority.issue();

  test('versions out of the range are refused', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(
      configOf(origin.address, [{ certificate: site }], 'minVersion: TLSv1.3'),
    );
    const protocolOf = async (options: object) => {
      const client = await connectTls(gateway.address(), { authority, ...options });
      const protocol = client.tls.getProtocol();
      client.close();
      return protocol;
    };
    expect(await protocolOf({})).toBe('TLSv1.3');
    await expect(protocolOf({ maxVersion: 'TLSv1.2' })).rejects.toThrow(/protocol version/);
    await gateway.metricIs('tidegate_tls_handshake_failures_total', 1, 'reason="version"');
  });

  test('TLS 1.2 is spoken by default, older versions are not', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(configOf(origin.address, [{ certificate: site }]));
    const client = await connectTls(gateway.address(), { authority, maxVersion: 'TLSv1.2' });
    expect(client.tls.getProtocol()).toBe('TLSv1.2');
    expect((await client.request(requestText('GET /old HTTP/1.1'))).status).toBe(200);
    expect(await gateway.loggedTarget('/old')).toMatchObject({ tls_version: 'TLSv1.2' });
    client.close();
    await expect(
      connectTls(gateway.address(), {
        authority,
        minVersion: 'TLSv1',
        maxVersion: 'TLSv1.1',
        ciphers: 'ALL:@SECLEVEL=0',
      }),
    ).rejects.toThrow();
    await gateway.metricIs('tidegate_tls_handshake_failures_total', 1);
  });

  test('ALPN: http/1.1 for those that want it, and nothing unknown', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(configOf(origin.address, [{ certificate: site }]));
    const client = await connectTls(gateway.address(), {
      authority,
      ALPNProtocols: ['foo', 'http/1.1'],
    });
    expect(client.tls.alpnProtocol).toBe('http/1.1');
    await client.request(requestText('GET /alpn HTTP/1.1'));
    expect(await gateway.loggedTarget('/alpn')).toMatchObject({ alpn: 'http/1.1' });
    client.close();
    await expect(
      connectTls(gateway.address(), { authority, ALPNProtocols: ['foo'] }),
    ).rejects.toThrow(/no application protocol/);
    await gateway.metricIs('tidegate_tls_handshake_failures_total', 1, 'reason="protocol"');
  });

  test('HTTP/2 by ALPN, where the listener speaks it', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(configOf(origin.address, [{ certificate: site }]));
    const session = connectHttp2(`https://${gateway.address()}`, {
      ca: authority.cert,
      servername: 'localhost',
    });
    const request = session.request({ ':path': '/h2' });
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    expect(Buffer.concat(parts).toString()).toBe('ok');
    session.close();
    expect(await gateway.loggedTarget('/h2')).toMatchObject({ alpn: 'h2', tls_version: 'TLSv1.3' });
    expect((await origin.nextRequest()).header('x-forwarded-proto')).toBe('https');
  });

  test('curl and openssl s_client are served', async () => {
    const origin = await startOrigin();
    const gateway = await startGateway(configOf(origin.address, [{ certificate: site }]));
    const port = gateway.address().split(':').at(-1) ?? '';
    const curl = await run('curl', [
      ...['-sS', '--cacert', authority.certFile, '--http1.1'],
      `https://localhost:${port}/curl`,
    ]);
    expect(curl).toBe('ok');
    const client = await run('openssl', [
      ...['s_client', '-connect', gateway.address(), '-servername', 'localhost'],
      ...['-CAfile', authority.certFile, '-verify_return_error'],
    ]);
    expect(client).toContain('Verify return code: 0 (ok)');
  });
});

describe('certificates are replaced', () => {
  function files(certificate: Certificate) {
    const folder = temporaryFolder();
    const paths = { certFile: join(folder, 'site.pem'), keyFile: join(folder, 'site.key') };
    copyFileSync(certificate.certFile, paths.certFile);
    copyFileSync(certificate.keyFile, paths.keyFile);
    return paths;
  }

  test('without a failed request, and without touching a connection', async () => {
    const first = authority.issue({ commonName: 'first' });
    const second = authority.issue({ commonName: 'second' });
    const paths = files(first);
    const origin = await startOrigin();
    const gateway = await startGateway(configOf(origin.address, [{ certificate: paths }]), {
      ioThreads: 2,
    });
    const kept = await connectTls(gateway.address(), { authority });
    let done = false;
    let requests = 0;
    const load = Array.from({ length: 4 }, async () => {
      while (!done) {
        const client = await connectTls(gateway.address(), { authority });
        expect((await client.request(requestText('GET / HTTP/1.1'))).status).toBe(200);
        client.close();
        requests += 1;
      }
    });
    writeFileSync(paths.certFile, second.cert);
    writeFileSync(paths.keyFile, second.key);
    await gateway.log.find('new certificates', (line) => line.includes('certificates adopted'));
    done = true;
    await Promise.all(load);
    expect(requests).toBeGreaterThan(0);
    expect(await nameFor(gateway, 'localhost')).toBe('second');
    expect((await kept.request(requestText('GET /kept HTTP/1.1'))).status).toBe(200);
    kept.close();
  });

  test('a pair that does not fit is refused with its file, and the old one stays', async () => {
    const first = authority.issue({ commonName: 'first' });
    const second = authority.issue({ commonName: 'second' });
    const paths = files(first);
    const origin = await startOrigin();
    const gateway = await startGateway(configOf(origin.address, [{ certificate: paths }]));
    writeFileSync(paths.certFile, second.cert);
    const line = await gateway.log.find('a refusal', (text) =>
      text.includes('certificate_unusable') ? text : undefined,
    );
    expect(line).toContain('site.key has another one');
    expect(line).not.toContain('PRIVATE');
    await gateway.log.find('what stays', (text) => text.includes('certificates refused'));
    expect(await nameFor(gateway, 'localhost')).toBe('first');
    writeFileSync(paths.keyFile, second.key);
    await gateway.log.find('new certificates', (text) => text.includes('certificates adopted'));
    expect(await nameFor(gateway, 'localhost')).toBe('second');
    expect(readFileSync(paths.keyFile, 'utf8')).toBe(second.key);
  });

  test('the end of a certificate is a metric, and near it a warning', async () => {
    const soon = authority.issue({ days: 3 });
    const origin = await startOrigin();
    const gateway = await startGateway(configOf(origin.address, [{ certificate: soon }]));
    await gateway.log.find('a warning', (line) => line.includes('certificate_expires'));
    const end = await gateway.metric(
      'tidegate_certificate_expiry_timestamp_seconds',
      'listener="public",name="localhost",key="ec"',
    );
    const days = (end - Date.now() / 1000) / 86_400;
    expect(days).toBeGreaterThan(2.9);
    expect(days).toBeLessThan(3.1);
  });
});
