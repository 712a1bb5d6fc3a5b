// Options that several of the built-in policies have.
import { z } from 'zod';
import { accept, refuse } from '../config/parsed.js';
import { consumerId, groupName } from '../config/schema/consumers.js';
import { duration, expected, flag, headerName, text } from '../config/schema/scalars.js';

/** One, or a list of at least one; the output is always a list. */
export function severalOf<S extends z.ZodType>(item: S, what: string) {
  const error = expected(`${what}, or a list of at least one`);
  return z.union(
    [item.transform((one): z.output<S>[] => [one as z.output<S>]), z.array(item).min(1, error)],
    error,
  );
}

export const several = <S extends z.ZodType<string, string>>(item: S, what: string) =>
  severalOf(item, what);

export const header = () => headerName();

export const queryName = () =>
  z.string(expected('the name of a query parameter')).min(1, expected('a name that is not empty'));

export const fieldName = () =>
  z.string(expected('the name of a field')).min(1, expected('a name that is not empty'));

export const cookieName = () => {
  const error = expected('the name of a cookie');
  return z.string(error).regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, error);
};

/** Output: milliseconds. */
export const replayFor = (initial: string) =>
  z
    .union([z.literal(0), duration(0)], expected('a duration such as 30s, or 0'))
    .prefault(initial)
    .describe('How long equal requests get the same verdict without a new decision. `0`: never.');

const realmRule = 'a text of visible characters without quotes';

/** Stands in quotes in `WWW-Authenticate`. */
export const realm = () =>
  text(realmRule, (value) =>
    /^[ !#-[\]-~]{1,256}$/.test(value) ? accept(value) : refuse(realmRule),
  )
    .prefault('tidegate')
    .describe('The `realm` of `WWW-Authenticate`.');

export const identityHeaders = () =>
  flag()
    .default(true)
    .describe(
      'The upstream gets `x-consumer-id`, `-name`, `-groups`, `x-credential-id` and `x-anonymous-consumer`, and never those that a client sent.',
    );

export const anonymous = () =>
  consumerId()
    .optional()
    .describe(
      'The id of the consumer as whom requests without a credential go on; of `consumers`, or any other.',
    );

const groupList = () =>
  z.array(groupName(), expected('a list of groups')).min(1, expected('at least one group'));

export const groupOptions = {
  allowGroups: groupList()
    .optional()
    .describe('Only consumers in one of these groups pass; others get 403.'),
  denyGroups: groupList().optional().describe('Consumers in one of these groups get 403.'),
};

export const onPreflight = () =>
  flag()
    .default(false)
    .describe('`true` asks `OPTIONS` requests too: browsers send no credentials with a preflight.');

export const hide = () =>
  flag().default(true).describe('The credential is removed before the request goes upstream.');
