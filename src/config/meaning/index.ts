// What the parts of a configuration must be to each other, beyond the form of each.
import type { Shape } from '../shape.js';
import { type Finding, type Source, writtenPath } from '../source.js';
import { describeValue, quote, valueAt } from '../value.js';
import { checkConsumers } from './consumers.js';
import { checkBinds, checkListeners } from './listeners.js';
import { Names } from './names.js';
import { checkOverlaps } from './overlaps.js';
import { checkPolicies } from './policies.js';
import { checkRoutes } from './routes.js';
import { checkUpstreams } from './upstreams.js';

/** Checks as much as could be read, so that errors of form do not hide these. */
export function checkMeaning({ draft, isBroken, written }: Shape, source: Source): Finding[] {
  const findings: Finding[] = [];
  const report = (finding: Finding) => {
    const path = writtenPath(source.value, written(finding.path));
    findings.push(discreet({ ...finding, path }, source));
  };
  const names = new Names(source.value, report);
  const context: MeaningContext = { draft, names, value: source.value, isBroken, report };
  checkListeners(context);
  checkBinds(context);
  checkUpstreams(context);
  checkPolicies(context);
  checkConsumers(draft.consumers, report);
  checkRoutes(context);
  // Routes that lost a part look like others that they are not.
  if (!isBroken(['routes']) && !isBroken(['listeners'])) checkOverlaps(context);
  return findings;
}

/** Text of the environment and of files is not shown: it may be a secret. */
function discreet(finding: Finding, source: Source): Finding {
  const origin = source.origin(finding.path);
  const value = valueAt(source.value, finding.path);
  if (origin === undefined || typeof value !== 'string' || value === '') return finding;
  const shown = describeValue(value, origin);
  return {
    ...finding,
    message: finding.message.replaceAll(quote(value), shown).replaceAll(value, shown),
  };
}

export interface MeaningContext {
  draft: Shape['draft'];
  names: Names;
  /** The configuration as it was written. */
  value: unknown;
  isBroken: Shape['isBroken'];
  report(finding: Finding): void;
}
