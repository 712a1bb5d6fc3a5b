// What `tidegate check` says of certificates, keys, lists and ticket keys: each with its place in the configuration, and nothing of a key.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { runProgram } from '../../src/cli/program.js';
import { Authority } from '../support/certificates.js';

const authority = new Authority();
const folder = authority.folder;
const site = authority.issue({ names: ['shop.example', '*.shop.example'] });
const other = authority.issue({ names: ['other.example'] });
const ending = authority.issue({ names: ['ending.example'], days: 3 });
const elsewhere = process.cwd();

/** Names of files in the folder of the configuration. */
const nameOf = (path: string) => path.slice(folder.length + 1);
const [cert, key] = [nameOf(site.certFile), nameOf(site.keyFile)];
const [otherCert, otherKey] = [nameOf(other.certFile), nameOf(other.keyFile)];

const write = (name: string, text: string | Buffer) => writeFileSync(join(folder, name), text);

function openssl(...parameters: string[]): void {
  execFileSync('openssl', parameters, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
}

beforeAll(() => {
  const locked = ['-aes128', '-passout', 'pass:secret', '-out'];
  openssl('pkey', '-in', key, ...locked, 'locked.key');
  openssl('ec', '-in', key, ...locked, 'locked-ec.key');
  const subject = ['-new', '-key', key, '-subj', '/CN=shop.example', '-out', 'request.pem'];
  openssl('req', ...subject);
  write('index.txt', '');
  write(
    'old.cnf',
    '[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\npolicy=any\ndefault_md=sha256\n[any]\ncommonName=supplied\n',
  );
  const time = ['-startdate', '20200101000000Z', '-enddate', '20210101000000Z'];
  const issuer = ['-cert', nameOf(authority.certFile), '-keyfile', nameOf(authority.keyFile)];
  const request = ['-in', 'request.pem', '-out', 'old.pem', '-notext'];
  openssl('ca', '-batch', '-config', 'old.cnf', ...time, ...issuer, ...request);
  write('nothing.pem', 'nothing\n');
  write('short.key', randomBytes(79));
  vi.stubEnv('NO_COLOR', '1');
  process.chdir(folder);
});

afterAll(() => process.chdir(elsewhere));

/** The standard error of `tidegate check`, line by line, and how it ended. */
async function check(config: string): Promise<{ status: number; lines: string[] }> {
  write('tidegate.yaml', config);
  let text = '';
  const spy = vi.spyOn(process.stderr, 'write').mockImplementation((part) => {
    text += String(part);
    return true;
  });
  try {
    const status = await runProgram(['check', '-c', 'tidegate.yaml']);
    return { status, lines: text.trimEnd().split('\n') };
  } finally {
    spy.mockRestore();
    process.exitCode = undefined;
  }
}

/** The listener's TLS begins at line 6. */
const listenerWith = (tls: string) => `
listeners:
  - name: secure
    bind: "127.0.0.1:0"
    protocol: https
    tls: ${tls}
routes: [{ name: all, respond: { status: 200 } }]
`;

describe('tidegate check', () => {
  it.each<[what: string, tls: string, said: string]>([
    [
      'a file that is not there',
      `{ certificates: [{ cert: missing.pem, key: ${key} }] }`,
      'tidegate.yaml:6:35: listeners[0].tls.certificates[0].cert: expected a PEM file but missing.pem',
    ],
    [
      'a file without a certificate',
      `{ certificates: [{ cert: nothing.pem, key: ${key} }] }`,
      'tidegate.yaml:6:35: listeners[0].tls.certificates[0].cert: expected a certificate in PEM but nothing.pem has none',
    ],
    [
      'a file without a key',
      `{ certificates: [{ cert: ${cert}, key: nothing.pem }] }`,
      'listeners[0].tls.certificates[0].key: expected a private key in PEM but nothing.pem has none',
    ],
    [
      'a key that is encrypted',
      `{ certificates: [{ cert: ${cert}, key: locked.key }] }`,
      'listeners[0].tls.certificates[0].key: expected a private key in PEM but locked.key is encrypted (`openssl pkey -in KEY -out NEW` writes it without its password)',
    ],
    [
      'a key that is encrypted in the old way',
      `{ certificates: [{ cert: ${cert}, key: locked-ec.key }] }`,
      'listeners[0].tls.certificates[0].key: expected a private key in PEM but locked-ec.key is encrypted',
    ],
    [
      'the key of another certificate',
      `{ certificates: [{ cert: ${cert}, key: ${otherKey} }] }`,
      `listeners[0].tls.certificates[0].key: expected the key of the certificate in ${cert} but ${otherKey} has another one`,
    ],
    [
      'a name that is none of the certificate',
      `{ certificates: [{ cert: ${cert}, key: ${key}, names: [a.shop.example, a.b.shop.example] }] }`,
      'listeners[0].tls.certificates[0].names[1]: expected a name that the certificate is made out to but a.b.shop.example is none of shop.example, *.shop.example',
    ],
    [
      'a certificate whose time is over',
      `{ certificates: [{ cert: old.pem, key: ${key} }] }`,
      'tidegate.yaml:6:35: listeners[0].tls.certificates[0].cert: expected a certificate in force but old.pem has expired at 2021-01-01T00:00:00.000Z',
    ],
    [
      'authorities that are none',
      `{ certificates: [{ cert: ${cert}, key: ${key} }], clientAuth: { ca: nothing.pem } }`,
      'listeners[0].tls.clientAuth.ca: expected a certificate in PEM but nothing.pem has none',
    ],
    [
      'a revocation list that is none',
      `{ certificates: [{ cert: ${cert}, key: ${key} }], clientAuth: { ca: ${cert}, crl: nothing.pem } }`,
      'listeners[0].tls.clientAuth.crl: expected revocation lists in PEM but nothing.pem has none',
    ],
    [
      'ticket keys of another size',
      `{ certificates: [{ cert: ${cert}, key: ${key} }], tickets: { keyFile: short.key } }`,
      'listeners[0].tls.tickets.keyFile: expected 1 to 16 ticket keys of 80 bytes, as they are or as lines of base64, in short.key',
    ],
    [
      'ciphers that OpenSSL does not know',
      `{ certificates: [{ cert: ${cert}, key: ${key} }], ciphers: ECDHE-NOBODY }`,
      'listeners[0].tls.ciphers: ',
    ],
    [
      'suites that OpenSSL does not know',
      `{ certificates: [{ cert: ${cert}, key: ${key} }], cipherSuites: TLS_NOBODY }`,
      'listeners[0].tls.cipherSuites: ',
    ],
    [
      'groups that OpenSSL does not know',
      `{ certificates: [{ cert: ${cert}, key: ${key} }], groups: X25519:nobody }`,
      'listeners[0].tls.groups: ',
    ],
  ])('finds %s, at its place', async (_what, tls, said) => {
    const { status, lines } = await check(listenerWith(tls));
    expect(lines).toContainEqual(expect.stringContaining(said));
    expect(lines[0]).toMatch(/^tidegate\.yaml:6:\d+: /);
    expect(lines.join('\n')).not.toMatch(/PRIVATE|secret/);
    expect([status, lines.at(-1)]).toEqual([1, 'tidegate.yaml: 1 error']);
  });

  it('warns of a certificate that ends within 14 days, and of none that does not', async () => {
    const [endingCert, endingKey] = [nameOf(ending.certFile), nameOf(ending.keyFile)];
    const both = `{ cert: ${cert}, key: ${key} }, { cert: ${endingCert}, key: ${endingKey} }`;
    const { status, lines } = await check(listenerWith(`{ certificates: [${both}] }`));
    expect(status).toBe(0);
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(
      /^tidegate\.yaml:6:\d+: warning: listeners\[0\]\.tls\.certificates\[1\]\.cert: .*ending\.example.* expires in [23] days/,
    );
  });

  it('finds what is wrong towards upstreams as well', async () => {
    const { status, lines } = await check(`
listeners: [{ name: public, bind: "127.0.0.1:0" }]
routes: [{ name: all, upstream: app }]
upstreams:
  - name: app
    endpoints: ["app.internal:443"]
    tls: { ca: nothing.pem, cert: ${otherCert}, key: ${key} }
`);
    expect(status).toBe(1);
    expect(lines).toEqual([
      expect.stringMatching(
        /^tidegate\.yaml:7:\d+: upstreams\[0\]\.tls\.key: expected the key of the certificate/,
      ),
      'tidegate.yaml:7:16: upstreams[0].tls.ca: expected a certificate in PEM but nothing.pem has none',
      'tidegate.yaml: 2 errors',
    ]);
  });
});
