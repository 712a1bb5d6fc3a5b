// The options of `use: jwt`, and what they must be to each other.
import { z } from 'zod';
import { jwtSecret, publicKey } from '../../config/schema/consumers.js';
import { choice, duration, expected, flag, headerName } from '../../config/schema/scalars.js';
import {
  isSymmetric,
  jwtAlgorithms,
  leastSecretBytes,
  misfit,
} from '../../config/verificationKey.js';
import * as option from '../options.js';

const filled = (what: string) => z.string(expected(what)).min(1, expected(what));

const urlRule = 'an http or https URL without credentials';

const url = z.string(expected(urlRule)).refine((value) => {
  if (!URL.canParse(value)) return false;
  const { protocol, username, password } = new URL(value);
  return (protocol === 'https:' || protocol === 'http:') && username + password === '';
}, expected(urlRule));

const jwkRule = 'a public key as a JWK: a map with "kty" RSA, EC or OKP, and nothing private';

const jwk = z
  .record(z.string(), z.unknown(), expected(jwkRule))
  .refine(
    ({ kty, d }) => ['RSA', 'EC', 'OKP'].includes(String(kty)) && d === undefined,
    expected(jwkRule),
  );

const keys = z.strictObject({
  jwks: option
    .several(url, urlRule)
    .optional()
    .describe(
      'URLs that publish public keys (JWKS). A token is verified by the key that its `kid` and `alg` name.',
    ),
  cacheFor: duration(1000)
    .prefault('10m')
    .describe('How long keys of a URL are used before they are fetched again.'),
  cooldown: duration(0)
    .prefault('30s')
    .describe(
      'A token with an unknown `kid` has the keys fetched again, but not more often than this.',
    ),
  timeout: duration(1, 60_000).prefault('5s').describe('How long one fetch may take.'),
  staleIfError: duration(0)
    .prefault('1h')
    .describe('How long beyond `cacheFor` keys are used while they cannot be fetched.'),
  secret: jwtSecret()
    .optional()
    .describe('For `HS256`, `HS384` and `HS512`: at least as long as the hash.'),
  publicKey: publicKey().optional().describe('A public key in PEM.'),
  jwk: option
    .severalOf(jwk, jwkRule)
    .optional()
    .describe('Public keys as JWKs, in the place of a URL that publishes them.'),
});

const claimValue = z.union(
  [z.string(), z.number(), z.boolean()],
  expected('a text, a number, true or false'),
);

const scopes = z.strictObject({
  all: z.array(filled('a scope')).prefault([]).describe('All of them must be there.'),
  any: z.array(filled('a scope')).prefault([]).describe('One of them must be there.'),
  claim: filled('the name of a claim')
    .optional()
    .describe(
      'Where they are: a text with spaces between them, or a list. Default: `scope`, otherwise `scp`.',
    ),
});

