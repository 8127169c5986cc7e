import type { Codes } from './codes.ts';
import type { LabelWeights } from './scores.ts';

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
 * @param scale what one unit of activation is worth in the residual stream
 * @returns [prompts × prompts], symmetric, diagonal 0
 */
export function squaredCodeDistances(
  codes: Codes,
  gram: Float32Array,
  head: number,
  prompts: ArrayLike<number>,
  scale: number,
): Float32Array {
  const n = prompts.length;
  const out = new Float32Array(n * n);
  const { latents, heads } = codes;
  const code = Int32Array.from(prompts, (e) => codes.code[e * heads + head]);
  const a = Float64Array.from(prompts, (e) => codes.activation[e * heads + head] * scale);
  const own = a.map((value, i) => value * value * gram[code[i] * latents + code[i]]);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < i; j++) {
      const squared = own[i] + own[j] - 2 * a[i] * a[j] * gram[code[i] * latents + code[j]];
      out[i * n + j] = out[j * n + i] = Math.max(0, squared);
    }
  return out;
}

/**
 * Energy distance (Székely & Rizzo 2013) between the positives and the negatives,
 * 2·E‖Y⁺ − Y⁻‖ − E‖Y⁺ − Y⁺'‖ − E‖Y⁻ − Y⁻'‖, from the distances between prompts.
 * 0 when both have the same distribution, greater the further apart; in the unit of the distances.
 * @param distances [n × n], symmetric
 * @param labels [n]
 */
export function energyDistance(distances: Float32Array, labels: LabelWeights): number {
  const n = labels.length;
  let sum = 0;
  for (let i = 1; i < n; i++) {
    let row = 0;
    const at = i * n;
    for (let j = 0; j < i; j++) row += labels[j] * distances[at + j];
    sum += labels[i] * row;
  }
  return -2 * sum;
}
