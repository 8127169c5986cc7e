import type { Codes } from './codes.ts';

/**
 * How the labels of prompts enter a score: one weight a prompt, 1/positives for those that count as positive and −1/negatives for
 * the others. Permuting labels permutes weights; the codes stay.
 */
export type LabelWeights = Float64Array;

/** The observed labels: positives first. */
export function labelWeights(positives: number, negatives: number): LabelWeights {
  return Float64Array.from({ length: positives + negatives }, (_, i) =>
    i < positives ? 1 / positives : -1 / negatives,
  );
}

/**
 * The published node score of a head, or edge score of a pair: number of distinct symbols that occur in positives and never in
 * negatives (O'Neill & Bui 2024).
 * @param symbols [prompts] codes of a head, or one number for each pair of codes
 * @param share divide by the number of distinct symbols, the authors' `normalise`
 */
export function uniqueToPositives(symbols: Int32Array, labels: LabelWeights, share = false): number {
  const inNegatives = new Set<number>();
  const inPositives = new Set<number>();
  for (let e = 0; e < symbols.length; e++) (labels[e] > 0 ? inPositives : inNegatives).add(symbols[e]);
  let unique = 0;
  let common = 0;
  for (const symbol of inPositives) if (inNegatives.has(symbol)) common++;
  unique = inPositives.size - common;
  return share ? unique / (inNegatives.size + unique) : unique;
}

/** Codes of one head over the prompts. [prompts] */
export function headCodes(codes: Codes, head: number): Int32Array {
  return Int32Array.from({ length: codes.prompts }, (_, e) => codes.code[e * codes.heads + head]);
}

/** One number for the pair of codes of two heads, per prompt. [prompts] */
export function pairCodes(first: Int32Array, second: Int32Array, latents: number): Int32Array {
  return first.map((code, e) => code * latents + second[e]);
}
