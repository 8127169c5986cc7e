import type { HeadRef, RowResult, Runner, TokenPos } from '../../instrument/runner.ts';
import { unembedFrozenEach } from '../lens/unembedding.ts';

/**
 * How far a head writes what it looks at, from the model's own activations: the percentile, among the whole vocabulary, that the
 * most attended token's logit has in what the head adds to the residual stream, averaged over queries with that attention as
 * weight. 1 is a perfect copier, 0.5 chance, below it the head suppresses what it sees.
 *
 * The published OV score uses W_V W_O between the embeddings; a graph need not hold those apart, so the head's result on real
 * positions takes their place, unembedded without the biases of norm and unembedding.
 */
export class CopyingTally {
  readonly #sum: Float64Array;
  readonly #weight: Float64Array;

  constructor(heads: number) {
    this.#sum = new Float64Array(heads);
    this.#weight = new Float64Array(heads);
  }

  /**
   * Adds some query positions of one prompt for one head.
   * @param row captured with `pattern` and `result` of the head's layer
   * @param firstKey 1 to leave out position 0, when a special token stands there
   */
  async add(
    runner: Runner,
    row: RowResult,
    index: number,
    head: HeadRef,
    queries: readonly TokenPos[],
    firstKey: number,
  ): Promise<void> {
    const tokens = row.ids.length;
    const { dModel } = runner.shape;
    const result = row.tap('result', head.layer).data;
    const pattern = row.tap('pattern', head.layer).data;
    const vectors = new Float32Array(queries.length * dModel);
    queries.forEach((q, i) => {
      const from = (head.head * tokens + q) * dModel;
      vectors.set(result.subarray(from, from + dModel), i * dModel);
    });
    await unembedFrozenEach(runner, { dims: [queries.length, dModel], data: vectors }, null, (i, logits) => {
      const attention = pattern.subarray(
        (head.head * tokens + queries[i]) * tokens,
        (head.head * tokens + queries[i] + 1) * tokens,
      );
      const [id, weight] = mostAttended(row.ids, attention, firstKey);
      this.#sum[index] += weight * percentile(logits, id);
      this.#weight[index] += weight;
    });
  }

  /** The score of head `index`; null when nothing was attended. */
  score(index: number): number | null {
    return this.#weight[index] > 0 ? this.#sum[index] / this.#weight[index] : null;
  }
}

/** The token with the most attention, its occurrences counted together. */
function mostAttended(
  ids: readonly number[],
  attention: Float32Array,
  firstKey: number,
): [id: number, weight: number] {
  const byToken = new Map<number, number>();
  for (let k = firstKey; k < ids.length; k++) byToken.set(ids[k], (byToken.get(ids[k]) ?? 0) + attention[k]);
  return [...byToken].reduce((best, entry) => (entry[1] > best[1] ? entry : best));
}

/** Share of the other tokens with a smaller value, equal ones counted half. */
export function percentile(values: ArrayLike<number>, index: number): number {
  let below = 0;
  for (let i = 0; i < values.length; i++) {
    if (i === index) continue;
    if (values[i] < values[index]) below += 1;
    else if (values[i] === values[index]) below += 0.5;
  }
  return below / (values.length - 1);
}
