import type { Random } from '../../random.ts';
import { observedLabels, type Labels } from './scores.ts';

/** Random relabellings of the prompts, row-major [count, prompts]; 1 counts as positive. */
export interface LabelPermutations {
  readonly count: number;
  readonly prompts: number;
  readonly labels: Uint8Array;
  /** How the labels were permuted: swapped within pairs, or shuffled over all prompts. */
  readonly kind: 'paired' | 'unpaired';
}

/** Pairs from which on swapping within pairs has enough arrangements (2^11) for a useful p-value. */
const ENOUGH_PAIRS = 11;

/**
 * Random label permutations of positives followed by negatives.
 *
 * Paired sets (equal numbers, the i-th negative belonging to the i-th positive) swap labels within pairs, which keeps what the two
 * prompts of a pair share; with fewer than 11 pairs that gives too few arrangements, and labels are shuffled over all prompts.
 * @param count how many permutations
 */
export function labelPermutations(
  positives: number,
  negatives: number,
  paired: boolean,
  count: number,
  random: Random,
): LabelPermutations {
  const prompts = positives + negatives;
  const labels = new Uint8Array(count * prompts);
  const swap = paired && positives === negatives && positives >= ENOUGH_PAIRS;
  const observed = Array.from(observedLabels(positives, negatives));
  for (let p = 0; p < count; p++) {
    const row = labels.subarray(p * prompts, (p + 1) * prompts);
    if (!swap) row.set(random.shuffle(observed));
    else for (let i = 0; i < positives; i++) row[random.int(2) ? i : positives + i] = 1;
  }
  return { count, prompts, labels, kind: swap ? 'paired' : 'unpaired' };
}

/** What a permutation null says about one observed value. */
export interface NullTest {
  /** (observed − mean of the null) / its standard deviation; 0 when the null does not vary. */
  readonly z: number;
  /** (1 + permutations at least as great) / (1 + permutations), Phipson & Smyth 2010: never 0. */
  readonly p: number;
}

/** One-sided test of `observed` against its permuted values. Rounding noise below 1e-12 relative counts as equal. */
export function testAgainstNull(observed: number, permuted: Float64Array): NullTest {
  let sum = 0;
  let squares = 0;
  let asGreat = 0;
  const bar = observed - 1e-12 * Math.abs(observed);
  for (const value of permuted) {
    sum += value;
    if (value >= bar) asGreat++;
  }
  const mean = sum / permuted.length;
  for (const value of permuted) squares += (value - mean) ** 2;
  const sd = Math.sqrt(squares / Math.max(1, permuted.length - 1));
  return {
    z: sd > 1e-12 * Math.abs(mean) ? (observed - mean) / sd : 0,
    p: (1 + asGreat) / (1 + permuted.length),
  };
}

/** Tests a statistic of the labels against its values under permuted labels. */
export function permutationTest(
  statistic: (labels: Labels) => number,
  observed: number,
  permutations: LabelPermutations,
): NullTest {
  const { count, prompts, labels } = permutations;
  const permuted = Float64Array.from({ length: count }, (_, p) =>
    statistic(labels.subarray(p * prompts, (p + 1) * prompts)),
  );
  return testAgainstNull(observed, permuted);
}

/**
 * Benjamini–Hochberg q-values (1995): the smallest false-discovery rate at which each hypothesis would be rejected.
 * @param p [n] p-values
 * @returns [n], in the same order
 */
export function falseDiscoveryRates(p: ArrayLike<number>): Float64Array {
  const n = p.length;
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => p[j] - p[i]);
  const q = new Float64Array(n);
  let least = 1;
  order.forEach((index, i) => {
    least = Math.min(least, (p[index] * n) / (n - i));
    q[index] = least;
  });
  return q;
}
