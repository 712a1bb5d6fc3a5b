// The consumers of a configuration as the policy workers get them.
import { createHash } from 'node:crypto';
import type { ConsumerSettings } from '../config/index.js';
import type { KnownConsumer } from '../policy/knownConsumer.js';

export interface ConsumerSet {
  readonly consumers: readonly KnownConsumer[];
  /** Equal for equal consumers. */
  readonly hash: string;
}

export function consumerSet(consumers: readonly ConsumerSettings[]): ConsumerSet {
  const hash = createHash('sha256').update(JSON.stringify(consumers)).digest('base64');
  return { consumers, hash };
}
