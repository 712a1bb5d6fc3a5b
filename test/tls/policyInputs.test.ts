// What policies read of a client's TLS, over either version of HTTP, and what they make of it.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { Authority } from '../support/certificates.js';
import { get, requestText } from '../support/client.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { openHttp2, request } from '../support/http2Client.js';
import { connectTls } from '../support/tlsClient.js';

/** The bare host runs no policies. */
const onHost = process.env['TIDEGATE_HOST'] !== undefined;

const authority = new Authority();
const site = authority.issue();
const clients = new Authority('Clients');
const robot = clients.issue({ names: ['robot.example'], commonName: 'robot' });
const stranger = new Authority('Strangers').issue({ commonName: 'stranger' });
const facts = ['version', 'cipher', 'sni', 'alpn', 'ja4', 'subject', 'sans', 'fingerprint'];

let gateway: Gateway;

beforeAll(async () => {
  if (onHost) return;
  const folder = temporaryFolder();
  const tells = join(folder, 'tells.ts');
  writeFileSync(
    tells,
    `import { definePolicy, respond, tls } from 'tidegate/policy';
export default definePolicy({
  inputs: { ${[...facts, 'verification'].map((fact) => `${fact}: tls('${fact}')`).join(', ')} },
  decide: ({ inputs }) => respond({ body: JSON.stringify(inputs), replayFor: '1h' }),
});`,
  );
  const judges = join(folder, 'judges.ts');
  writeFileSync(
    judges,
    `import { allow, definePolicy, deny, tls } from 'tidegate/policy';
export default definePolicy({
  inputs: { verification: tls('verification') },
  decide({ inputs: { verification = 'there is none' } }) {
    return verification === 'ok' ? allow() : deny({ reason: \`your certificate: \${verification}\` });
  },
});`,
  );
  const secure = (name: string, more: string) => `
  - name: ${name}
    bind: "127.0.0.1:0"
    protocol: https
    tls: { certificates: [{ cert: ${site.certFile}, key: ${site.keyFile} }], ${more} }`;
  gateway = await startGateway(
    `
listeners:
  - { name: plain, bind: "127.0.0.1:0" }${secure('public', `clientAuth: { mode: request, ca: ${clients.certFile} }`)}${secure('old', 'maxVersion: TLSv1.2')}
policies:
  - { name: tells, use: ${tells} }
  - { name: judges, use: ${judges} }
routes:
  - { name: tells, match: { path: /tells }, policies: [tells], respond: { status: 404 } }
  - { name: judges, match: { path: /judges }, policies: [judges], respond: { body: welcome } }
`,
    { flags: ['--policy-workers', '1'] },
  );
});

describe.skipIf(onHost)('a policy', () => {
  it('reads what was agreed on, by HTTP/1.1', async () => {
    const client = await connectTls(gateway.address(), { authority, ALPNProtocols: ['http/1.1'] });
    const { text } = await client.request(requestText('GET /tells HTTP/1.1'));
    expect(JSON.parse(text)).toEqual({
      version: 'TLSv1.3',
      cipher: client.tls.getCipher().standardName,
      sni: 'localhost',
      alpn: 'http/1.1',
      ja4: expect.stringMatching(/^t13d\d{4}h1_[0-9a-f]{12}_[0-9a-f]{12}$/),
    });
    client.close();
  });

  it('and by HTTP/2', async () => {
    const session = await openHttp2(gateway.address(), {
      ...{ protocol: 'https:', ca: authority.cert, servername: 'localhost' },
    });
    const { body } = await request(session, { ':path': '/tells' });
    expect(JSON.parse(body.toString())).toMatchObject({
      version: 'TLSv1.3',
      alpn: 'h2',
      ja4: expect.stringMatching(/^t13d\d{4}h2_/),
    });
    session.destroy();
  });

  it('and of TLS 1.2', async () => {
    const client = await connectTls(gateway.address('old'), { authority });
    const { text } = await client.request(requestText('GET /tells HTTP/1.1'));
    expect(JSON.parse(text)).toMatchObject({
      version: 'TLSv1.2',
      cipher: expect.stringMatching(/^TLS_ECDHE_ECDSA_WITH_/),
    });
    client.close();
  });

  it('reads nothing in the clear', async () => {
    expect(JSON.parse((await get(gateway.address('plain'), '/tells')).text)).toEqual({});
  });

  it('reads the certificate of the client, whose verdict is nobody else’s', async () => {
    const ask = async (identity: object) => {
      const client = await connectTls(gateway.address(), { authority, ...identity });
      const { text } = await client.request(requestText('GET /tells HTTP/1.1'));
      client.close();
      return JSON.parse(text);
    };
    for (let i = 0; i < 2; i += 1) {
      expect(await ask({ cert: robot.cert, key: robot.key })).toMatchObject({
        subject: 'CN=robot',
        sans: 'DNS:robot.example',
        fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
        verification: 'ok',
      });
      const bad = await ask({ cert: stranger.cert, key: stranger.key });
      expect(bad.verification).toBe('unable to verify the first certificate');
      expect(Object.keys(bad)).not.toContain('subject');
      expect(Object.keys(bad)).not.toContain('fingerprint');
    }
  });

  it('tells people what is wrong with their certificate', async () => {
    const ask = async (identity: object) => {
      const client = await connectTls(gateway.address(), { authority, ...identity });
      const response = await client.request(requestText('GET /judges HTTP/1.1'));
      client.close();
      return response;
    };
    expect((await ask({ cert: robot.cert, key: robot.key })).text).toBe('welcome');
    const bad = await ask({ cert: stranger.cert, key: stranger.key });
    expect([bad.status, bad.problem.detail]).toEqual([
      403,
      'your certificate: unable to verify the first certificate',
    ]);
    expect((await ask({})).problem.detail).toBe('your certificate: there is none');
  });
});
