import type { Codes } from './codes.ts';
import type { Labels } from './scores.ts';

/** Dot products of the dictionary vectors. [latents × latents] */
export function dictionaryGram(decoder: Float32Array, latents: number, width: number): Float32Array {
  const gram = new Float32Array(latents * latents);
  for (let i = 0; i < latents; i++)
    for (let j = 0; j <= i; j++) {
      let dot = 0;
      for (let k = 0; k < width; k++) dot += decoder[i * width + k] * decoder[j * width + k];
      gram[i * latents + j] = gram[j * latents + i] = dot;
    }
  return gram;
}

/**
 * Squared distances between what a head's codes write on two prompts: ‖a·D[c] − a'·D[c']‖², a the activation and D[c] the dictionary
 * vector of the prompt's code. A head that is silent (no active latent) writes 0.
 * @param gram from `dictionaryGram`
 * @param prompts which prompts to compare
 * @param unit what 1 of activation is in the residual stream
 * @returns [prompts × prompts], symmetric, diagonal 0
 */
export function squaredCodeDistances(
  codes: Codes,
  gram: Float32Array,
  head: number,
  prompts: ArrayLike<number>,
  unit: number,
): Float32Array {
  const n = prompts.length;
  const out = new Float32Array(n * n);
  const { latents, heads } = codes;
  const code = Int32Array.from(prompts, (e) => codes.code[e * heads + head]);
  const a = Float64Array.from(prompts, (e) => codes.activation[e * heads + head] * unit);
  const own = a.map((value, i) => value * value * gram[code[i] * latents + code[i]]);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < i; j++) {
      const squared = own[i] + own[j] - 2 * a[i] * a[j] * gram[code[i] * latents + code[j]];
      out[i * n + j] = out[j * n + i] = Math.max(0, squared);
    }
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
