import type { Runner } from '../../instrument/runner.ts';
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
   * @param vectors what the head adds to the residual stream there, [queries, dModel]
   * @param seen the token that each of them attends to most
   */
  async add(
    runner: Runner,
    index: number,
    vectors: Float32Array,
    seen: readonly MostAttended[],
  ): Promise<void> {
    const { dModel } = runner.shape;
    await unembedFrozenEach(runner, { dims: [seen.length, dModel], data: vectors }, null, (i, logits) => {
      const { id, attention } = seen[i];
      this.#sum[index] += attention * percentile(logits, id);
      this.#weight[index] += attention;
    });
  }

  /** The score of head `index`; null when nothing was attended. */
  score(index: number): number | null {
    return this.#weight[index] > 0 ? this.#sum[index] / this.#weight[index] : null;
  }
}

export interface MostAttended {
  readonly id: number;
  readonly attention: number;
}

/**
 * The token with the most attention, its occurrences counted together.
 * @param attention one query's row of a pattern
 * @param firstKey 1 to leave out position 0, when a special token stands there
 */
export function mostAttended(
  ids: readonly number[],
  attention: Float32Array,
  firstKey: number,
): MostAttended {
  const byToken = new Map<number, number>();
  for (let k = firstKey; k < ids.length; k++) byToken.set(ids[k], (byToken.get(ids[k]) ?? 0) + attention[k]);
  const [id, most] = [...byToken].reduce((best, entry) => (entry[1] > best[1] ? entry : best));
  return { id, attention: most };
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
