import { needSquare } from '../sinks/by-attention.ts';

/** Scores of one head's pattern [T, T] (rows are queries). Attention to position 0 counts like any other; rows are not renormalised. */

/**
 * Mean A[q, q − len + 1] over the second half of a segment of `length` tokens repeated twice, the first copy beginning at `start`
 * (Olsson et al. 2022): the attention to the token that followed the same token before.
 */
export function inductionScore(
  pattern: ArrayLike<number>,
  tokens: number,
  start: number,
  length: number,
): number {
  needSquare(pattern, tokens);
  let sum = 0;
  for (let q = start + length; q < start + 2 * length; q++) sum += pattern[q * tokens + q - length + 1];
  return sum / length;
}

/**
 * The induction score among the attention that is not on position 0: Σ A[q, q − len + 1] / Σ (1 − A[q, 0]) over the second half.
 * A head that rests on a sink most of the time still shows here what it looks at otherwise; 0 when it never looks elsewhere.
 */
export function inductionOffFirst(
  pattern: ArrayLike<number>,
  tokens: number,
  start: number,
  length: number,
): number {
  needSquare(pattern, tokens);
  let hit = 0;
  let elsewhere = 0;
  for (let q = start + length; q < start + 2 * length; q++) {
    hit += pattern[q * tokens + q - length + 1];
    elsewhere += 1 - pattern[q * tokens];
  }
  return elsewhere > 1e-6 ? hit / elsewhere : 0;
}

/** Mean A[q, q − 1] over q ≥ 1; 0 for a single token. */
export function previousTokenScore(pattern: ArrayLike<number>, tokens: number): number {
  needSquare(pattern, tokens);
  let sum = 0;
  for (let q = 1; q < tokens; q++) sum += pattern[q * tokens + q - 1];
  return tokens > 1 ? sum / (tokens - 1) : 0;
}

/** Mean attention to all earlier occurrences of the query's own token, over the queries that have one; null when none has. */
export function duplicateTokenScore(pattern: ArrayLike<number>, ids: readonly number[]): number | null {
  const tokens = ids.length;
  needSquare(pattern, tokens);
  let sum = 0;
  let queries = 0;
  for (let q = 1; q < tokens; q++) {
    if (ids.indexOf(ids[q]) === q) continue;
    queries++;
    for (let k = 0; k < q; k++) if (ids[k] === ids[q]) sum += pattern[q * tokens + k];
  }
  return queries === 0 ? null : sum / queries;
}

/** Mean entropy of the rows, in bits. */
export function rowEntropy(pattern: ArrayLike<number>, tokens: number): number {
  needSquare(pattern, tokens);
  let sum = 0;
  for (let i = 0; i < pattern.length; i++) if (pattern[i] > 0) sum -= pattern[i] * Math.log2(pattern[i]);
  return sum / tokens;
}

/** Mean over queries of Σ_k A[q,k]·|q − k|, in tokens. */
export function attentionDistance(pattern: ArrayLike<number>, tokens: number): number {
  needSquare(pattern, tokens);
  let sum = 0;
  for (let q = 0; q < tokens; q++)
    for (let k = 0; k < tokens; k++) sum += pattern[q * tokens + k] * Math.abs(q - k);
  return sum / tokens;
}

/** Mean A[q, 0] over q ≥ 1; 0 for a single token. */
export function shareOnFirst(pattern: ArrayLike<number>, tokens: number): number {
  needSquare(pattern, tokens);
  let sum = 0;
  for (let q = 1; q < tokens; q++) sum += pattern[q * tokens];
  return tokens > 1 ? sum / (tokens - 1) : 0;
}
