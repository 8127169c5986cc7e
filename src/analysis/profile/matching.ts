/**
 * How far a head's scores prefer keys of the query's own token: over the second copy of a repeated segment, the score of the same
 * token's first copy minus the mean over the other earlier keys, in units of those keys' standard deviation. 0 is no preference.
 *
 * The published QK score uses W_Q W_K between the embeddings; a graph need not hold those apart, so the scores on real positions
 * take their place. A head that matches through an earlier head (induction) shows in the induction score instead.
 * @param scores one head's scores before the softmax, [T, T]; only keys before the query are read
 * @param start where the first copy begins; keys before it (a special token) are left out
 */
export function matchingScore(
  scores: ArrayLike<number>,
  tokens: number,
  start: number,
  length: number,
): number {
  let sum = 0;
  for (let q = start + length; q < start + 2 * length; q++) {
    let total = 0;
    let squares = 0;
    let keys = 0;
    for (let k = start; k < q; k++) {
      if (k === q - length) continue;
      const score = scores[q * tokens + k];
      total += score;
      squares += score * score;
      keys++;
    }
    const centre = total / keys;
    const spread = Math.sqrt(Math.max(0, squares / keys - centre * centre));
    if (spread > 0) sum += (scores[q * tokens + q - length] - centre) / spread;
  }
  return sum / length;
}
