// What tests of built-in policies share: consumers as a configuration would give them, and policies that get them.
import { createHash } from 'node:crypto';
import type { OptionsSchema, Policy } from '../../src/policy/define.js';
import type { Credentials, KnownConsumer } from '../../src/policy/knownConsumer.js';

export function sha256(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}

export function known(
  consumer: Omit<KnownConsumer, 'credentials'> & { credentials?: Partial<Credentials> },
): KnownConsumer {
  return { ...consumer, credentials: { apiKeys: [], jwt: [], ...consumer.credentials } };
}

/** The same policy, set up with these consumers. */
export function withConsumers<Schema extends OptionsSchema>(
  policy: Policy<Schema>,
  consumers: readonly KnownConsumer[],
): Policy<Schema> {
  return { ...policy, setup: (context) => policy.setup({ ...context, consumers }) };
}
