// The credentials that requests carry, which all proxies know: API keys, and tokens signed with RS256.
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

export const issuer = 'https://issuer.example';
export const audience = 'bench';

export interface ApiKey {
  key: string;
  consumer: string;
}

export const apiKeys: readonly ApiKey[] = Array.from({ length: 100 }, (_, i) => {
  const number = String(i).padStart(3, '0');
  return { key: `bench-key-${number}-4f9d2c7ab1e8`, consumer: `consumer-${number}` };
});

export interface Tokens {
  /** PEM, as SubjectPublicKeyInfo. */
  publicKey: string;
  tokens: readonly string[];
}

const tokenCount = 1000;
const tokenHours = 12;

let made: Tokens | undefined;

/** Of different subjects, signed with one key; made once, and valid for longer than a bench takes. */
export function signedTokens(): Tokens {
  if (made) return made;
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const now = Math.floor(Date.now() / 1000);
  const tokens = Array.from({ length: tokenCount }, (_, i) =>
    signedToken(privateKey, {
      iss: issuer,
      aud: audience,
      sub: `subject-${i}`,
      iat: now,
      exp: now + tokenHours * 3600,
    }),
  );
  made = { publicKey: String(publicKey.export({ type: 'spki', format: 'pem' })), tokens };
  return made;
}

function signedToken(key: KeyObject, claims: Readonly<Record<string, unknown>>): string {
  const encode = (part: unknown) => Buffer.from(JSON.stringify(part)).toString('base64url');
  const signed = `${encode({ alg: 'RS256', typ: 'JWT' })}.${encode(claims)}`;
  return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`;
}
