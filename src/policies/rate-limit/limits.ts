// The option `limits`: from what an author writes to the limits of the core's counters.
import { z } from 'zod';
import { choice, expected } from '../../config/schema/scalars.js';
import { formatDuration } from '../../config/units.js';
import { checkLimit, type Limit } from '../../policy/limit.js';

const algorithms = ['sliding-window', 'fixed-window', 'gcra', 'concurrency', 'quota'] as const;
type Algorithm = (typeof algorithms)[number];

const span = z.union([z.string(), z.int()], expected('a duration such as 1s, 1m or 1h')).optional();

const written = z.strictObject({
  count: z
    .int(expected('a whole number of at least 1'))
    .min(1, expected('a whole number of at least 1'))
    .describe('How much is let through: requests, or what `cost` makes of them.'),
  per: span.describe(
    'The time in which that may come, such as `1s` or `1h`: 1s to 366 days; for `gcra` from 1ms on.',
  ),
  window: span.describe('The same as `per`.'),
  period: choice(['hour', 'day', 'week', 'month', 'year'])
    .optional()
    .describe('For `quota`: the period of the calendar, in UTC; weeks begin on Monday.'),
  algorithm: choice(algorithms)
    .optional()
    .describe('How it is counted. Default: `quota` with `period`, otherwise `sliding-window`.'),
  burst: z
    .int(expected('a whole number of at least 1'))
    .min(1, expected('a whole number of at least 1'))
    .optional()
    .describe('For `gcra`: how much may come at once. Default: `count`.'),
  name: z
    .string(expected('a text'))
    .regex(/^[!#-[\]-~]{1,64}$/, expected('1 to 64 visible ASCII characters without quotes'))
    .optional()
    .describe('What `RateLimit` and `RateLimit-Policy` call it. Default: its time.'),
});

type Written = z.output<typeof written>;

export interface NamedLimit {
  readonly limit: Limit;
  readonly name: string;
}

/** Which of the keys about time and size belong to an algorithm. */
const keysOf: Readonly<Record<Algorithm, readonly (keyof Written)[]>> = {
  'sliding-window': ['per', 'window'],
  'fixed-window': ['per', 'window'],
  gcra: ['per', 'window', 'burst'],
  concurrency: [],
  quota: ['period'],
};

const someLimit = written.transform((given, context): NamedLimit => {
  const refuse = (message: string, ...path: string[]) => {
    context.issues.push({ code: 'custom', message: `expected ${message}`, input: given, path });
    return z.NEVER;
  };
  const { count, per, window, period, burst } = given;
  const kind = given.algorithm ?? (period === undefined ? 'sliding-window' : 'quota');
  for (const key of ['per', 'window', 'period', 'burst'] as const) {
    if (given[key] === undefined || keysOf[kind].includes(key)) continue;
    return refuse(`no ${key} for ${kind}`, key);
  }
  if (per !== undefined && window !== undefined) return refuse('per or window, not both', 'window');
  const time = per ?? window;
  if (time === undefined && keysOf[kind].includes('per')) return refuse(`per for ${kind}`);
  if (period === undefined && kind === 'quota') return refuse('period for quota');
  const checked = checkLimit({ kind, count, per: time, window: time, period, burst }, '');
  if (!checked.ok) {
    const { at, message } = checked.problem;
    const key = at.replace('.', '');
    const place = key === 'per' || key === 'window' ? (per === undefined ? 'window' : 'per') : key;
    return refuse(message.replace(/^expected /, '').replace(/ but received .*$/s, ''), place);
  }
  const limit = checked.value;
  return { limit, name: given.name ?? nameOf(limit) };
});

export const limitList = z
  .array(someLimit, expected('a list of limits'))
  .min(1, expected('at least one limit'))
  .max(8, expected('at most 8 limits'))
  .superRefine((limits, context) => {
    const counters = limits.map(({ limit }) => counterOf(limit));
    const again = counters.findIndex((counter, index) => counters.indexOf(counter) !== index);
    if (again < 0) return;
    const message =
      'expected another time or algorithm: two limits with the same ones would share a counter';
    context.addIssue({ code: 'custom', message, path: [again] });
  });

/** Equal for limits that the core counts in one place. */
function counterOf(limit: Limit): string {
  switch (limit.kind) {
    case 'gcra':
      return `gcra ${limit.count} ${limit.per}`;
    case 'fixed-window':
    case 'sliding-window':
      return `${limit.kind} ${limit.window}`;
    case 'quota':
      return `quota ${limit.period}`;
    case 'concurrency':
      return 'concurrency';
  }
}

function nameOf(limit: Limit): string {
  switch (limit.kind) {
    case 'gcra':
      return formatDuration(limit.per);
    case 'fixed-window':
    case 'sliding-window':
      return formatDuration(limit.window);
    case 'quota':
      return limit.period;
    case 'concurrency':
      return 'concurrency';
  }
}