/** Without what the parts must be to each other. */
const shape = {
  algorithms: z
    .array(choice(jwtAlgorithms), expected('a list of algorithms'))
    .min(1, expected('at least one algorithm'))
    .describe('What tokens may be signed with. There is no `none`.'),
  keys: keys
    .optional()
    .describe('Where the keys are: exactly one of `jwks`, `secret`, `publicKey` and `jwk`.'),
  consumers: choice(['any', 'known', 'credential'])
    .default('any')
    .describe(
      'Who the consumer is. `any`: whom `subjectClaim` names; `known`: only if `consumers` has that id; `credential`: whose key verifies the token, found by `iss` and `kid` (then there are no `keys`).',
    ),
  subjectClaim: filled('the name of a claim')
    .default('sub')
    .describe('The claim with the id of the consumer.'),
  groupsClaim: filled('the name of a claim')
    .optional()
    .describe(
      'A claim with groups of the consumer, beside those that `consumers` gives: a list, or a text.',
    ),
  issuer: option
    .several(filled('an issuer'), 'an issuer')
    .optional()
    .describe('`iss` must be one of these.'),
  audience: option
    .several(filled('an audience'), 'an audience')
    .optional()
    .describe('`aud` must have one of these.'),
  clockSkew: duration(0, 3_600_000)
    .prefault('30s')
    .describe('How far the clock of the issuer may be off, for `exp`, `nbf` and `iat`.'),
  maxAge: duration(1000).optional().describe('How old a token may be, by `iat`.'),
  maxLifetime: duration(1000)
    .optional()
    .describe('How far in the future `exp` may be; a token without `exp` is refused then.'),
  requiredClaims: z
    .array(filled('the name of a claim'), expected('a list of claims'))
    .prefault(['exp'])
    .describe('Claims that a token must have.'),
  claims: z
    .record(
      filled('the name of a claim'),
      z.union(
        [claimValue.transform((value) => [value]), z.array(claimValue).min(1)],
        expected('a text, a number, true or false, or a list of them'),
      ),
      expected('a map from claims to values'),
    )
    .prefault({})
    .describe('Claims with the value that each must have, or a list of values that it may have.'),
  scopes: z
    .union(
      [z.array(filled('a scope')).transform((all) => ({ all, any: [], claim: undefined })), scopes],
      expected('a list of scopes, or a map with "all" and "any"'),
    )
    .prefault([])
    .describe('Scopes that a token must have; without them 403. A list stands for `all`.'),
  header: option
    .several(option.header(), 'the name of a header')
    .optional()
    .describe(
      'Where the token may stand: headers, behind `Bearer`; where it is not `authorization`, also without. Default: `authorization`, where neither `query` nor `cookie` is given.',
    ),
  query: option
    .several(option.queryName(), 'the name of a query parameter')
    .optional()
    .describe('Where the token may stand: query parameters.'),
  cookie: option
    .several(option.cookieName(), 'the name of a cookie')
    .optional()
    .describe(
      'Where the token may stand: cookies. Headers go before the query, the query before cookies.',
    ),
  hide: flag().default(false).describe('The token is removed before the request goes upstream.'),
  headers: z
    .record(headerName(), filled('the name of a claim'), expected('a map from headers to claims'))
    .prefault({})
    .describe(
      'Headers that the upstream gets, each with the claim it holds. What a client sends in them is removed.',
    ),
  anonymous: option.anonymous(),
  realm: option.realm(),
  onPreflight: option.onPreflight(),
  identityHeaders: option.identityHeaders(),
  ...option.groupOptions,
  replayFor: option.replayFor('1m'),
  staleIfError: duration(0)
    .prefault('0s')
    .describe('How much longer, while keys cannot be fetched, but never beyond `exp`.'),
};

export const options = z.strictObject(shape).superRefine((given, context) => {
  const refuse = (message: string, ...path: (string | number)[]) =>
    context.addIssue({ code: 'custom', message: `expected ${message}`, path });
  if (given.consumers === 'credential') {
    if (given.keys !== undefined) refuse('no keys where consumers have them', 'keys');
    return;
  }
  if (given.keys === undefined) {
    refuse('keys, or consumers: credential');
    return;
  }
  const { secret, publicKey: pem, jwks, jwk: inline } = given.keys;
  const ways = [secret, pem, jwks, inline].filter((way) => way !== undefined);
  if (ways.length !== 1) refuse('exactly one of jwks, secret, publicKey and jwk', 'keys');
  for (const [index, algorithm] of given.algorithms.entries()) {
    // A public key taken for a secret would be one that everybody knows.
    if (isSymmetric(algorithm) !== (secret !== undefined)) {
      const what =
        secret === undefined
          ? 'no HS256, HS384 and HS512 with public keys'
          : 'only HS256, HS384 and HS512 with a secret';
      refuse(what, 'algorithms', index);
    } else if (secret !== undefined && secret.length < leastSecretBytes(algorithm)) {
      refuse(`at least ${leastSecretBytes(algorithm)} bytes for ${algorithm}`, 'keys', 'secret');
    }
    const wanted = pem === undefined ? undefined : misfit(algorithm, pem.key);
    if (wanted !== undefined) refuse(`${wanted} for ${algorithm}`, 'keys', 'publicKey');
  }
});

export type Options = z.output<typeof options>;
