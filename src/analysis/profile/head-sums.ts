import type { HeadRef, ModelShape, RowResult, Site } from '../../instrument/runner.ts';
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
import { writeShare } from './writes.ts';

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
 * Adds one prompt `[bos] s s`, captured with the sites of `profile.ts`.
 * @param start where the first copy of s begins
 * @param length tokens of s
 */
export function addScores(
  sums: Sums,
  shape: ModelShape,
  row: RowResult,
  { layer, head }: HeadRef,
  start: number,
  length: number,
): void {
  const tokens = row.ids.length;
  const matrix = (site: Site): Float32Array =>
    row.tap(site, layer).data.subarray(head * tokens * tokens, (head + 1) * tokens * tokens);
  const pattern = matrix('pattern');
  sums.induction += inductionScore(pattern, tokens, start, length);
  sums.inductionOffFirst += inductionOffFirst(pattern, tokens, start, length);
  sums.previousToken += previousTokenScore(pattern, tokens);
  sums.duplicateToken += duplicateTokenScore(pattern, row.ids) ?? 0;
  sums.entropy += rowEntropy(pattern, tokens);
  sums.distance += attentionDistance(pattern, tokens);
  sums.first += shareOnFirst(pattern, tokens);
  if (tokens > RANK_TOKENS) sums.effectiveRank = null;
  else if (sums.effectiveRank !== null) sums.effectiveRank += effectiveRank(pattern, tokens);
  const { sites } = shape;
  if (!sites[layer].includes('scores')) sums.matching = null;
  else if (sums.matching !== null) sums.matching += matchingScore(matrix('scores'), tokens, start, length);
  if (!sites[layer].includes('result') || !sites[layer].includes('resid_pre')) sums.writes = null;
  else if (sums.writes !== null) {
    const size = tokens * shape.dModel;
    const result = row.tap('result', layer).data.subarray(head * size, (head + 1) * size);
    sums.writes += writeShare(result, row.tap('resid_pre', layer).data, tokens);
  }
}
