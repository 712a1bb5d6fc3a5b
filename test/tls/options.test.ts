// What the configuration says of versions, ciphers and groups is what is spoken, on either side.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { beforeAll, describe, expect, it } from 'vitest';
import { Authority } from '../support/certificates.js';
import { get, requestText } from '../support/client.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { connectTls, type TlsClientOptions } from '../support/tlsClient.js';
import { startTlsOrigin } from '../support/tlsOrigin.js';

const authority = new Authority();
const site = authority.issue();
const tls12 = { maxVersion: 'TLSv1.2' } as const;
const tls13 = { minVersion: 'TLSv1.3' } as const;

const listeners: [option: string, cipher: string, group: string, refused: TlsClientOptions][] = [
  [
    'ciphers: ECDHE-ECDSA-AES256-GCM-SHA384, maxVersion: TLSv1.2',
    'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
    'X25519',
    { ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' },
  ],
  ['minVersion: TLSv1.3', 'TLS_AES_', 'X25519', tls12],
  ['maxVersion: TLSv1.2', 'TLS_ECDHE_ECDSA_', 'X25519', tls13],
  [
    'cipherSuites: TLS_CHACHA20_POLY1305_SHA256',
    'TLS_CHACHA20_POLY1305_SHA256',
    'X25519',
    { ...tls13, ciphers: 'TLS_AES_128_GCM_SHA256' },
  ],
  ['groups: secp384r1', 'TLS_AES_', 'secp384r1', { ecdhCurve: 'X25519' }],
];

const upstreams: [option: string, spoken: RegExp][] = [
  ['maxVersion: TLSv1.2', /^TLSv1\.2 TLS_ECDHE_/],
  ['minVersion: TLSv1.3', /^TLSv1\.3 TLS_/],
  [
    'maxVersion: TLSv1.2, ciphers: ECDHE-ECDSA-CHACHA20-POLY1305',
    /^TLSv1\.2 TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256$/,
  ],
  ['cipherSuites: TLS_CHACHA20_POLY1305_SHA256', /^TLSv1\.3 TLS_CHACHA20_POLY1305_SHA256$/],
];

/** Names of the listener or upstream of a row. */
const nameOf = (rows: readonly (readonly unknown[])[], option: string) =>
  `of-${rows.findIndex(([each]) => each === option)}`;

function tellWhatIsSpoken({ socket }: IncomingMessage, response: ServerResponse): void {
  const tls = socket as TLSSocket;
  response.end(`${tls.getProtocol()} ${tls.getCipher().standardName}`);
}

let gateway: Gateway;

beforeAll(async () => {
  const { cert, key } = site;
  const origin = await startTlsOrigin({ cert, key }, tellWhatIsSpoken);
  const p521 = await startTlsOrigin({ cert, key, ecdhCurve: 'secp521r1' }, tellWhatIsSpoken);
  const listener = (name: string, tls: string) =>
    `  - { name: ${name}, bind: "127.0.0.1:0", protocol: https, tls: { certificates: [{ cert: ${site.certFile}, key: ${site.keyFile} }], ${tls} } }\n`;
  const upstream = (name: string, address: string, tls: string) =>
    `  - { name: ${name}, endpoints: ["${address}"], retries: { attempts: 0 }, tls: { ca: ${authority.certFile}, serverName: localhost, ${tls} } }\n`;
  const all = [
    ...upstreams.map(([tls]) => upstream(nameOf(upstreams, tls), origin.address, tls)),
    upstream('usual-groups', p521.address, ''),
    upstream('other-groups', p521.address, 'groups: "X25519:secp521r1"'),
  ];
  const names = all.map((text) => /name: ([^,]+)/.exec(text)?.[1]);
  gateway = await startGateway(`
listeners:
  - { name: public, bind: "127.0.0.1:0" }
${listeners.map(([tls]) => listener(nameOf(listeners, tls), tls)).join('')}
routes:
  - { name: all, respond: { body: ok } }
${names.map((name) => `  - { name: ${name}, match: { path: /${name} }, upstream: ${name} }\n`).join('')}
upstreams:
${all.join('')}
`);
});

describe('a listener speaks', () => {
  it.each(listeners)('%s', async (option, cipher, group, refused) => {
    const address = gateway.address(nameOf(listeners, option));
    const client = await connectTls(address, {
      authority,
      ecdhCurve: 'X25519:prime256v1:secp384r1',
    });
    expect(client.tls.getCipher().standardName).toContain(cipher);
    expect(client.tls.getEphemeralKeyInfo()).toMatchObject({ name: group });
    expect((await client.request(requestText('GET / HTTP/1.1'))).text).toBe('ok');
    client.close();
    await expect(connectTls(address, { authority, ...refused })).rejects.toThrow();
  });
});

describe('an upstream is spoken to in', () => {
  const ask = (name: string) => get(gateway.address(), `/${name}`);

  it.each(upstreams)('%s', async (option, spoken) => {
    expect((await ask(nameOf(upstreams, option))).text).toMatch(spoken);
  });

  it('no other groups than those that are said', async () => {
    expect((await ask('usual-groups')).problem.reason).toBe('upstream_tls_failed');
    expect((await ask('other-groups')).text).toMatch(/^TLSv1\.3 /);
  });
});
