// Consumers in the configuration and in a file of their own: what is read, what is refused, and that no key is shown.
import { createHash, generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compileSnapshot, MetricSlots, PolicyNumbers } from '../../src/compile/index.js';
import { loadConfig, renderProblems } from '../../src/config/index.js';
import { temporaryFolder } from '../support/folder.js';

const listeners = 'listeners: [{ name: a, bind: "127.0.0.1:0" }]';
const sha256 = (key: string) => createHash('sha256').update(key).digest('hex');
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' }).toString();
const privatePem = rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

async function load(consumers: string, file?: string, env: Record<string, string> = {}) {
  const folder = temporaryFolder();
  const path = join(folder, 'tidegate.yaml');
  writeFileSync(path, `${listeners}\n${consumers}\n`);
  if (file !== undefined) writeFileSync(join(folder, 'consumers.yaml'), file);
  const loaded = await loadConfig(path, { env });
  const problems = loaded.ok ? loaded.warnings : loaded.problems;
  const clean = (text: string) => text.replaceAll(/\S*\/(?=(?:tidegate|consumers)\.yaml)/g, '');
  return {
    loaded,
    list: loaded.ok ? loaded.config.consumers.list : undefined,
    problems: clean(renderProblems(problems))
      .split('\n')
      .filter((line) => line !== ''),
    terminal: renderProblems(problems, { excerpt: true }),
  };
}

describe('consumers', () => {
  test('have their keys hashed when they are read', async () => {
    const { loaded, list } = await load(
      'consumers: [{ id: ada, name: Ada, groups: [a], tags: [t], credentials: { apiKeys: [plain-key, "${KEY}", { sha256: AB } ] } }]'.replace(
        'AB',
        sha256('hashed').toUpperCase(),
      ),
      undefined,
      { KEY: 'from-the-environment' },
    );
    expect(list).toEqual([
      {
        id: 'ada',
        name: 'Ada',
        groups: ['a'],
        tags: ['t'],
        credentials: {
          apiKeys: [sha256('plain-key'), sha256('from-the-environment'), sha256('hashed')],
          jwt: [],
        },
      },
    ]);
    expect(JSON.stringify(loaded.ok && loaded.config)).not.toContain('plain-key');
  });

  test('may stand in a file of their own, which is watched', async () => {
    const { loaded, list } = await load(
      'consumers: { file: ./consumers.yaml }',
      '- id: ada\n  credentials: { apiKeys: ["${KEY}"] }\n- id: bob\n',
      { KEY: 'from-the-environment' },
    );
    expect(list?.map(({ id }) => id)).toEqual(['ada', 'bob']);
    expect(list?.[0]?.credentials.apiKeys).toEqual([sha256('from-the-environment')]);
    expect(loaded.files.map((file) => file.split('/').at(-1))).toEqual([
      'tidegate.yaml',
      'consumers.yaml',
    ]);
  });

  test('that are wrong in a file of their own are refused at their place in it', async () => {
    const { loaded, problems } = await load(
      'consumers: { file: consumers.yaml }',
      '- id: ada\n  grups: [a]\n- id: ada\n- id: ""\n- name: x\n',
    );
    expect(loaded.files.map((file) => file.split('/').at(-1))).toContain('consumers.yaml');
    expect(problems).toEqual([
      'consumers.yaml:2:3: consumers[0].grups: unknown key "grups": expected id, name, groups, tags or credentials (did you mean "groups"?)',
      'consumers.yaml:3:7: consumers[1].id: expected an id of its own but "ada" is the id of consumers[0]',
      'consumers.yaml:4:7: consumers[2].id: expected an id of 1 to 256 bytes in one line, without space around it but received ""',
      expect.stringMatching(/^consumers.yaml:5:3: consumers\[3\].id: the key "id" is missing/),
    ]);
  });

  test('in a file that cannot be read are refused, and the file is waited for', async () => {
    const { loaded, problems } = await load('consumers: { file: ./consumers.yaml }');
    expect(problems).toEqual([expect.stringContaining('expected a readable file but')]);
    expect(loaded.files.at(-1)).toMatch(/consumers\.yaml$/);
  });

  test('have ids and credentials of their own', async () => {
    const { problems } = await load(`consumers:
  - { id: a, credentials: { apiKeys: [key-number-1, key-number-1] } }
  - { id: b, credentials: { apiKeys: [{ sha256: ${sha256('key-number-1')} }], jwt: [{ issuer: i, algorithm: HS256, secret: "${'s'.repeat(32)}" }] } }
  - { id: a, credentials: { jwt: [{ issuer: i, algorithm: HS256, secret: "${'t'.repeat(32)}" }] } }`);
    expect(problems).toEqual([
      'tidegate.yaml:3:53: consumers[0].credentials.apiKeys[1]: expected a key of its own but this consumer has it already',
      'tidegate.yaml:4:39: consumers[1].credentials.apiKeys[0]: expected a key of its own but the consumer "a" has it already',
      'tidegate.yaml:5:11: consumers[2].id: expected an id of its own but "a" is the id of consumers[0]',
      'tidegate.yaml:5:35: consumers[2].credentials.jwt[0]: expected an issuer and key of its own but the consumer "b" has it already',
    ]);
  });

  test('have keys for tokens that fit their algorithm', async () => {
    const of = async (credential: object) =>
      (
        await load(
          `consumers: ${JSON.stringify([{ id: 'a', credentials: { jwt: [credential] } }])}`,
        )
      ).problems.map((line) => line.replace(/^.*?: consumers\[0\].credentials.jwt\[0\]/, ''));
    const secret = 'x'.repeat(32);
    expect(await of({ issuer: 'i', algorithm: 'RS256', publicKey: pem })).toEqual([]);
    expect(await of({ key: 'k', algorithm: 'HS256', secret })).toEqual([]);
    expect(await of({ key: 'k', algorithm: 'HS256', secret: { base64: 'eHh4' } })).toEqual([
      '.secret: expected at least 32 bytes for HS256 but received what is not shown here',
    ]);
    expect(await of({ issuer: 'i', algorithm: 'RS256', publicKey: privatePem })).toEqual([
      '.publicKey: expected a public key in PEM (-----BEGIN PUBLIC KEY-----) but received what is not shown here',
    ]);
    expect(await of({ issuer: 'i', algorithm: 'ES256', publicKey: pem })).toEqual([
      '.publicKey: expected an EC key on the curve prime256v1 for ES256 but received what is not shown here',
    ]);
    expect(await of({ issuer: 'i', algorithm: 'HS256', publicKey: pem })).toEqual([
      ': expected a secret, and no publicKey, for HS256 but received what is not shown here',
    ]);
    expect(await of({ algorithm: 'HS256', secret })).toEqual([
      ': expected issuer, key or both, by which its tokens are known but received what is not shown here',
    ]);
    expect(await of({ issuer: 'i', algorithm: 'none', secret })).toEqual([
      expect.stringMatching(/^\.algorithm: expected HS256, .* or EdDSA/),
    ]);
  });

  test.each([
    ['a short key', '["s3cret"]'],
    ['a key with spaces', '["s3cret with spaces"]'],
    ['a number', '[123456789]'],
    ['a map', '[{ sha256: s3cret }]'],
    ['a misspelt key', '[{ sha265: s3cret }]'],
    ['a text in place of the list', 's3cret-s3cret'],
  ])('that have %s are refused without showing it', async (_, keys) => {
    for (const shown of [
      await load(`consumers: [{ id: a, credentials: { apiKeys: ${keys} } }]`),
      await load(
        'consumers: { file: consumers.yaml }',
        `[{ id: a, credentials: { apiKeys: ${keys} } }]`,
      ),
      await load(
        'consumers: { file: consumers.yaml }',
        `[{ id: a, credentials: { apiKeys: ${keys} }`,
      ),
    ]) {
      expect(shown.problems).not.toEqual([]);
      expect(shown.terminal).not.toMatch(/s3cret|123456789/);
    }
  });
});

