import { HeadscopeError } from '../../errors.ts';
import type { HeadRef, Row, Runner, RunOptions } from '../../instrument/runner.ts';
import { meanAblation, meanZ, sameLength, type MeanKind } from './ablation.ts';
import type { CausalPair } from './causal.ts';
import { capturableHeads } from './collect.ts';
import { score, type MetricName } from './metric.ts';

export interface CurveSettings {
  readonly metric: MetricName;
  /** Circuit sizes to measure, 0 and all heads included by default with at most 33 in between. */
  readonly sizes?: readonly number[];
  /** Per position when all prompts have equal length and the means of all heads fit into memory together, else over positions, unless said here. */
  readonly mean?: MeanKind;
}

/** One circuit size; metrics are means over pairs. */
export interface CurvePoint {
  readonly size: number;
  /** Metric with every head outside the circuit mean-ablated. */
  readonly kept: number;
  /** Metric with the circuit itself mean-ablated. */
  readonly removed: number;
  /** Where `kept` lies between all heads ablated (0) and the full model (1): near 1, the circuit is faithful. */
  readonly faithfulness: number | null;
  /** The same for `removed`: near 0, the circuit is complete. */
  readonly incompleteness: number | null;
}

export interface FaithfulnessCurve {
  readonly metric: MetricName;
  readonly mean: MeanKind;
  /** The metric of the full model, and with all heads mean-ablated. MLPs are never ablated. */
  readonly full: number;
  readonly none: number;
  readonly points: readonly CurvePoint[];
}

const MOST_SIZES = 35;

/** What the means of all heads may take: they are put in together. */
const MOST_MEAN_BYTES = 2 ** 29;

/** The mean that was asked for; else the one per position where it makes sense and fits. @throws HeadscopeError `too-large` */
function meanKind(
  { shape }: Runner,
  prompts: readonly (readonly number[])[],
  layers: readonly number[],
  asked: MeanKind | undefined,
): MeanKind {
  const longest = Math.max(...prompts.map((ids) => ids.length));
  const bytes = layers.reduce(
    (sum, layer) => sum + 4 * shape.heads[layer] * shape.headDim[layer] * longest,
    0,
  );
  const fits = bytes <= MOST_MEAN_BYTES;
  if (asked === 'per-position' && !fits)
    throw new HeadscopeError(
      'too-large',
      `The mean of every head at each of ${longest} positions takes ${(bytes / 2 ** 30).toFixed(1)} GiB. Use the mean over positions.`,
    );
  return asked ?? (fits && sameLength(prompts) ? 'per-position' : 'over-positions');
}

/** Circuit sizes from 0 to all, at most 35 of them, small ones densest. */
export function curveSizes(heads: number): number[] {
  if (heads < MOST_SIZES) return Array.from({ length: heads + 1 }, (_, i) => i);
  const steps = MOST_SIZES - 1;
  return [...new Set(Array.from({ length: MOST_SIZES }, (_, i) => Math.round(heads * (i / steps) ** 2)))];
}

/**
 * Faithfulness and completeness (Wang et al. 2023) over the size of the circuit, heads added in the order given.
 *
 * Faithfulness: everything outside the circuit mean-ablated; completeness: the circuit itself ablated. Means are over the corrupt
 * prompts. Both relative to the full model and to all heads ablated.
 * @param order every head of the model, most important first
 * @throws HeadscopeError `no-pairs`, `bad-order` when a head is missing, `too-large` for a mean per position of too many, `cancelled`, and what `Runner.run` throws
 */
export async function faithfulnessCurve(
  runner: Runner,
  pairs: readonly CausalPair[],
  order: readonly HeadRef[],
  settings: CurveSettings,
  options: RunOptions = {},
): Promise<FaithfulnessCurve> {
  if (pairs.length === 0)
    throw new HeadscopeError(
      'no-pairs',
      'A faithfulness curve needs prompts with a corrupted twin; there are none.',
    );
  if (order.length !== capturableHeads(runner).length)
    throw new HeadscopeError('bad-order', 'A faithfulness curve needs the order of all heads of the model.');
  const layers = [...new Set(order.map(({ layer }) => layer))];
  const prompts = pairs.flatMap(({ clean, corrupt }) => [clean, corrupt]);
  const kind = meanKind(runner, prompts, layers, settings.mean);
  const { signal } = options;
  const corrupted = pairs.map(({ corrupt }) => corrupt);
  const mean = await meanZ(runner, corrupted, layers, kind, { signal });
  const edits = order.map((ref) => meanAblation(runner, ref, mean));

  // Runs of `order` to knock out, each measured once: none is the full model, all the empty circuit.
  const sizes = settings.sizes ?? curveSizes(order.length);
  const all = order.length;
  const key = (from: number, to: number): string => (from === to ? 'none' : `${from}-${to}`);
  const sets = new Map<string, readonly [number, number]>();
  for (const [from, to] of [
    [0, 0],
    [0, all],
    ...sizes.flatMap((size) => [
      [size, all],
      [0, size],
    ]),
  ])
    sets.set(key(from, to), [from, to]);
  const keys = [...sets.keys()];
  const clean: Float32Array[] = [];
  await runner.run(
    { rows: pairs.map((pair) => ({ ids: pair.clean })) },
    (row) => void (clean[row.index] = row.logits),
    { signal },
  );
  const rows: Row[] = [];
  for (const [from, to] of sets.values()) {
    const knocked = edits.slice(from, to);
    for (const pair of pairs) rows.push({ ids: pair.clean, edits: knocked });
  }
  const sums = new Float64Array(keys.length);
  await runner.run(
    { rows, allowNoEffect: true },
    (row) => {
      const pair = row.index % pairs.length;
      const value = score(settings.metric, row.logits, pairs[pair].targets, clean[pair]);
      sums[Math.floor(row.index / pairs.length)] += value / pairs.length;
    },
    options,
  );
  const value = (from: number, to: number): number => sums[keys.indexOf(key(from, to))];
  const full = value(0, 0);
  const none = value(0, all);
  const share = (metric: number) => (Math.abs(full - none) > 1e-9 ? (metric - none) / (full - none) : null);
  return {
    metric: settings.metric,
    mean: kind,
    full,
    none,
    points: sizes.map((size) => {
      const kept = value(size, all);
      const removed = value(0, size);
      return { size, kept, removed, faithfulness: share(kept), incompleteness: share(removed) };
    }),
  };
}
