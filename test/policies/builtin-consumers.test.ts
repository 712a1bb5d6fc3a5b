// Consumers in a real gateway: who is told upstream, by which of its limits it is held, and what a changed file changes.
import { createHmac } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { get } from '../support/client.js';
import { temporaryFolder } from '../support/folder.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Origin, startOrigin } from '../support/origin.js';
import { eventually } from '../support/patience.js';

const file = join(temporaryFolder(), 'consumers.yaml');
const writeConsumers = (text: string) => writeFileSync(file, text);

let origin: Origin;
let gateway: Gateway;

// The bare host has no workers of Node's.
describe.skipIf(process.env['TIDEGATE_HOST'])('consumers', () => {
  beforeAll(async () => {
    origin = await startOrigin();
    writeConsumers('- { id: ada, groups: [staff], credentials: { apiKeys: [ada-key-1] } }\n');
    gateway = await startGateway(
      `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
process: { watch: true }
consumers: { file: "${file}" }
policies:
  - { name: keys, use: api-key }
  - name: limit
    use: rate-limit
    with: { limits: [{ count: 2, per: 8784h, algorithm: fixed-window }], headers: none }
routes:
  - { name: all, match: { path: /* }, policies: [keys], upstream: origin }
  - { name: limited, match: { path: /limited }, policies: [keys, limit], upstream: origin }
upstreams: [{ name: origin, endpoints: ["${origin.address}"] }]
`,
      { flags: ['--policy-workers', '2'] },
    );
  });
  beforeEach(() => origin.clear());

  const ask = (target: string, key: string, ...fields: string[]) =>
    get(gateway.address(), target, `x-api-key: ${key}`, ...fields);

  it('are told upstream, and nobody can be them by saying so', async () => {
    const { status } = await ask('/', 'ada-key-1', 'x-consumer-id: root', 'x-consumer-name: Root');
    expect(status).toBe(200);
    const seen = await origin.nextRequest();
    expect(seen.headers('x-consumer-id')).toEqual(['ada']);
    expect(seen.headers('x-consumer-groups')).toEqual(['staff']);
    expect(seen.header('x-consumer-name')).toBeUndefined();
    expect(seen.header('x-api-key')).toBeUndefined();
  });

  it('are limited each for itself, and replayed verdicts are charged as well', async () => {
    writeConsumers(
      '- { id: ada, credentials: { apiKeys: [ada-key-1] } }\n- { id: eve, credentials: { apiKeys: [eve-key-1] } }\n',
    );
    await eventually(
      () => 'the new consumer is known',
      async () => (await ask('/', 'eve-key-1')).status === 200,
    );
    const statuses = async (key: string) => {
      const list: number[] = [];
      for (let i = 0; i < 3; i += 1) list.push((await ask('/limited', key)).status);
      return list;
    };
    expect(await statuses('ada-key-1')).toEqual([200, 200, 429]);
    expect(await statuses('eve-key-1')).toEqual([200, 200, 429]);
  });

  it('that are gone from the file are not known any more, even where a verdict was kept', async () => {
    expect((await ask('/', 'ada-key-1')).status).toBe(200);
    writeConsumers('- { id: eve, credentials: { apiKeys: [eve-key-1] } }\n');
    await eventually(
      () => 'the consumer is gone',
      async () => (await ask('/', 'ada-key-1')).status === 401,
    );
    expect((await ask('/', 'eve-key-1')).status).toBe(200);
  });

  it('that are wrong leave those before in force, and no key is in the log', async () => {
    const from = gateway.log.all.length;
    writeConsumers('- { id: eve, credentials: { apiKeys: [another-secret-key, short] } }\n');
    await gateway.log.find(
      'the refusal',
      (line) => line.includes('configuration refused') || undefined,
      from,
    );
    expect((await ask('/', 'eve-key-1')).status).toBe(200);
    expect(gateway.log.text).not.toMatch(/another-secret-key|ada-key|eve-key|"short"/);
  });
});

const secrets = ['first-secret-of-32-bytes-or-more', 'another-secret-of-32-bytes-or-so'];

/** A token of HS256; `id` makes it another one. */
function token(keyId: number, id: string): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'HS256', kid: `k${keyId}` })}.${part({ jti: id, exp: 4e9 })}`;
  const secret = secrets[keyId] as string;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

describe.skipIf(process.env['TIDEGATE_HOST'])('credentials', () => {
  const statuses = async (path: string, ...fields: string[]) => {
    const list: number[] = [];
    for (let i = 0; i < 3; i += 1) {
      list.push((await get(limiting.address(), path, ...fields)).status);
    }
    return list;
  };
  let limiting: Gateway;

  beforeAll(async () => {
    const jwt = secrets.map((secret, i) => `{ key: k${i}, algorithm: HS256, secret: ${secret} }`);
    limiting = await startGateway(
      `
listeners: [{ name: public, bind: "127.0.0.1:0" }]
consumers:
  - id: ada
    credentials: { apiKeys: [ada-key-1, ada-key-2], jwt: [${jwt.join(', ')}] }
policies:
  - { name: keys, use: api-key, with: { anonymous: guest } }
  - { name: tokens, use: jwt, with: { algorithms: [HS256], consumers: credential } }
  - name: limit
    use: rate-limit
    with: { by: credential, limits: [{ count: 2, per: 8784h, algorithm: fixed-window }] }
routes:
  - { name: keys, match: { path: /keys }, policies: [keys, limit], respond: {} }
  - { name: tokens, match: { path: /tokens }, policies: [tokens, limit], respond: {} }
`,
      { flags: ['--policy-workers', '2'] },
    );
  });

  it('of one consumer are limited each for itself, also when verdicts are replayed', async () => {
    expect(await statuses('/keys', 'x-api-key: ada-key-1')).toEqual([200, 200, 429]);
    expect(await statuses('/keys', 'x-api-key: ada-key-2')).toEqual([200, 200, 429]);
  });

  it('that a request does not have are the address that it comes from', async () => {
    expect(await statuses('/keys')).toEqual([200, 200, 429]);
  });

  it('of tokens are their keys: a new token is no new limit', async () => {
    const seen: number[] = [];
    for (const id of ['a', 'b', 'c']) {
      const { status } = await get(
        limiting.address(),
        '/tokens',
        `authorization: Bearer ${token(0, id)}`,
      );
      seen.push(status);
    }
    expect(seen).toEqual([200, 200, 429]);
    const other = `authorization: Bearer ${token(1, 'a')}`;
    expect(await statuses('/tokens', other)).toEqual([200, 200, 429]);
  });
});
