// Consumers: an id is one consumer, and so is a credential.
import type { ConfigPath } from '../problem.js';
import type { ConsumerSettings } from '../schema/consumers.js';
import type { Finding } from '../source.js';
import { quote } from '../value.js';

interface Owner {
  id: string;
  index: number;
}

/** An item that could not be read keeps its place in the list. */
export function checkConsumers(
  consumers: readonly (ConsumerSettings | undefined)[],
  report: (finding: Finding) => void,
): void {
  const ids = new Map<string, number>();
  const keys = new Map<string, Owner>();
  const issuers = new Map<string, Owner>();
  for (const [index, consumer] of consumers.entries()) {
    if (consumer === undefined) continue;
    const { id, credentials } = consumer;
    const place: ConfigPath = ['consumers', index];
    const first = ids.get(id);
    if (first === undefined) ids.set(id, index);
    else {
      report({
        code: 'duplicate_name',
        path: [...place, 'id'],
        message: `expected an id of its own but ${quote(id)} is the id of consumers[${first}]`,
      });
    }
    const own = (owners: Map<string, Owner>, key: string, path: ConfigPath, what: string) => {
      const owner = owners.get(key);
      if (owner === undefined) {
        owners.set(key, { id, index });
        return;
      }
      const whose = owner.index === index ? 'this consumer' : `the consumer ${quote(owner.id)}`;
      report({
        code: 'duplicate_value',
        path: [...place, 'credentials', ...path],
        message: `expected ${what} of its own but ${whose} has it already`,
      });
    };
    for (const [i, digest] of credentials.apiKeys.entries()) {
      own(keys, digest, ['apiKeys', i], 'a key');
    }
    for (const [i, { issuer, keyId }] of credentials.jwt.entries()) {
      own(issuers, JSON.stringify([issuer, keyId]), ['jwt', i], 'an issuer and key');
    }
  }
}
