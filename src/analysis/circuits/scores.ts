import type { Codes } from './codes.ts';

/** One entry a prompt: 1 where it counts as positive, 0 where as negative. Permuting labels permutes these; the codes stay. */
export type Labels = Uint8Array;

/** The observed labels: positives first. */
export function observedLabels(positives: number, negatives: number): Labels {
  return new Uint8Array(positives + negatives).fill(1, 0, positives);
}

/**
 * The published node score of a head, or edge score of a pair: number of distinct symbols that occur in positives and never in
 * negatives (O'Neill & Bui 2024), as a function of the labels.
 * @param symbols [prompts] codes of a head, or one number for each pair of codes
 * @param share divide by the number of distinct symbols, the authors' `normalise`
 */
export function uniqueToPositives(symbols: Int32Array, share = false): (labels: Labels) => number {
  const numbers = new Map<number, number>();
  const dense = symbols.map((symbol) => {
    if (!numbers.has(symbol)) numbers.set(symbol, numbers.size);
    return numbers.get(symbol)!;
  });
  const ONLY_POSITIVE = 1;
  const NEGATIVE = 2;
  const seen = new Uint8Array(numbers.size);
  return (labels) => {
    seen.fill(0);
    for (let e = 0; e < dense.length; e++) seen[dense[e]] |= labels[e] ? ONLY_POSITIVE : NEGATIVE;
    let unique = 0;
    for (const where of seen) if (where === ONLY_POSITIVE) unique++;
    return share ? unique / seen.length : unique;
  };
}

/** Codes of one head on some prompts, in their order. */
export function headCodes(codes: Codes, head: number, prompts: ArrayLike<number>): Int32Array {
  return Int32Array.from(prompts, (e) => codes.code[e * codes.heads + head]);
}

/** One number for the pair of codes of two heads, per prompt. [prompts] */
export function pairCodes(first: Int32Array, second: Int32Array, latents: number): Int32Array {
  return first.map((code, e) => code * latents + second[e]);
}
