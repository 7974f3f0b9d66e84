/** The value below which `share` of the values lie, by the nearest rank. @throws Error if there are none */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  if (value === undefined) throw new Error('Nothing was measured');
  return value;
}

/** The middle value; for an even number of values, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  return (
    (quantile(values, 0.5) +
      -quantile(
        values.map((value) => -value),
        0.5,
      )) /
    2
  );
}

/** The median with the smallest and the largest: `0.82 (0.79–0.90)`. */
export function spread(values: readonly number[], digits: number): string {
  const text = (value: number): string => value.toFixed(digits);
  return `${text(median(values))} (${text(Math.min(...values))}–${text(Math.max(...values))})`;
}

/** The largest number of times within any span of `ms` (half open), wherever it begins. */
export function busiest(times: readonly number[], ms: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  let most = 0;
  let from = 0;
  for (const [index, time] of sorted.entries()) {
    while (time - (sorted[from] ?? time) >= ms) from += 1;
    most = Math.max(most, index - from + 1);
  }
  return most;
}

/** `points` quantiles, evenly spaced from the smallest to the largest: the curve of a plot. */
export function distribution(values: readonly number[], points: number): number[] {
  const sorted = values.toSorted((a, b) => a - b);
  return Array.from(
    { length: points },
    (_, index) => sorted[Math.round((index * (sorted.length - 1)) / (points - 1))] ?? Number.NaN,
  );
}
