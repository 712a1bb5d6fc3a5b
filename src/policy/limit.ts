// Limits that charges are held against, as data: the counters of the core implement them.
import { parseDuration } from '../config/units.js';
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
const largestCount = 2 ** 32 - 1;
const largestSpan = 366 * 24 * 3_600_000;
/** What the core's two counts of a sliding window hold. */
const largestSliding = 2 ** 23 - 1;

/** `at` names the place in messages. */
export function checkLimit(value: unknown, at: string): Checked<Limit> {
  if (typeof value !== 'object' || value === null) return fail(at, 'a limit', value);
  const draft = value as Readonly<Record<string, unknown>>;
  const count = draft['count'];
  const most = draft['kind'] === 'sliding-window' ? largestSliding : largestCount;
  if (!isCount(count, most)) return fail(`${at}.count`, `a whole number from 1 to ${most}`, count);
  switch (draft['kind']) {
    case 'gcra': {
      const burst = draft['burst'] ?? count;
      if (!isCount(burst, largestCount)) {
        return fail(`${at}.burst`, `a whole number from 1 to ${largestCount}`, burst);
      }
      const per = checkSpan(draft['per'], `${at}.per`);
      return per.ok ? found({ kind: 'gcra', count, per: per.value, burst }) : per;
    }
    case 'fixed-window':
    case 'sliding-window': {
      const window = checkSpan(draft['window'], `${at}.window`);
      return window.ok ? found({ kind: draft['kind'], count, window: window.value }) : window;
    }
    case 'concurrency':
      return found({ kind: 'concurrency', count });
    case 'quota': {
      const period = periods.find((each) => each === draft['period']);
      if (period === undefined) return fail(`${at}.period`, list(periods), draft['period']);
      return found({ kind: 'quota', count, period });
    }
    default:
      return fail(`${at}.kind`, list(kinds), draft['kind']);
  }
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

function checkSpan(value: unknown, at: string): Checked<number> {
  const span = checkDuration(value, at);
  if (!span.ok || (span.value >= 1 && span.value <= largestSpan)) return span;
  return fail(at, 'a duration from 1ms to 366 days', value);
}

function isCount(value: unknown, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= most;
}

function list(words: readonly string[]): string {
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}
