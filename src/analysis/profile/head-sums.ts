import { effectiveRank } from './effective-rank.ts';
import { matchingScore } from './matching.ts';
import {
  attentionDistance,
  duplicateTokenScore,
  inductionOffFirst,
  inductionScore,
  previousTokenScore,
  rowEntropy,
  shareOnFirst,
} from './pattern-scores.ts';

/** Effective rank costs T³ per head; longer prompts go without. */
export const RANK_TOKENS = 128;

/** Sums over prompts of one head's scores; null where the graph does not show what a score needs. */
export interface Sums {
  induction: number;
  inductionOffFirst: number;
  previousToken: number;
  duplicateToken: number;
  entropy: number;
  distance: number;
  first: number;
  effectiveRank: number | null;
  matching: number | null;
  writes: number | null;
}

export const newSums = (): Sums => ({
  induction: 0,
  inductionOffFirst: 0,
  previousToken: 0,
  duplicateToken: 0,
  entropy: 0,
  distance: 0,
  first: 0,
  effectiveRank: 0,
  matching: 0,
  writes: 0,
});

/**
 * Adds what one head's pattern on a prompt `[bos] s s` says.
 * @param pattern [T, T]
 * @param scores [T, T]; null where the graph does not show them
 * @param start where the first copy of s begins
 * @param length tokens of s
 */
export function addScores(
  sums: Sums,
  ids: readonly number[],
  pattern: Float32Array,
  scores: Float32Array | null,
  start: number,
  length: number,
): void {
  const tokens = ids.length;
  sums.induction += inductionScore(pattern, tokens, start, length);
  sums.inductionOffFirst += inductionOffFirst(pattern, tokens, start, length);
  sums.previousToken += previousTokenScore(pattern, tokens);
  sums.duplicateToken += duplicateTokenScore(pattern, ids) ?? 0;
  sums.entropy += rowEntropy(pattern, tokens);
  sums.distance += attentionDistance(pattern, tokens);
  sums.first += shareOnFirst(pattern, tokens);
  if (tokens > RANK_TOKENS) sums.effectiveRank = null;
  else if (sums.effectiveRank !== null) sums.effectiveRank += effectiveRank(pattern, tokens);
  if (scores === null) sums.matching = null;
  else if (sums.matching !== null) sums.matching += matchingScore(scores, tokens, start, length);
}
