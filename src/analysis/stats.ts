import { HeadscopeError } from '../errors.ts';
import { seededRandom } from '../random.ts';

/** A mean with its confidence interval. */
export interface Interval {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

export interface BootstrapSettings {
  /** Number of resamples. Default 2000. */
  readonly samples?: number;
  /** Confidence level. Default 0.95. */
  readonly level?: number;
  /** Default 0. */
  readonly seed?: number;
}

type Numbers = ArrayLike<number>;

/** Arithmetic mean. @throws HeadscopeError `no-data` when there are no values */
export function mean(values: Numbers): number {
  needData(values);
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

/** Sample standard deviation (divisor n − 1); 0 for a single value. @throws HeadscopeError `no-data` */
export function standardDeviation(values: Numbers): number {
  const centre = mean(values);
  if (values.length === 1) return 0;
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i] - centre) ** 2;
  return Math.sqrt(sum / (values.length - 1));
}

/**
 * Quantile with linear interpolation between order statistics (type 7 of Hyndman and Fan, NumPy's default).
 * @param q between 0 and 1
 * @throws HeadscopeError `no-data`
 */
export function quantile(values: Numbers, q: number): number {
  needData(values);
  return quantileOfSorted(Float64Array.from(values).sort(), q);
}

/** Median; the mean of the two middle values when their number is even. @throws HeadscopeError `no-data` */
export const median = (values: Numbers): number => quantile(values, 0.5);

/**
 * How often each of `n` items occurs in each bootstrap resample, row-major [samples, n]; every row sums to n.
 * Made once and shared, so that many series measured on the same examples are resampled alike.
 */
export function resampleCounts(n: number, samples: number, seed: number): Uint16Array {
  const random = seededRandom(seed);
  const counts = new Uint16Array(samples * n);
  for (let s = 0; s < samples; s++) for (let i = 0; i < n; i++) counts[s * n + random.int(n)]++;
  return counts;
}

/**
 * Percentile bootstrap interval of a mean from ready-made resamples (Efron 1979).
 * @param counts from `resampleCounts(values.length, …)`
 */
export function intervalFromCounts(values: Numbers, counts: Uint16Array, level = 0.95): Interval {
  const n = values.length;
  const means = new Float64Array(counts.length / n);
  for (let s = 0; s < means.length; s++) {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += counts[s * n + i] * values[i];
    means[s] = sum / n;
  }
  means.sort();
  const tail = (1 - level) / 2;
  return { mean: mean(values), low: quantileOfSorted(means, tail), high: quantileOfSorted(means, 1 - tail) };
}

/** Percentile bootstrap interval of the mean of `values`. @throws HeadscopeError `no-data` */
export function bootstrapMean(values: Numbers, settings: BootstrapSettings = {}): Interval {
  needData(values);
  const counts = resampleCounts(values.length, settings.samples ?? 2000, settings.seed ?? 0);
  return intervalFromCounts(values, counts, settings.level);
}

/**
 * Bootstrap interval of the mean gain `after[i] − before[i]`, examples kept in their pairs.
 * @throws HeadscopeError `no-data`, `bad-shape` when the two differ in length
 */
export function pairedBootstrap(before: Numbers, after: Numbers, settings: BootstrapSettings = {}): Interval {
  return bootstrapMean(differences(before, after), settings);
}

/** after[i] − before[i]. @throws HeadscopeError `bad-shape` when the two differ in length */
export function differences(before: Numbers, after: Numbers): Float64Array {
  if (before.length !== after.length)
    throw new HeadscopeError(
      'bad-shape',
      `Paired scores need equal lengths, got ${before.length} and ${after.length}.`,
    );
  return Float64Array.from(before, (value, i) => after[i] - value);
}

function quantileOfSorted(sorted: Float64Array, q: number): number {
  const at = q * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

function needData(values: Numbers): void {
  if (values.length === 0) throw new HeadscopeError('no-data', 'A statistic was asked of no values at all.');
}
