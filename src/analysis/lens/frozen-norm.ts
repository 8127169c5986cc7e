import { HeadscopeError } from '../../errors.ts';
import type { Runner } from '../../instrument/runner.ts';
import type { FloatTensor } from '../../runtime/device.ts';

/** What the norm before the unembedding does, as far as it shows from outside. */
export type FinalNorm = 'layernorm' | 'rmsnorm' | 'none';

/** Logits held at once while many vectors are unembedded. */
const LOGIT_BYTES = 64 * 2 ** 20;

/**
 * Unembeds many vectors, a few at a time, and hands on each row of logits; nothing of size rows × vocab is ever held.
 * @param vectors [rows, dModel]
 * @param use called in order with the row's index and its logits [vocab]
 */
export async function unembedEach(
  runner: Pick<Runner, 'unembed' | 'shape'>,
  vectors: FloatTensor,
  use: (row: number, logits: Float32Array) => void,
): Promise<void> {
  const [rows, width] = vectors.dims;
  const { vocab } = runner.shape;
  const step = Math.max(1, Math.floor(LOGIT_BYTES / (4 * vocab)));
  for (let from = 0; from < rows; from += step) {
    const count = Math.min(step, rows - from);
    const part = { dims: [count, width], data: vectors.data.slice(from * width, (from + count) * width) };
    const { data } = await runner.unembed(part);
    for (let i = 0; i < count; i++) use(from + i, data.subarray(i * vocab, (i + 1) * vocab));
  }
}

/**
 * The part of the final norm and unembedding that changes sign with its input, (unembed(v) − unembed(−v)) / 2: every bias
 * cancels, and what is left is W_U γ v / σ(v), v centred first by a LayerNorm.
 * @param use called with each row's odd logits [vocab]
 */
export async function oddLogits(
  runner: Pick<Runner, 'unembed' | 'shape'>,
  vectors: FloatTensor,
  use: (row: number, logits: Float32Array) => void,
): Promise<void> {
  const [rows, width] = vectors.dims;
  const both = new Float32Array(2 * rows * width);
  for (let row = 0; row < rows; row++) {
    const vector = vectors.data.subarray(row * width, (row + 1) * width);
    both.set(vector, 2 * row * width);
    both.set(
      vector.map((x) => -x),
      (2 * row + 1) * width,
    );
  }
  let plus = new Float32Array(0);
  await unembedEach(runner, { dims: [2 * rows, width], data: both }, (index, logits) => {
    if (index % 2 === 0) plus = logits.slice();
    else
      use(
        index >> 1,
        plus.map((x, i) => (x - logits[i]) / 2),
      );
  });
}

/** The final norm with its scale held at that of one residual vector, so that it is linear and its logits add up. */
export interface FrozenNorm {
  readonly kind: FinalNorm;
  /** Logits [vocab] of zero input: the norm's bias and the unembedding's. */
  readonly constant: Float32Array;
  /**
   * W_U γ v / σ(reference) of each vector for a few tokens.
   * @param vectors [rows, dModel]
   * @returns [rows, ids.length]
   */
  logits(vectors: FloatTensor, ids: readonly number[]): Promise<FloatTensor>;
}

/**
 * Freezes the model's final norm at `reference` using nothing but `Runner.unembed`: a vector rescaled to the reference's own
 * deviation passes the norm with the reference's scale, epsilon included, so its odd logits divided by the factor are the frozen ones.
 * @param reference one residual vector [dModel], usually the last block's output at the last position
 * @throws HeadscopeError `bad-shape`
 */
export async function freezeNorm(
  runner: Pick<Runner, 'unembed' | 'shape'>,
  reference: Float32Array,
): Promise<FrozenNorm> {
  const width = runner.shape.dModel;
  if (reference.length !== width)
    throw new HeadscopeError('bad-shape', `A residual vector has ${width} values, got ${reference.length}.`);
  const kind = await finalNormKind(runner, reference);
  const constant = await evenLogits(runner, reference);
  const scaleOf = kind === 'layernorm' ? deviation : rms;
  const target = scaleOf(reference);

  async function logits(vectors: FloatTensor, ids: readonly number[]): Promise<FloatTensor> {
    const rows = vectors.dims[0];
    const factors = new Float64Array(rows);
    const scaled = new Float32Array(rows * width);
    for (let row = 0; row < rows; row++) {
      const vector = vectors.data.subarray(row * width, (row + 1) * width);
      const scale = scaleOf(vector);
      // A vector the norm sees as zero (all zero, or constant under a LayerNorm) adds nothing.
      factors[row] = scale > 1e-30 ? target / scale : 0;
      vector.forEach((x, i) => (scaled[row * width + i] = x * factors[row]));
    }
    const out = new Float32Array(rows * ids.length);
    await oddLogits(runner, { dims: [rows, width], data: scaled }, (row, odd) => {
      ids.forEach((id, i) => (out[row * ids.length + i] = factors[row] === 0 ? 0 : odd[id] / factors[row]));
    });
    return { dims: [rows, ids.length], data: out };
  }
  return { kind, constant, logits };
}

/** Tells the norms apart by what they ignore: a LayerNorm the mean of its input, either norm its length. */
async function finalNormKind(
  runner: Pick<Runner, 'unembed' | 'shape'>,
  reference: Float32Array,
): Promise<FinalNorm> {
  const width = reference.length;
  const shift = rms(reference);
  const probes = new Float32Array(3 * width);
  reference.forEach((x, i) => {
    probes[i] = x;
    probes[width + i] = 2 * x;
    probes[2 * width + i] = x + shift;
  });
  const odd: Float32Array[] = [];
  await oddLogits(runner, { dims: [3, width], data: probes }, (row, logits) => (odd[row] = logits));
  const [plain, doubled, shifted] = odd;
  const size = Math.max(distance(plain, plain, 0), 1e-30);
  if (distance(doubled, plain, 2) < 1e-3 * size) return 'none';
  return distance(shifted, plain, 1) < 1e-3 * size ? 'layernorm' : 'rmsnorm';
}

async function evenLogits(
  runner: Pick<Runner, 'unembed' | 'shape'>,
  reference: Float32Array,
): Promise<Float32Array> {
  const rows: Float32Array[] = [];
  const data = Float32Array.from([...reference, ...reference.map((x) => -x)]);
  await unembedEach(
    runner,
    { dims: [2, reference.length], data },
    (row, logits) => (rows[row] = logits.slice()),
  );
  return rows[0].map((x, i) => (x + rows[1][i]) / 2);
}

/** max |a − factor·b| */
const distance = (a: Float32Array, b: Float32Array, factor: number): number =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - factor * b[i])), 0);

function rms(vector: Float32Array): number {
  let sum = 0;
  for (const x of vector) sum += x * x;
  return Math.sqrt(sum / vector.length);
}

function deviation(vector: Float32Array): number {
  let sum = 0;
  for (const x of vector) sum += x;
  const centre = sum / vector.length;
  let squares = 0;
  for (const x of vector) squares += (x - centre) ** 2;
  return Math.sqrt(squares / vector.length);
}
