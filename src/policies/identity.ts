// Who a request is from, told to the upstream: fields that only the gateway may set.
import type { Consumer } from '../policy/consumer.js';
import type { KnownConsumer } from '../policy/knownConsumer.js';

const fields = {
  id: 'x-consumer-id',
  name: 'x-consumer-name',
  groups: 'x-consumer-groups',
  credential: 'x-credential-id',
  anonymous: 'x-anonymous-consumer',
} as const;

export const identityFields: readonly string[] = Object.values(fields);

export interface Identity {
  readonly consumer: Consumer;
  /** Names the credential to people and never is a part of it. */
  readonly credentialId?: string | undefined;
  /** Nobody has proved to be this consumer. */
  readonly anonymous?: boolean | undefined;
}

export interface IdentityEdits {
  readonly set: Readonly<Record<string, string>>;
  /** What the client may have sent in their place. */
  readonly remove: readonly string[];
}

/** `who`: undefined where nobody is known. Every one of the fields is either set or removed. */
export function identityEdits(who: Identity | undefined): IdentityEdits {
  const set: Record<string, string> = {};
  if (who !== undefined) {
    const { consumer, credentialId, anonymous } = who;
    set[fields.id] = consumer.id;
    if (consumer.name !== undefined) set[fields.name] = consumer.name;
    if (consumer.groups !== undefined && consumer.groups.length > 0) {
      set[fields.groups] = consumer.groups.join(', ');
    }
    if (credentialId !== undefined) set[fields.credential] = credentialId;
    if (anonymous === true) set[fields.anonymous] = 'true';
  }
  return { set, remove: identityFields.filter((name) => !Object.hasOwn(set, name)) };
}

/** Without the credentials: what a verdict says of a consumer. */
export function publicConsumer({ id, name, groups, tags }: Consumer): Consumer {
  return { id, name, groups, tags };
}

/** As whom requests without a credential go on: one of the configuration's consumers, or one that has only this id. */
export function anonymousIdentity(
  id: string | undefined,
  consumers: readonly KnownConsumer[],
): Identity | undefined {
  if (id === undefined) return undefined;
  const consumer: Consumer = consumers.find((each) => each.id === id) ?? { id };
  return { consumer: publicConsumer(consumer), anonymous: true };
}
