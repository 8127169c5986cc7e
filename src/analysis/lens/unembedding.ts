import type { Runner } from '../../instrument/runner.ts';
import type { FloatTensor } from '../../runtime/device.ts';

/** Logits held at once while many vectors are unembedded. */
const LOGIT_BYTES = 64 * 2 ** 20;

type Unembedder = Pick<Runner, 'unembed' | 'unembedFrozen' | 'shape'>;

/**
 * Unembeds many residual vectors, a few at a time, and hands on each row of logits; nothing of size rows × vocab is ever held.
 * @param vectors [rows, dModel]
 * @param use called in order with the row's index and its logits [vocab]
 */
export async function unembedEach(
  runner: Unembedder,
  vectors: FloatTensor,
  use: (row: number, logits: Float32Array) => void,
): Promise<void> {
  await inParts(runner, vectors, (part) => runner.unembed(part), use);
}

/**
 * The same for the linear part of the unembedding, with the final norm's statistics held at those of `reference`; see `Runner.unembedFrozen`.
 * @param reference one residual vector [dModel] for all rows, or null to normalise each row by itself
 */
export async function unembedFrozenEach(
  runner: Unembedder,
  vectors: FloatTensor,
  reference: Float32Array | null,
  use: (row: number, logits: Float32Array) => void,
): Promise<void> {
  const frozen = (part: FloatTensor): Promise<FloatTensor> => {
    if (reference === null) return runner.unembedFrozen(part, part);
    const repeated = new Float32Array(part.data.length);
    for (let at = 0; at < repeated.length; at += reference.length) repeated.set(reference, at);
    return runner.unembedFrozen(part, { dims: part.dims, data: repeated });
  };
  await inParts(runner, vectors, frozen, use);
}

/**
 * What the biases of final norm and unembedding add to the logits, [vocab]: the part of `unembed` that does not change when its
 * input changes sign.
 * @param reference any residual vector, [dModel]
 */
export async function biasLogits(runner: Unembedder, reference: Float32Array): Promise<Float32Array> {
  const rows: Float32Array[] = [];
  const data = Float32Array.from([...reference, ...reference.map((x) => -x)]);
  await unembedEach(
    runner,
    { dims: [2, reference.length], data },
    (row, logits) => (rows[row] = logits.slice()),
  );
  return rows[0].map((x, i) => (x + rows[1][i]) / 2);
}

async function inParts(
  { shape }: Unembedder,
  vectors: FloatTensor,
  unembed: (part: FloatTensor) => Promise<FloatTensor>,
  use: (row: number, logits: Float32Array) => void,
): Promise<void> {
  const [rows, width] = vectors.dims;
  const { vocab } = shape;
  const step = Math.max(1, Math.floor(LOGIT_BYTES / (4 * vocab)));
  for (let from = 0; from < rows; from += step) {
    const count = Math.min(step, rows - from);
    const data = vectors.data.slice(from * width, (from + count) * width);
    const logits = await unembed({ dims: [count, width], data });
    for (let i = 0; i < count; i++) use(from + i, logits.data.subarray(i * vocab, (i + 1) * vocab));
  }
}
