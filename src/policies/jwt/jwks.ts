// Keys that a URL publishes (RFC 7517, 5): fetched when they are needed, kept, and tided over while they cannot be fetched.
import { createLocalJWKSet, errors, type JSONWebKeySet } from 'jose';
import type { PolicyLog } from '../../policy/define.js';

export interface JwksSettings {
  /** Milliseconds, all of them. */
  readonly cacheFor: number;
  /** Between two fetches for the sake of a key that is not there. */
  readonly cooldown: number;
  /** Of one fetch. */
  readonly timeout: number;
  /** Beyond `cacheFor`, while fetching fails. */
  readonly staleIfError: number;
}

/** The keys cannot be had now: nothing can be said of a token. */
export class KeysUnavailable extends Error {
  override readonly name = 'KeysUnavailable';
}

type LocalSet = ReturnType<typeof createLocalJWKSet>;
export type KeyHeader = Parameters<LocalSet>[0];
export type FoundKey = Awaited<ReturnType<LocalSet>>;

const maxBytes = 1024 * 1024;
/** After the first failure, and at most; doubled each time. */
const backOff = { first: 1000, most: 60_000 };
/** From this part of `cacheFor` on, keys are fetched anew beside the requests that still use them. */
const aheadOfTime = 0.75;

export class JwksSource {
  readonly #url: string;
  readonly #settings: JwksSettings;
  readonly #log: PolicyLog;
  readonly #signal: AbortSignal;
  readonly #now: () => number;
  #keys: LocalSet | undefined;
  #fetchedAt = 0;
  #failures = 0;
  /** No fetch begins before. */
  #notBefore = 0;
  #fetching: Promise<void> | undefined;

  /** `signal` ends what is under way. `now`: milliseconds of a clock that does not step. */
  constructor(
    url: string,
    settings: JwksSettings,
    { log, signal }: { log: PolicyLog; signal: AbortSignal },
    now: () => number = () => performance.now(),
  ) {
    this.#url = url;
    this.#settings = settings;
    this.#log = log;
    this.#signal = signal;
    this.#now = now;
  }

  /** Begins to fetch, so that the first request need not wait; what goes wrong is logged. */
  warm(): void {
    void this.#fetch();
  }

  /** Undefined when there is no such key. Rejects with KeysUnavailable when there are no keys at all. */
  async find(header: KeyHeader): Promise<FoundKey | undefined> {
    await this.#ensureFresh();
    return this.#local(header);
  }

  /** As find(), after the keys have been fetched again, unless that was done within the cooldown. */
  async findAnew(header: KeyHeader): Promise<FoundKey | undefined> {
    if (this.#now() - this.#fetchedAt < this.#settings.cooldown) return undefined;
    await this.#fetch();
    return this.#local(header);
  }

  async #ensureFresh(): Promise<void> {
    const { cacheFor, staleIfError } = this.#settings;
    const age = this.#now() - this.#fetchedAt;
    if (this.#keys !== undefined && age < cacheFor * aheadOfTime) return;
    const fetched = this.#fetch();
    if (this.#keys !== undefined && age < cacheFor) return;
    await fetched;
    const ageNow = this.#now() - this.#fetchedAt;
    if (this.#keys !== undefined && ageNow < cacheFor + staleIfError) return;
    throw new KeysUnavailable(`the keys of ${this.#url} cannot be fetched`);
  }

  async #local(header: KeyHeader): Promise<FoundKey | undefined> {
    try {
      return await this.#keys?.(header);
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey) return undefined;
      throw error;
    }
  }

  /** Never rejects. Those that come meanwhile wait for the same fetch. */
  #fetch(): Promise<void> {
    if (this.#fetching !== undefined) return this.#fetching;
    if (this.#now() < this.#notBefore) return Promise.resolve();
    this.#fetching = this.#fetchOnce().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #fetchOnce(): Promise<void> {
    try {
      const set = await download(this.#url, this.#settings.timeout, this.#signal);
      this.#keys = createLocalJWKSet(set);
      this.#fetchedAt = this.#now();
      if (this.#failures > 0) this.#log.info('the keys can be fetched again', { url: this.#url });
      this.#failures = 0;
      this.#notBefore = 0;
    } catch (error) {
      if (this.#signal.aborted) return;
      const pause = Math.min(backOff.first * 2 ** this.#failures, backOff.most);
      this.#failures += 1;
      this.#notBefore = this.#now() + pause;
      this.#log.warn('the keys cannot be fetched', {
        url: this.#url,
        reason: reasonOf(error),
        nextTryIn: pause,
      });
    }
  }
}

async function download(
  url: string,
  timeout: number,
  unloaded: AbortSignal,
): Promise<JSONWebKeySet> {
  const response = await fetch(url, {
    headers: { accept: 'application/jwk-set+json, application/json' },
    redirect: 'error',
    signal: AbortSignal.any([AbortSignal.timeout(timeout), unloaded]),
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`it answers ${response.status}`);
  }
  const set: unknown = JSON.parse(await textOf(response));
  if (!isKeySet(set)) throw new Error('it is no key set: expected {"keys":[…]}');
  return set;
}

async function textOf({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body ?? []) {
    length += chunk.length;
    if (length > maxBytes) throw new Error(`it is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** Secrets are never published, and what is published is never a secret. */
function isKeySet(value: unknown): value is JSONWebKeySet {
  if (typeof value !== 'object' || value === null || !('keys' in value)) return false;
  const { keys } = value;
  return (
    Array.isArray(keys) &&
    keys.every((key: unknown) => typeof key === 'object' && key !== null && 'kty' in key)
  );
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error ? `${error.message}: ${cause.message}` : error.message;
}
