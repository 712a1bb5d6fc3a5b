// Limits that charges are held against, as data: the counters of the core implement them.
import { formatDuration, parseDuration } from '../config/units.js';
import { type Checked, fail, found } from './checked.js';

/** A duration such as `2s`, or milliseconds. */
export type Duration = string | number;

export type Period = 'hour' | 'day' | 'week' | 'month' | 'year';

/** As an author writes it. `count` is how much cost the limit admits; for `gcra` in each `per`, evenly spread. */
export type LimitDraft =
  /** `burst`: how much may come at once; by default `count`. */
  | {
      readonly kind: 'gcra';
      readonly count: number;
      readonly per: Duration;
      readonly burst?: number | undefined;
    }
  | {
      readonly kind: 'fixed-window' | 'sliding-window';
      readonly count: number;
      readonly window: Duration;
    }
  /** Given back when the exchange ends. */
  | { readonly kind: 'concurrency'; readonly count: number }
  /** Calendar periods in UTC; weeks begin on Monday. */
  | { readonly kind: 'quota'; readonly count: number; readonly period: Period };

/** Checked; durations in milliseconds. */
export type Limit =
  | {
      readonly kind: 'gcra';
      readonly count: number;
      readonly per: number;
      readonly burst: number;
    }
  | {
      readonly kind: 'fixed-window' | 'sliding-window';
      readonly count: number;
      readonly window: number;
    }
  | { readonly kind: 'concurrency'; readonly count: number }
  | { readonly kind: 'quota'; readonly count: number; readonly period: Period };

const kinds = ['gcra', 'fixed-window', 'sliding-window', 'concurrency', 'quota'];
const periods: readonly Period[] = ['hour', 'day', 'week', 'month', 'year'];
// The bounds are the core's: what its counters hold in one word.
const largestSpan = 366 * 24 * 3_600_000;
const largestCounts: ReadonlyMap<unknown, number> = new Map([
  ['fixed-window', 2 ** 40 - 1],
  ['sliding-window', 2 ** 23 - 1],
  ['concurrency', 2 ** 20],
  ['quota', 2 ** 40 - 1],
]);
/** 10 million a second. */
const fastestPerMilli = 10_000;
const shortestWindow = 1000;

const algorithms = { gcra: 0, 'fixed-window': 1, 'sliding-window': 2, concurrency: 3, quota: 4 };
const periodNumbers = { hour: 0, day: 1, week: 2, month: 3, year: 4 } as const;

/** The kind as the core numbers it (native/shared/limits.h). */
export function algorithmOf({ kind }: Limit): number {
  return algorithms[kind];
}

/** Milliseconds; the core's number of a calendar period. */
export function spanOf(limit: Limit): number {
  switch (limit.kind) {
    case 'gcra':
      return limit.per;
    case 'fixed-window':
    case 'sliding-window':
      return limit.window;
    case 'concurrency':
      return 0;
    case 'quota':
      return periodNumbers[limit.period];
  }
}

/** `at` names the place in messages. */
export function checkLimit(value: unknown, at: string): Checked<Limit> {
  if (typeof value !== 'object' || value === null) return fail(at, 'a limit', value);
  const draft = value as Readonly<Record<string, unknown>>;
  const { kind, count } = draft;
  if (kind === 'gcra') return checkGcra(draft, at);
  const most = largestCounts.get(kind);
  if (most === undefined) return fail(`${at}.kind`, list(kinds), kind);
  if (!isCount(count, most)) {
    const others = kind === 'sliding-window' ? ' (fixed windows and quotas take more)' : '';
    return fail(`${at}.count`, countText(most) + others, count);
  }
  switch (kind) {
    case 'fixed-window':
    case 'sliding-window': {
      const window = checkSpan(draft['window'], `${at}.window`, shortestWindow);
      return window.ok ? found({ kind, count, window: window.value }) : window;
    }
    case 'concurrency':
      return found({ kind: 'concurrency', count });
    default: {
      const period = periods.find((each) => each === draft['period']);
      if (period === undefined) return fail(`${at}.period`, list(periods), draft['period']);
      return found({ kind: 'quota', count, period });
    }
  }
}

function checkGcra(draft: Readonly<Record<string, unknown>>, at: string): Checked<Limit> {
  const per = checkSpan(draft['per'], `${at}.per`, 1);
  if (!per.ok) return per;
  const { count, burst = count } = draft;
  const most = per.value * fastestPerMilli;
  if (!isCount(count, most)) return fail(`${at}.count`, countText(most), count);
  // A burst takes at most the longest span to come back.
  const mostBurst = Math.floor((largestSpan * count) / per.value);
  if (!isCount(burst, mostBurst)) return fail(`${at}.burst`, countText(mostBurst), burst);
  return found({ kind: 'gcra', count, per: per.value, burst });
}

function countText(most: number): string {
  return `a whole number from 1 to ${most}`;
}

/** Whole milliseconds, zero included. */
export function checkDuration(value: unknown, at: string): Checked<number> {
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value) && value >= 0) return found(value);
  } else if (typeof value === 'string') {
    const parsed = parseDuration(value);
    if (parsed.ok) return found(parsed.value);
  }
  return fail(at, 'a duration such as 500ms, 2s, 1m or 1h, or whole milliseconds', value);
}

function checkSpan(value: unknown, at: string, least: number): Checked<number> {
  const span = checkDuration(value, at);
  if (!span.ok || (span.value >= least && span.value <= largestSpan)) return span;
  return fail(at, `a duration from ${formatDuration(least)} to 366 days`, value);
}

function isCount(value: unknown, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= most;
}

function list(words: readonly string[]): string {
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}
