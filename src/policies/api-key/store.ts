// API keys by their SHA-256, and who each belongs to.
import { timingSafeEqual } from 'node:crypto';
import type { Consumer } from '../../policy/consumer.js';
import type { KnownConsumer } from '../../policy/knownConsumer.js';
import { sha256Hex } from '../../policy/sha256.js';
import type { VerdictDraft } from '../../policy/verdict.js';
import { publicConsumer } from '../identity.js';

export interface KeyEntry {
  /** Its `credential` is a short name of the key: the beginning of its hash, which is no part of the key. */
  readonly consumer: Consumer;
  readonly digest: Buffer;
  /** What most requests with this key get; made when the first one comes. */
  verdict: VerdictDraft | undefined;
}

const digestBytes = 32;
const mostRecent = 1024;
/** V8 hashes numbers of fewer digits without its secret. */
const leastRecent = 16;

export class KeyStore {
  readonly #entries = new Map<string, KeyEntry>();
  /** Keys that requests came with lately and that were right: hashing one costs more than the rest of a request's way through it. */
  readonly #recent = new Map<string, KeyEntry>();
  /** Of the key that is looked for. */
  readonly #digest = Buffer.alloc(digestBytes);
  /** Compared with where there is no entry, so that a miss takes as long as a hit. */
  readonly #decoy = Buffer.alloc(digestBytes);

  /** `hex`: SHA-256 in 64 lower-case digits. False when another consumer has the key. */
  add(hex: string, consumer: Consumer): boolean {
    const known = this.#entries.get(hex);
    if (known !== undefined) return known.consumer.id === consumer.id;
    this.#entries.set(hex, {
      consumer: { ...publicConsumer(consumer), credential: hex.slice(0, 12) },
      digest: Buffer.from(hex, 'hex'),
      verdict: undefined,
    });
    return true;
  }

  addConsumers(consumers: readonly KnownConsumer[]): void {
    for (const consumer of consumers) {
      for (const hex of consumer.credentials.apiKeys) this.add(hex, consumer);
    }
  }

  /**
   * What a guess has in common with a key is lost in the hash, so that no step's time tells of it. A Map finds a key by a hash as
   * well, under a secret of the process, and compares the two texts only where all of the hash is equal.
   */
  find(key: string): KeyEntry | undefined {
    const recent = key.length >= leastRecent ? this.#recent.get(key) : undefined;
    if (recent !== undefined) return recent;
    const hex = sha256Hex(key);
    const entry = this.#entries.get(hex);
    this.#digest.write(hex, 'hex');
    const isEqual = timingSafeEqual(this.#digest, entry?.digest ?? this.#decoy);
    if (!isEqual || entry === undefined) return undefined;
    if (key.length >= leastRecent) {
      if (this.#recent.size >= mostRecent) this.#recent.clear();
      this.#recent.set(key, entry);
    }
    return entry;
  }
}
