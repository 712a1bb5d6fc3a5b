// Policies: a route that has each of them, each once in a route, and threads to run them.
import { nativeNames } from '../../policies/builtin.js';
import { quote, valueAt } from '../value.js';
import type { MeaningContext } from './index.js';

export function checkPolicies(context: MeaningContext): void {
  checkUse(context);
  for (const [index, route] of context.draft.routes.entries()) {
    if (route?.policies !== undefined) checkRoute(index, route.policies, context);
  }
}

function checkUse({ draft, value, report }: MeaningContext): void {
  const routes = valueAt(value, ['routes']);
  const used = new Set(
    (Array.isArray(routes) ? routes : []).flatMap((route) => valueAt(route, ['policies']) ?? []),
  );
  for (const [index, policy] of draft.policies.entries()) {
    if (policy === undefined || used.has(policy.name)) continue;
    report({
      code: 'unused_policy',
      severity: 'warning',
      path: ['policies', index, 'name'],
      message: `no route has the policy ${quote(policy.name)}`,
    });
  }
}

function checkRoute(
  route: number,
  policies: readonly string[],
  { draft, names, report }: MeaningContext,
): void {
  for (const [index, name] of policies.entries()) {
    const path = ['routes', route, 'policies', index];
    names.refer('policies', name, path);
    if (policies.indexOf(name) !== index) {
      report({
        code: 'duplicate_value',
        path,
        message: `the policy ${quote(name)} is in the list already`,
      });
    }
  }
  const asked = policies.filter((name) => {
    const policy = draft.policies.find((each) => each?.name === name);
    return policy === undefined || !nativeNames.includes(policy.use);
  });
  if (asked.length > 0 && draft.process?.policyWorkers === 0) {
    report({
      code: 'no_policy_workers',
      path: ['routes', route, 'policies'],
      at: 'key',
      message: 'expected threads to run the policies but process.policyWorkers is 0',
      hint: 'leave it out, or write auto or a number',
    });
  }
}
