// Which groups of consumers may pass.
import type { Consumer } from '../policy/consumer.js';

export interface GroupRules {
  readonly allowGroups?: readonly string[] | undefined;
  readonly denyGroups?: readonly string[] | undefined;
}

/** A group that is denied goes before one that is allowed. */
export function mayPass(
  { groups = [] }: Consumer,
  { allowGroups, denyGroups = [] }: GroupRules,
): boolean {
  if (groups.some((group) => denyGroups.includes(group))) return false;
  return allowGroups === undefined || groups.some((group) => allowGroups.includes(group));
}
