// Verifies tokens with jose: the signature by a key that fits the algorithm, then what the claims must be.
import { createPublicKey, type KeyObject } from 'node:crypto';
import {
  type CryptoKey,
  createLocalJWKSet,
  decodeJwt,
  errors,
  type JSONWebKeySet,
  type JWTPayload,
  jwtVerify,
} from 'jose';
import type { PolicyLog } from '../../policy/define.js';
import type { JwtCredential, KnownConsumer } from '../../policy/knownConsumer.js';
import { sha256Hex } from '../../policy/sha256.js';
import { type JwksSettings, JwksSource, type KeyHeader, KeysUnavailable } from './jwks.js';
import type { Options } from './options.js';

export type Verification =
  /** `owner`: whose credential has verified it. `credential`: that one, or else the issuer; other tokens of it are the same credential. */
  | {
      readonly ok: true;
      readonly claims: JWTPayload;
      readonly owner: KnownConsumer | undefined;
      readonly credential: string;
    }
  /** `reason` completes "the token …"; undefined where its key may be one that cannot be fetched now. */
  | { readonly ok: false; readonly reason: string | undefined };

type Key = CryptoKey | KeyObject | Uint8Array;

interface OwnedKey {
  readonly key: Key;
  readonly owner?: KnownConsumer;
  /** Of the owner's. */
  readonly credential?: string;
}

/** Undefined where there is no key for a token. */
type FindKey = (header: KeyHeader, token: string) => Promise<OwnedKey | undefined>;

interface Surroundings {
  readonly consumers: readonly KnownConsumer[];
  readonly log: PolicyLog;
  readonly signal: AbortSignal;
}

class NoKey extends Error {}
/** Some of the URLs have no such key, and the others no keys at all. */
class PerhapsNoKey extends Error {}

export class Verifier {
  readonly #options: Options;
  readonly #findKey: FindKey;

  constructor(options: Options, surroundings: Surroundings) {
    this.#options = options;
    this.#findKey = keyFinder(options, surroundings);
  }

  /** `now`: milliseconds since 1970. Rejects only with KeysUnavailable, when there are no keys at all: what a client sends is no failure of the policy. */
  async verify(token: string, now: number): Promise<Verification> {
    const { algorithms, issuer, audience, clockSkew, maxAge, requiredClaims } = this.#options;
    let owned: OwnedKey | undefined;
    try {
      const { payload } = await jwtVerify(
        token,
        async (header) => {
          const found = await this.#findKey(header, token);
          if (found === undefined) throw new NoKey();
          owned = found;
          return found.key;
        },
        {
          algorithms: [...algorithms],
          requiredClaims: [...requiredClaims],
          clockTolerance: clockSkew / 1000,
          currentDate: new Date(now),
          ...(issuer === undefined ? {} : { issuer }),
          ...(audience === undefined ? {} : { audience }),
          ...(maxAge === undefined ? {} : { maxTokenAge: maxAge / 1000 }),
        },
      );
      const reason = this.#tooLong(payload, now);
      if (reason !== undefined) return { ok: false, reason };
      const credential = owned?.credential ?? credentialOf(payload.iss, undefined);
      return { ok: true, claims: payload, owner: owned?.owner, credential };
    } catch (error) {
      if (error instanceof KeysUnavailable) throw error;
      return { ok: false, reason: reasonOf(error) };
    }
  }

  /** Completes "the token …". */
  #tooLong({ exp }: JWTPayload, now: number): string | undefined {
    const { maxLifetime, clockSkew } = this.#options;
    if (maxLifetime === undefined) return undefined;
    if (exp === undefined) return 'has no claim exp';
    return exp * 1000 - now > maxLifetime + clockSkew ? 'is good for too long' : undefined;
  }
}

function reasonOf(error: unknown): string | undefined {
  if (error instanceof PerhapsNoKey) return undefined;
  if (error instanceof NoKey) return 'is signed with a key that is not known';
  if (error instanceof errors.JWTExpired) return 'has expired';
  if (error instanceof errors.JWTClaimValidationFailed) {
    return error.reason === 'missing'
      ? `has no claim ${error.claim}`
      : `has a claim ${error.claim} that is not accepted`;
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'has a wrong signature';
  if (error instanceof errors.JOSEAlgNotAllowed) return 'is signed with another algorithm';
  if (error instanceof errors.JWKSMultipleMatchingKeys) return 'does not say which key it needs';
  return 'is no signed JWT';
}

function keyFinder(options: Options, surroundings: Surroundings): FindKey {
  const { keys } = options;
  if (keys === undefined) return credentialFinder(surroundings.consumers);
  const { secret, publicKey, jwk, jwks } = keys;
  if (secret !== undefined) return async () => ({ key: secret });
  if (publicKey !== undefined) return async () => ({ key: publicKey.key });
  if (jwk !== undefined) {
    const local = createLocalJWKSet({ keys: jwk } as unknown as JSONWebKeySet);
    return async (header) => ({ key: await local(header) });
  }
  return sourceFinder(jwks ?? [], keys, surroundings);
}

function sourceFinder(
  urls: readonly string[],
  settings: JwksSettings,
  surroundings: Surroundings,
): FindKey {
  const sources = urls.map((url) => new JwksSource(url, settings, surroundings));
  for (const source of sources) source.warm();
  return async (header) => {
    const unavailable = new Set<JwksSource>();
    for (const how of ['find', 'findAnew'] as const) {
      for (const source of sources) {
        if (unavailable.has(source)) continue;
        try {
          const key = await source[how](header);
          if (key !== undefined) return { key };
        } catch (error) {
          if (!(error instanceof KeysUnavailable)) throw error;
          unavailable.add(source);
          if (unavailable.size === sources.length) throw error;
        }
      }
    }
    if (unavailable.size > 0) throw new PerhapsNoKey();
    return undefined;
  };
}

function credentialFinder(consumers: readonly KnownConsumer[]): FindKey {
  const owned = new Map<string, OwnedKey & { algorithm: string }>();
  for (const owner of consumers) {
    for (const credential of owner.credentials.jwt) {
      const { issuer, keyId, algorithm } = credential;
      owned.set(idOf(issuer, keyId), {
        owner,
        algorithm,
        key: keyOf(credential),
        credential: credentialOf(issuer, keyId),
      });
    }
  }
  return async ({ kid, alg } = {}, token) => {
    const { iss } = decodeJwt(token);
    const found =
      owned.get(idOf(iss, kid)) ??
      owned.get(idOf(iss, undefined)) ??
      owned.get(idOf(undefined, kid));
    // A key serves one algorithm: a public key is never taken for a secret.
    return found?.algorithm === alg ? found : undefined;
  };
}

function idOf(issuer: string | undefined, keyId: string | undefined): string {
  return JSON.stringify([issuer ?? null, keyId ?? null]);
}

/** As short as the name of an API key. */
function credentialOf(issuer: string | undefined, keyId: string | undefined): string {
  return sha256Hex(idOf(issuer, keyId)).slice(0, 12);
}

function keyOf({ key }: JwtCredential): Key {
  return key.kind === 'secret' ? Buffer.from(key.secret, 'base64') : createPublicKey(key.pem);
}
