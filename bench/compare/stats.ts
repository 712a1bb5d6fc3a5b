// Medians over rounds, and what is said of them.

/** The middle value; the mean of the two middle ones for an even count. NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  if (sorted.length % 2 === 1) return upper;
  return ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** How far the rounds lie apart: (largest - smallest) / median. 0 for a single round. */
export function spread(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const middle = median(values);
  return middle === 0 ? 0 : (Math.max(...values) - Math.min(...values)) / middle;
}

/** median(over) / median(under); NaN when there is nothing to divide by. */
export function ratioOfMedians(over: readonly number[], under: readonly number[]): number {
  const divisor = median(under);
  return divisor === 0 ? Number.NaN : median(over) / divisor;
}

/** A histogram as [value, count] pairs, in any order. */
export type Buckets = readonly (readonly [value: number, count: number])[];

/** Adds up the histograms of several load processes. */
export function mergeBuckets(parts: readonly Buckets[]): Buckets {
  const counts = new Map<number, number>();
  for (const [value, count] of parts.flat()) counts.set(value, (counts.get(value) ?? 0) + count);
  return [...counts].sort(([a], [b]) => a - b);
}

/** The value that `fraction` (0..1) of the counts do not exceed; 0 for an empty histogram. */
export function percentile(sorted: Buckets, fraction: number): number {
  const total = sorted.reduce((sum, [, count]) => sum + count, 0);
  let seen = 0;
  for (const [value, count] of sorted) {
    seen += count;
    if (seen >= total * fraction) return value;
  }
  return 0;
}