test('a policy is set up anew for other consumers, and only one that gets them', async () => {
  const numbers = new PolicyNumbers();
  const folder = temporaryFolder();
  const instances = async (consumers: string) => {
    const path = join(folder, 'tidegate.yaml');
    writeFileSync(
      path,
      `${listeners}
policies: [{ name: keys, use: api-key }, { name: own, use: ./own.ts }]
routes: [{ name: r, policies: [keys, own], respond: {} }]
consumers: ${consumers}\n`,
    );
    writeFileSync(
      join(folder, 'own.ts'),
      `import { allow, definePolicy } from 'tidegate/policy'; export default definePolicy({ decide: () => allow() });`,
    );
    const loaded = await loadConfig(path);
    if (!loaded.ok) throw new Error(renderProblems(loaded.problems));
    const { config, source } = loaded;
    const compiled = await compileSnapshot(config, {
      version: 1,
      slots: new MetricSlots(),
      policies: numbers,
      source,
    });
    if (!compiled.ok) throw new Error(renderProblems(compiled.problems));
    return compiled.policies.instances;
  };
  const [keys, own] = await instances('[{ id: a }]');
  const [same] = await instances('[{ id: a }]');
  const [others, kept] = await instances('[{ id: b }]');
  expect(keys?.consumers).toMatchObject([{ id: 'a' }]);
  expect(own?.consumers).toBeUndefined();
  expect(same?.id).toBe(keys?.id);
  expect(others?.id).not.toBe(keys?.id);
  expect(kept?.id).toBe(own?.id);
});
