// Consumers with what they are known by: what a policy that authenticates gets in `setup`.
import type { Consumer } from './consumer.js';

export interface KnownConsumer extends Consumer {
  readonly credentials: Credentials;
}

export interface Credentials {
  /** SHA-256 of each key, in 64 lower-case hexadecimal digits: the keys themselves stay in the control thread. */
  readonly apiKeys: readonly string[];
  readonly jwt: readonly JwtCredential[];
}

/** A key that verifies a consumer's tokens. At least one of `issuer` and `keyId` says which tokens those are. */
export interface JwtCredential {
  /** The claim `iss`. */
  readonly issuer?: string | undefined;
  /** The header `kid`. */
  readonly keyId?: string | undefined;
  readonly algorithm: string;
  readonly key: VerificationKey;
}

export type VerificationKey =
  /** Bytes in base64. */
  | { readonly kind: 'secret'; readonly secret: string }
  /** SPKI, in PEM. */
  | { readonly kind: 'public'; readonly pem: string };
