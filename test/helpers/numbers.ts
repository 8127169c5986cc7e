/** Largest absolute difference; Infinity when the lengths differ or a number is NaN. */
export function maxAbs(left: ArrayLike<number>, right: ArrayLike<number>): number {
  if (left.length !== right.length) return Infinity;
  let largest = 0;
  for (let i = 0; i < left.length; i++) {
    const difference = Math.abs(left[i] - right[i]);
    if (!(difference <= largest)) largest = Number.isNaN(difference) ? Infinity : difference;
  }
  return largest;
}

/** softmax of one row in float64. */
export function softmax(row: readonly number[]): number[] {
  const top = Math.max(...row);
  const powers = row.map((value) => Math.exp(value - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** Keeps the largest error seen under each name, for a test to state what it measured. */
export class Errors {
  private readonly largest = new Map<string, number>();

  add(what: string, error: number): number {
    this.largest.set(what, Math.max(error, this.largest.get(what) ?? 0));
    return error;
  }

  get worst(): number {
    return Math.max(...this.largest.values());
  }

  /** What was measured, for a log line. */
  get text(): string {
    return [...this.largest].map(([what, error]) => `${what} ${error.toExponential(1)}`).join(', ');
  }
}
