/**
 * Votes of the strongest pairs for their heads, the authors' way to score heads by edges: of all ordered pairs the first
 * heads²/2 by score, each voting for both its heads. Among equals the later pair in [first × heads + second] comes first, as in the
 * authors' reversed sort.
 * @param pairs [heads × heads], symmetric, diagonal 0
 * @param weighted a vote counts the pair's score instead of 1, which tells apart heads that win every vote
 * @returns [heads]
 */
export function pairVotes(pairs: Float64Array, heads: number, weighted: boolean): Float64Array {
  const order = Array.from(pairs, (_, i) => i).sort((a, b) => pairs[b] - pairs[a] || b - a);
  const votes = new Float64Array(heads);
  for (const index of order.slice(0, Math.floor(heads ** 2 / 2))) {
    const vote = weighted ? pairs[index] : 1;
    votes[Math.floor(index / heads)] += vote;
    votes[index % heads] += vote;
  }
  return votes;
}

/**
 * The strongest pairs that can be edges: from a head to one in a later layer.
 * @param pairs [heads × heads], symmetric
 * @param layers layer of each head
 * @returns indices [first, second], strongest first; pairs that score nothing are no edges
 */
export function causalEdges(
  pairs: Float64Array,
  layers: readonly number[],
  count: number,
): { readonly first: number; readonly second: number; readonly score: number }[] {
  const heads = layers.length;
  const found: { first: number; second: number; score: number }[] = [];
  for (let first = 0; first < heads; first++)
    for (let second = 0; second < heads; second++) {
      const score = pairs[first * heads + second];
      if (layers[first] < layers[second] && score > 0) found.push({ first, second, score });
    }
  return found.sort((a, b) => b.score - a.score || a.first - b.first || a.second - b.second).slice(0, count);
}
