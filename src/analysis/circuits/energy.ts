import { throwIfCancelled } from '../../errors.ts';
import type { Device } from '../../runtime/device.ts';
import { distanceGraph, PARAMETERS } from './sae-graph.ts';
import { parameterTensors, type SaeParameters } from './sae.ts';
import type { Labels } from './scores.ts';

/**
 * Squared distances between what an autoencoder writes for a head on two prompts: ‖f·D − f'·D‖², f the activations of all latents
 * and D the dictionary. Computed on the device, one head a run.
 *
 * All latents count, not the strongest alone: which of two nearly equal ones is the stronger hangs on the last bits of the model's
 * numbers, and so would the score.
 * @param x head outputs as the autoencoder sees them [prompts of the task, heads, width]
 * @param prompts which prompts to compare
 * @param unit what 1 in `x` is in the residual stream
 * @returns one matrix for each head [prompts × prompts], symmetric, diagonal 0
 * @throws HeadscopeError `cancelled`, `load-failed`, `run-failed`
 */
export async function squaredDistances(
  device: Device,
  parameters: SaeParameters,
  x: Float32Array,
  heads: number,
  prompts: readonly number[],
  unit: number,
  signal?: AbortSignal,
): Promise<Float32Array[]> {
  const { width } = parameters;
  const session = await device.createSession({ graph: distanceGraph(parameters), weights: [] });
  try {
    const weights = parameterTensors(parameters, PARAMETERS);
    const found: Float32Array[] = [];
    for (let head = 0; head < heads; head++) {
      throwIfCancelled(signal);
      const rows = new Float32Array(prompts.length * width);
      prompts.forEach((e, i) => {
        const at = (e * heads + head) * width;
        rows.set(x.subarray(at, at + width), i * width);
      });
      const dims = [prompts.length, width];
      const { squared } = await session.run({ x: { type: 'float32', dims, data: rows }, ...weights }, [
        'squared',
      ]);
      found.push(symmetric(squared.data as Float32Array, unit * unit));
    }
    return found;
  } finally {
    await session.release();
  }
}

/** A distance matrix in another unit, exactly symmetric and 0 on its diagonal. */
function symmetric(squared: Float32Array, scale: number): Float32Array {
  const n = Math.sqrt(squared.length);
  const out = new Float32Array(n * n);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < i; j++) out[i * n + j] = out[j * n + i] = squared[i * n + j] * scale;
  return out;
}

/** The rows and columns of some prompts. @param kept where they are in the matrix */
export function partOf(squared: Float32Array, kept: readonly number[]): Float32Array {
  const n = Math.sqrt(squared.length);
  const out = new Float32Array(kept.length ** 2);
  kept.forEach((a, i) => kept.forEach((b, j) => (out[i * kept.length + j] = squared[a * n + b])));
  return out;
}

/** Distances between prompts with the sums that make scoring under many labels cheap. */
export interface Distances {
  readonly n: number;
  /** [n × n], symmetric, diagonal 0 */
  readonly between: Float32Array;
  /** [n] sum of each row */
  readonly sums: Float64Array;
}

export function distances(between: Float32Array): Distances {
  const n = Math.sqrt(between.length);
  const sums = new Float64Array(n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) sums[i] += between[i * n + j];
  return { n, between, sums };
}

/**
 * Mean energy score (Gneiting & Raftery 2007) of the positives under the distribution of the negatives,
 * E‖Y⁺ − Y⁻‖ − ½·E‖Y⁻ − Y⁻'‖: how far off the negatives are as a forecast of a positive, in the unit of the distances. It grows with
 * outputs that occur in positives and not in negatives, is not moved by how many prompts there are, and is least where both have the
 * same distribution.
 * @param labels [n], at least one positive and one negative
 */
export function energyScore({ n, between, sums }: Distances, labels: Labels): number {
  const negatives: number[] = [];
  for (let i = 0; i < n; i++) if (!labels[i]) negatives.push(i);
  const count = negatives.length;
  let within = 0;
  let all = 0;
  for (let a = 0; a < count; a++) {
    const row = negatives[a] * n;
    all += sums[negatives[a]];
    for (let b = 0; b < a; b++) within += between[row + negatives[b]];
  }
  const cross = (all - 2 * within) / (count * (n - count));
  return count > 1 ? cross - within / (count * (count - 1)) : cross;
}
