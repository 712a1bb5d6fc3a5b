// Policies that the core carries out by itself, as it reads them.
import type { PolicySettings } from '../config/index.js';
import type { AccessRules } from '../policies/ip-access/read.js';
import type { MetricSlots } from './metricSlots.js';
import type { SnapshotAccess } from './snapshot.js';

export type { AccessRules } from '../policies/ip-access/read.js';

export function compileAccess(
  { name, mode }: PolicySettings,
  rules: AccessRules,
  slots: MetricSlots,
): SnapshotAccess {
  return {
    name,
    metricSlot: slots.slotOf({ kind: 'access', policy: name, mode }),
    shadow: mode === 'shadow',
    ...rules,
  };
}

/** In the bytes that the core reads. */
export function countPrefixes(prefixes: Uint8Array): { allowed: number; denied: number } {
  const count = { allowed: 0, denied: 0 };
  for (let at = 0; at < prefixes.length; at += ((prefixes[at] ?? 0) & 2) === 0 ? 18 : 6) {
    count[((prefixes[at] ?? 0) & 1) === 0 ? 'denied' : 'allowed'] += 1;
  }
  return count;
}
