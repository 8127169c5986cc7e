import { HeadscopeError } from '../../errors.ts';

/**
 * Area under the ROC curve of `scores` against `truth`: the chance that a positive outranks a negative, ties counting half
 * (Mann–Whitney U, Hanley & McNeil 1982).
 * @param scores [n], greater means more likely positive
 * @param truth [n]
 * @throws HeadscopeError `bad-shape` when the lengths differ, `no-data` when all of `truth` is the same or a score is NaN
 */
export function rocAuc(scores: ArrayLike<number>, truth: ArrayLike<boolean | number>): number {
  if (scores.length !== truth.length)
    throw new HeadscopeError(
      'bad-shape',
      `An AUC needs one truth value a score, got ${truth.length} for ${scores.length}.`,
    );
  const order = Array.from({ length: scores.length }, (_, i) => i).sort((i, j) => scores[i] - scores[j]);
  let positives = 0;
  let rankSum = 0;
  for (let start = 0; start < order.length;) {
    let end = start;
    let inTie = 0;
    while (end < order.length && scores[order[end]] === scores[order[start]])
      if (truth[order[end++]]) inTie++;
    if (end === start)
      throw new HeadscopeError('no-data', 'An AUC needs scores that are numbers; one is NaN.');
    rankSum += (inTie * (start + 1 + end)) / 2;
    positives += inTie;
    start = end;
  }
  const negatives = order.length - positives;
  if (positives === 0 || negatives === 0)
    throw new HeadscopeError(
      'no-data',
      'An AUC needs heads inside and outside the true circuit; all are on one side.',
    );
  return (rankSum - (positives * (positives + 1)) / 2) / (positives * negatives);
}
