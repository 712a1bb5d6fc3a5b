// Who decides about requests: the modules, their options, and what becomes of a request when one of them fails.
import { z } from 'zod';
import { refuse } from '../parsed.js';
import { choice, duration, expected, name, text, wholeNumber } from './scalars.js';

const useRule =
  'the name of a built-in policy, the path of a module such as "./policies/tenant.ts", or an npm package';

const module = text(useRule, (value) => {
  if (value.trim() === '' || /[\0-\x1f]/.test(value)) return refuse(useRule);
  return { ok: true as const, value };
});

const breaker = z
  .union(
    [
      z.literal(false),
      z.strictObject({
        failures: wholeNumber(1, 1_000_000)
          .default(10)
          .describe('Failures in a row, in one worker, that open it.'),
        openFor: duration().prefault('10s').describe('After this time the policy is tried again.'),
      }),
    ],
    expected('a map with "failures" and "openFor", or false'),
  )
  .prefault({})
  .describe(
    'A policy that keeps failing is not run for a while: `onFailure` holds at once. `false` always runs it.',
  );

export const policySchema = z.strictObject({
  name: name().describe('What routes, logs and metrics call it.'),
  use: module.describe(
    'The module: the name of a policy that is built in, a TypeScript or JavaScript file, from the folder of the configuration, or an npm package found from there.',
  ),
  with: z
    .record(z.string(), z.unknown(), expected("a map of the policy's options"))
    .optional()
    .describe("The policy's own options; its module says which."),
  timeout: duration(1, 60_000)
    .prefault('1s')
    .describe('How long one decision may take, 1ms to 1m. Over it the policy has failed.'),
  onFailure: choice(['deny', 'allow'])
    .default('deny')
    .describe(
      'What becomes of a request when the policy throws or takes too long: an error (`deny`), or it goes on as if the policy were not there (`allow`).',
    ),
  mode: choice(['enforce', 'shadow'])
    .default('enforce')
    .describe('`shadow`: it decides and what it decides is logged, but nothing comes of it.'),
  breaker,
});
