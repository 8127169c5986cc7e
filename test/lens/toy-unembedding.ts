import type { Runner } from '../../src/instrument/runner.ts';
import { seededRandom } from '../../src/random.ts';

export type FinalNorm = 'layernorm' | 'rmsnorm' | 'none';

/** A final norm and unembedding with every kind of bias, and an epsilon large enough to notice when it is forgotten. */
export interface ToyUnembedding {
  readonly gamma: Float64Array;
  readonly beta: Float64Array;
  /** [dModel, vocab] */
  readonly weights: Float64Array;
  readonly bias: Float64Array;
  readonly epsilon: number;
  readonly unembed: Runner['unembed'];
  readonly unembedFrozen: Runner['unembedFrozen'];
}

export function toyUnembedding(kind: FinalNorm, dModel: number, vocab: number, seed = 1): ToyUnembedding {
  const random = seededRandom(seed);
  const normals = (n: number): Float64Array => Float64Array.from({ length: n }, () => random.normal());
  const gamma = normals(dModel).map((x) => 1 + 0.2 * x);
  const beta = normals(dModel).map((x) => 0.3 * x);
  const weights = normals(dModel * vocab);
  const bias = normals(vocab);
  const epsilon = 0.05;

  const unembed: Runner['unembed'] = ({ dims, data }) => {
    const out = new Float32Array(dims[0] * vocab);
    for (let row = 0; row < dims[0]; row++) {
      const x = Float64Array.from(data.subarray(row * dModel, (row + 1) * dModel));
      const centre = kind === 'layernorm' ? x.reduce((a, b) => a + b, 0) / dModel : 0;
      const scale = Math.sqrt(x.reduce((a, b) => a + (b - centre) ** 2, 0) / dModel + epsilon);
      for (let v = 0; v < vocab; v++) {
        let sum = bias[v];
        for (let d = 0; d < dModel; d++) {
          const normed = kind === 'none' ? x[d] : ((x[d] - centre) / scale) * gamma[d] + beta[d];
          sum += normed * weights[d * vocab + v];
        }
        out[row * vocab + v] = sum;
      }
    }
    return Promise.resolve({ dims: [dims[0], vocab], data: out });
  };
  const unembedFrozen: Runner['unembedFrozen'] = ({ dims, data }, reference) => {
    const out = new Float32Array(dims[0] * vocab);
    const rowOf = (values: Float32Array, row: number): Float32Array =>
      values.subarray(row * dModel, (row + 1) * dModel);
    for (let row = 0; row < dims[0]; row++)
      for (let id = 0; id < vocab; id++)
        out[row * vocab + id] = frozenLogit(toy, kind, rowOf(data, row), rowOf(reference.data, row), id);
    return Promise.resolve({ dims: [dims[0], vocab], data: out });
  };
  const toy = { gamma, beta, weights, bias, epsilon, unembed, unembedFrozen };
  return toy;
}

/** Frozen logits straight from the definition: (v centred by a LayerNorm) / σ(reference) · γ · W_U. */
export function frozenLogit(
  toy: ToyUnembedding,
  kind: FinalNorm,
  vector: Float32Array,
  reference: Float32Array,
  id: number,
): number {
  const dModel = vector.length;
  const vocab = toy.bias.length;
  const meanOf = (x: Float32Array): number =>
    kind === 'layernorm' ? x.reduce((a, b) => a + b, 0) / dModel : 0;
  const centre = meanOf(reference);
  const scale = Math.sqrt(reference.reduce((a, b) => a + (b - centre) ** 2, 0) / dModel + toy.epsilon);
  const own = meanOf(vector);
  let sum = 0;
  for (let d = 0; d < dModel; d++) {
    const normed = kind === 'none' ? vector[d] : ((vector[d] - own) / scale) * toy.gamma[d];
    sum += normed * toy.weights[d * vocab + id];
  }
  return sum;
}
