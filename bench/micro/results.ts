// The results as a table of equal columns.

export interface Measured {
  name: string;
  /** Operations a second. */
  perSecond: number;
  /** Half the width of the 95% confidence interval, in percent of the mean. */
  error: number;
}

/** A figure in several rounds, and what its median is to be at most. */
export interface Barred {
  name: string;
  unit: string;
  bar: number;
  rounds: readonly number[];
}

export function barLines(results: readonly Barred[]): string[] {
  return table([
    ['name', 'median', 'least', 'bar', 'unit'],
    ...results.map(({ name, unit, bar, rounds }) => [
      name,
      readable(median(rounds)),
      readable(Math.min(...rounds)),
      `≤ ${bar}`,
      unit,
    ]),
  ]);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

export function resultLines(results: readonly Measured[]): string[] {
  return table([
    ['name', 'ops/s', '±%', 'µs/op'],
    ...results.map(({ name, perSecond, error }) => [
      name,
      readable(perSecond),
      error.toFixed(1),
      readable(1e6 / perSecond),
    ]),
  ]);
}

/** Names stand on the left, figures on the right. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('   '),
  );
}

/** Three digits where there are no more: 1,234,567; 56.7; 0.123. */
function readable(value: number): string {
  const fractionDigits = value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3;
  return value.toLocaleString('en', {
    minimumFractionDigits: fractionDigits,
    maximumFractionDigits: fractionDigits,
  });
}
