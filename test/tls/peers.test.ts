// TLS clients that are not ours: openssl s_client, curl, nghttp and h2load. Each is left out where it is not installed.
import { type ExecFileException, execFile, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { Authority } from '../support/certificates.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { startOrigin } from '../support/origin.js';
import { within } from '../support/patience.js';

const has = (program: string) => spawnSync(program, ['--version']).status === 0;
const curlKnowsHttp2 = has('curl') && spawnSync('curl', ['--version']).stdout.includes('HTTP2');
const folder = temporaryFolder();
const authority = new Authority();
const strangers = new Authority('Strangers');
const ecdsa = authority.issue();
const rsa = authority.issue({ keyType: 'rsa' });
const large = 'x'.repeat(2_000_000);

let gateway: Gateway;

beforeAll(async () => {
  const origin = await startOrigin((request, connection) =>
    connection.respond(request.target === '/large' ? large : request.text || 'ok'),
  );
  gateway = await startGateway(
    `
listeners:
  - name: public
    bind: "127.0.0.1:0"
    protocol: https
    tls:
      certificates:
        - { cert: ${ecdsa.certFile}, key: ${ecdsa.keyFile} }
        - { cert: ${rsa.certFile}, key: ${rsa.keyFile} }
routes: [{ name: all, upstream: origin }]
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`,
    { ioThreads: 2 },
  );
});

interface Result {
  error: ExecFileException | null;
  stdout: string;
  stderr: string;
}

/** Runs it to its end, with this input. */
function run(program: string, parameters: readonly string[], input = ''): Promise<Result> {
  const result = new Promise<Result>((resolve) => {
    const options = { maxBuffer: 256 * 1024 * 1024 };
    const child = execFile(program, parameters, options, (error, stdout, stderr) =>
      resolve({ error, stdout, stderr }),
    );
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
  return within(result, `the end of ${program}`);
}

describe('openssl s_client', () => {
  /** Makes a request, and reads until the gateway closes. */
  const client = (...more: string[]) =>
    run(
      'openssl',
      [
        ...['s_client', '-connect', gateway.address(), '-servername', 'localhost', '-ign_eof'],
        ...['-CAfile', authority.certFile, '-verify_return_error', ...more],
      ],
      'GET / HTTP/1.0\r\n\r\n',
    );

  it.each([
    ['-tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256', 'TLS_AES_128_GCM_SHA256'],
    ['-tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384', 'TLS_AES_256_GCM_SHA384'],
    ['-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256', 'TLS_CHACHA20_POLY1305_SHA256'],
    ['-tls1_3 -groups P-384', 'Server Temp Key: ECDH, secp384r1'],
    ['-tls1_3 -groups P-256:X25519', 'Server Temp Key: ECDH, prime256v1'],
    ['-tls1_3 -sigalgs rsa_pss_rsae_sha256', 'Peer signature type: RSA-PSS'],
    ['-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES128-GCM-SHA256'],
    ['-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305', 'ECDHE-ECDSA-CHACHA20-POLY1305'],
    ['-tls1_2 -cipher ECDHE-RSA-AES256-GCM-SHA384', 'ECDHE-RSA-AES256-GCM-SHA384'],
    ['-alpn http/1.1,ftp', 'ALPN protocol: http/1.1'],
  ])('%s', async (flags, said) => {
    const { error, stdout } = await client(...flags.split(' '));
    expect(error).toBeNull();
    expect(stdout).toContain(said);
    expect(stdout).toContain('Verify return code: 0 (ok)');
    expect(stdout).toMatch(/^HTTP\/1\.1 200 OK\r$/m);
    // RFC 5746, and nothing to attack.
    expect(stdout).toContain('Compression: NONE');
    if (flags.startsWith('-tls1_2')) expect(stdout).toContain('Secure Renegotiation IS supported');
  });

  it('resumes its session, on any thread', async () => {
    const { stdout } = await client('-tls1_2', '-reconnect');
    expect(stdout.match(/^Reused, TLSv1\.2/gm)).toHaveLength(5);
    const session = join(folder, 'session');
    await client('-tls1_3', '-sess_out', session);
    for (let i = 0; i < 4; i += 1) {
      const again = await client('-tls1_3', '-sess_in', session);
      expect(again.stdout).toContain('Reused, TLSv1.3');
    }
  });

  it.each([
    ['-tls1_1 -cipher DEFAULT@SECLEVEL=0', 'version'],
    ['-tls1_2 -cipher AES128-SHA', 'cipher'],
    ['-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256', 'cipher'],
    ['-tls1_3 -groups P-521', 'cipher'],
    ['-alpn ftp', 'protocol'],
    ['-CAfile STRANGERS', 'alert'],
  ])('is refused with %s: %s', async (flags, reason) => {
    const label = `reason="${reason}"`;
    const before = await gateway.metric('tidegate_tls_handshake_failures_total', label);
    expect(
      (await client(...flags.replace('STRANGERS', strangers.certFile).split(' '))).error,
    ).not.toBeNull();
    await gateway.metricIs('tidegate_tls_handshake_failures_total', before + 1, label);
  });
});

const url = (path: string) => `https://localhost:${gateway.address().split(':')[1]}${path}`;

describe.skipIf(!curlKnowsHttp2)('curl', () => {
  it.each([
    ['--http2', '2'],
    ['--http2 --tls-max 1.2', '2'],
    ['--http1.1', '1.1'],
    ['--http1.1 --tls-max 1.2', '1.1'],
  ])('%s: gets and posts', async (flags, version) => {
    const curl = (...more: string[]) =>
      run('curl', [
        ...['-sS', '--cacert', authority.certFile, '-w', '%{http_version} %{num_connects}'],
        ...[...flags.split(' '), ...more],
      ]);
    const got = join(folder, 'got');
    const { stdout } = await curl('-o', got, url('/large'));
    expect(stdout).toBe(`${version} 1`);
    expect(readFileSync(got, 'utf8')).toBe(large);
    const upload = join(folder, 'upload');
    const posted = join(folder, 'posted');
    writeFileSync(upload, randomBytes(300_000).toString('hex'));
    await curl('-o', posted, '--data-binary', `@${upload}`, url('/echo'));
    expect(readFileSync(posted, 'utf8')).toBe(readFileSync(upload, 'utf8'));
  });

  it('does not believe an authority that it does not know', async () => {
    const { error, stderr } = await run('curl', ['-sS', url('/')]);
    expect(error?.code).toBe(60);
    expect(stderr).toContain('certificate');
  });
});

describe.skipIf(!has('nghttp'))('nghttp', () => {
  it('gets many at a time', async () => {
    const { stdout } = await run('nghttp', ['-v', '--no-dep', '-m', '20', url('/large')]);
    expect(stdout).toContain('The negotiated protocol: h2');
    expect(stdout.match(/:status: 200/g)).toHaveLength(20);
    expect(stdout).not.toContain('RST_STREAM');
  });
});

describe.skipIf(!has('h2load'))('h2load', () => {
  it.each(['h2', 'http/1.1'])('has every one of its requests answered: %s', async (protocol) => {
    const { stdout } = await run('h2load', [
      ...[`--npn-list=${protocol}`, '-n', '1000', '-c', '10', '-m', '10', url('/')],
    ]);
    expect(stdout).toContain(`Application protocol: ${protocol}`);
    expect(stdout).toContain('1000 succeeded, 0 failed, 0 errored');
  });
});
