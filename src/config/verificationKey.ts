// Keys that verify signatures, as configurations give them: read and held against their algorithm before anything uses them.
import { createPublicKey, type KeyObject } from 'node:crypto';
import { accept, type Parsed, refuse } from './parsed.js';

/** RFC 7518, 3.1 and RFC 8037. `none` is not among them. */
export const jwtAlgorithms = [
  'HS256',
  'HS384',
  'HS512',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const;

export type JwtAlgorithm = (typeof jwtAlgorithms)[number];

/** Signed and verified with one and the same secret. */
export function isSymmetric(algorithm: string): boolean {
  return algorithm.startsWith('HS');
}

/** RFC 7518, 3.2: as long as the hash at least. */
export function leastSecretBytes(algorithm: string): number {
  return Number(algorithm.slice(2)) / 8;
}

const publicKeyText = 'a public key in PEM (-----BEGIN PUBLIC KEY-----)';

/** SPKI, PKCS#1 or a certificate, in PEM; the output is SPKI. What was given is in no message. */
export function parsePublicKey(pem: string): Parsed<{ pem: string; key: KeyObject }> {
  if (/PRIVATE KEY/.test(pem)) {
    return { ...refuse(publicKeyText, 'openssl pkey -pubout makes it'), received: 'a private one' };
  }
  try {
    const key = createPublicKey(pem);
    return accept({ key, pem: key.export({ type: 'spki', format: 'pem' }).toString() });
  } catch {
    return { ...refuse(publicKeyText), received: 'another text' };
  }
}

const curves: Readonly<Record<string, string>> = {
  ES256: 'prime256v1',
  ES384: 'secp384r1',
  ES512: 'secp521r1',
};

/** What the algorithm wants of a public key, where this one is not that. */
export function misfit(algorithm: string, key: KeyObject): string | undefined {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details = {} } = key;
  const curve = curves[algorithm];
  if (curve !== undefined) {
    return type === 'ec' && details.namedCurve === curve
      ? undefined
      : `an EC key on the curve ${curve}`;
  }
  if (algorithm === 'EdDSA') return type === 'ed25519' ? undefined : 'an Ed25519 key';
  const isRsa = type === 'rsa' || (type === 'rsa-pss' && algorithm.startsWith('PS'));
  // RFC 7518, 3.3.
  return isRsa && (details.modulusLength ?? 0) >= 2048
    ? undefined
    : 'an RSA key of at least 2048 bits';
}
