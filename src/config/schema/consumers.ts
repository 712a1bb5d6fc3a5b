// Who sends requests: consumers with the credentials by which policies know them.
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { accept, refuse } from '../parsed.js';
import {
  isSymmetric,
  jwtAlgorithms,
  leastSecretBytes,
  misfit,
  parsePublicKey,
} from '../verificationKey.js';
import { choice, expected, text } from './scalars.js';

/** Of what stands in a header that tells the upstream who it is. */
const maxNameBytes = 256;

function line(what: string, isFit: (value: string) => boolean = () => true) {
  const rule = `${what} of 1 to ${maxNameBytes} bytes in one line, without space around it`;
  return text(rule, (value) => {
    const fits =
      value !== '' &&
      value.trim() === value &&
      Buffer.byteLength(value) <= maxNameBytes &&
      !/[\0-\x1f\x7f\p{Surrogate}]/u.test(value) &&
      isFit(value);
    return fits ? accept(value) : refuse(rule);
  });
}

/** Groups stand in one header, with commas between them. */
export const groupName = () => line('a group without commas,', (value) => !value.includes(','));

export const consumerId = () => line('an id');

const names = (item: ReturnType<typeof line>, what: string) =>
  z
    .array(item, expected(`a list of ${what}`))
    .max(64, expected(`at most 64 ${what}`))
    .optional();

/** What is said of a consumer, wherever one is written down. */
export const consumerFields = {
  id: consumerId().describe('What logs, counters and the upstream (`x-consumer-id`) call it.'),
  name: line('a name')
    .optional()
    .describe('For people; the upstream gets it as `x-consumer-name`.'),
  groups: names(groupName(), 'groups').describe(
    'What `allowGroups` and `denyGroups` of policies mean; the upstream gets them as `x-consumer-groups`. At most 64.',
  ),
  tags: names(line('a tag'), 'tags').describe('For policies of your own. At most 64.'),
};

const keyRule = 'a key of 8 to 1024 visible ASCII characters';
const digestRule = 'the SHA-256 of a key in 64 hexadecimal digits';

/** Output: the hash. */
export const plainKey = () =>
  text(keyRule, (key) =>
    /^[!-~]{8,1024}$/.test(key)
      ? accept(createHash('sha256').update(key).digest('hex'))
      : refuse(keyRule),
  );

export const keyDigest = () =>
  text(digestRule, (hex) =>
    /^[0-9a-fA-F]{64}$/.test(hex) ? accept(hex.toLowerCase()) : refuse(digestRule),
  ).describe('The SHA-256 of the key, in hexadecimal digits: `printf %s KEY | sha256sum`.');

/** A key or its hash; the output is the hash. */
export const apiKey = () =>
  z.union(
    [plainKey(), z.strictObject({ sha256: keyDigest() }).transform(({ sha256 }) => sha256)],
    expected('a key, or a map with "sha256"'),
  );

const secretText = z.string(expected('a text')).transform((secret) => Buffer.from(secret));

const base64Rule = 'bytes in base64 or base64url';

const base64 = text(base64Rule, (value) =>
  /^[A-Za-z0-9+/_-]+={0,2}$/.test(value)
    ? accept(Buffer.from(value, 'base64'))
    : refuse(base64Rule),
);

/** Output: the bytes. */
export const jwtSecret = () =>
  z.union(
    [
      secretText,
      z
        .strictObject({ base64: base64.describe('The secret, in base64 or base64url.') })
        .transform((secret) => secret.base64),
    ],
    expected('a text, or a map with "base64"'),
  );

export const publicKey = () => text('a public key in PEM', parsePublicKey);

const jwtCredential = z
  .strictObject({
    issuer: z
      .string(expected('a text'))
      .min(1, expected('a text that is not empty'))
      .optional()
      .describe('The claim `iss` of its tokens.'),
    key: z
      .string(expected('a text'))
      .min(1, expected('a text that is not empty'))
      .optional()
      .describe(
        'The header `kid` of its tokens. At least one of `issuer` and `key` must be there.',
      ),
    algorithm: choice(jwtAlgorithms).describe('What its tokens are signed with.'),
    secret: jwtSecret()
      .optional()
      .describe('For `HS256`, `HS384` and `HS512`: at least as long as the hash.'),
    publicKey: publicKey().optional().describe('For the others: the public key, in PEM.'),
  })
  .transform(({ issuer, key: keyId, algorithm, secret, publicKey: given }, context) => {
    const problem = (message: string, ...path: string[]) => {
      context.issues.push({ code: 'custom', message, input: '', path });
      return z.NEVER;
    };
    if (issuer === undefined && keyId === undefined) {
      return problem('expected issuer, key or both, by which its tokens are known');
    }
    const common = { issuer, keyId, algorithm };
    if (isSymmetric(algorithm)) {
      if (secret === undefined || given !== undefined) {
        return problem(`expected a secret, and no publicKey, for ${algorithm}`);
      }
      const least = leastSecretBytes(algorithm);
      if (secret.length < least) {
        return problem(`expected at least ${least} bytes for ${algorithm}`, 'secret');
      }
      return { ...common, key: { kind: 'secret' as const, secret: secret.toString('base64') } };
    }
    if (given === undefined || secret !== undefined) {
      return problem(`expected a publicKey, and no secret, for ${algorithm}`);
    }
    const wanted = misfit(algorithm, given.key);
    if (wanted !== undefined) return problem(`expected ${wanted} for ${algorithm}`, 'publicKey');
    return { ...common, key: { kind: 'public' as const, pem: given.pem } };
  });

export const consumerSchema = z.strictObject({
  ...consumerFields,
  credentials: z
    .strictObject({
      apiKeys: z
        .array(apiKey(), expected('a list of keys'))
        .prefault([])
        .describe('Keys for `api-key`; hashed before any worker gets them.'),
      jwt: z
        .array(jwtCredential, expected('a list of maps'))
        .prefault([])
        .describe('Keys that verify its tokens, for `jwt` with `consumers: credential`.'),
    })
    .prefault({})
    .describe('By what policies know it. Nothing of it is shown in messages and logs.'),
});

export const consumerList = () =>
  z
    .array(consumerSchema, expected('a list of consumers'))
    .max(1_000_000, expected('at most 1000000 consumers'));

/** What is in a file is put into the list when it has been read. */
export const consumersSchema = z.union(
  [
    consumerList().transform((list) => ({ file: undefined as string | undefined, list })),
    z
      .strictObject({
        file: z
          .string(expected('the path of a YAML or JSON file'))
          .regex(/\.(?:ya?ml|json)$/, expected('the path of a YAML or JSON file'))
          .describe('A YAML or JSON file with the list, from the folder of the configuration.'),
      })
      .transform(({ file }) => ({
        file: file as string | undefined,
        list: [] as z.output<typeof consumerSchema>[],
      })),
  ],
  expected('a list of consumers, or a map with "file"'),
);

export type ConsumerSettings = z.output<typeof consumerSchema>;
