import type { Known } from '../onnx/infer.ts';
import type { Node } from '../onnx/model.ts';
import type { HeadLayout, HeadValue, WeightRef } from './anatomy.ts';
import type { GraphIndex } from './graph-index.ts';

/** The sizes of the sample prompt that shapes were worked out for. */
export interface Sample {
  readonly batch: number;
  readonly length: number;
}

/** The core of one attention block: scores → softmax → pattern → z, and where q, k and v come from. */
export interface AttentionCore {
  readonly softmax: Node;
  /** The product of queries and keys. */
  readonly product: Node;
  readonly mixing: Node;
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly scores: HeadValue;
  readonly pattern: HeadValue;
  readonly z: HeadValue;
  readonly q?: HeadValue;
  readonly k?: HeadValue;
  readonly v?: HeadValue;
  /** What v is computed from, seen from the head split: used to tell self- from cross-attention. */
  readonly keySource: string;
}

export type Finding = { readonly core: AttentionCore } | { readonly why: string };

/** Operators between the product of queries and keys and the softmax. */
const SCORE_OPS = new Set([
  'Add',
  'Sub',
  'Mul',
  'Div',
  'Where',
  'Cast',
  'Tanh',
  'Reshape',
  'Identity',
  'Min',
  'Max',
  'Clip',
  'Softcap',
  'Squeeze',
  'Unsqueeze',
]);

/** Goes back from the scores to the product of queries and keys. */
function findProduct(index: GraphIndex, value: string, depth = 0): Node | undefined {
  const node = index.producer(value);
  if (!node || depth > 16) return undefined;
  if (node.opType === 'MatMul' || node.opType === 'FusedMatMul' || node.opType === 'Einsum') {
    return node.inputs.some((input) => index.isWeight(input)) ? undefined : node;
  }
  if (!SCORE_OPS.has(node.opType)) return undefined;
  for (const input of node.inputs) {
    if (input === '' || index.isWeight(input)) continue;
    const found = findProduct(index, input, depth + 1);
    if (found) return found;
  }
  return undefined;
}

/** From the softmax through dropout, casts and the NaN guard to the product with the values. */
function findMixing(index: GraphIndex, softmax: string): { pattern: string; mixing: Node } | undefined {
  let pattern = softmax;
  for (let step = 0; step < 6; step++) {
    const users = index.consumers(pattern);
    const mixing = users.find(
      (node) =>
        (node.opType === 'MatMul' || node.opType === 'FusedMatMul' || node.opType === 'Einsum') &&
        node.inputs[0] === pattern &&
        !index.isWeight(node.inputs[1]),
    );
    if (mixing) return { pattern, mixing };
    const next = users.find(
      (node) =>
        /^(Dropout|Cast|Identity|Where|Mul|Reshape)$/.test(node.opType) &&
        node.inputs.some((i) => i === pattern),
    );
    if (!next) return undefined;
    pattern = next.outputs[0];
  }
  return undefined;
}

function layoutOf(
  dims: readonly number[],
  sample: Sample,
  swapped = false,
): { layout: HeadLayout; heads: number } | undefined {
  const t = swapped ? 'T' : '';
  if (dims.length === 4 && dims[0] === sample.batch)
    return { layout: `bh${t}` as HeadLayout, heads: dims[1] };
  if (dims.length === 3 && dims[0] % sample.batch === 0)
    return { layout: `merged${t}` as HeadLayout, heads: dims[0] / sample.batch };
  if (dims.length === 5 && dims[0] === sample.batch)
    return { layout: `grouped${t}` as HeadLayout, heads: dims[1] * dims[2] };
  return undefined;
}

const REPEATING = new Set([
  'Reshape',
  'Expand',
  'Tile',
  'Unsqueeze',
  'Transpose',
  'Cast',
  'Identity',
  'Squeeze',
  'Concat',
]);

/** Goes back from keys or values as they are multiplied to where each kv head exists once. */
function beforeRepeat(
  index: GraphIndex,
  known: ReadonlyMap<string, Known>,
  value: string,
  sample: Sample,
  length: number,
  headDim: number,
): { value: string; layout: HeadLayout; heads: number } | undefined {
  const size = (name: string): number => known.get(name)?.dims?.reduce((a, b) => a * b, 1) ?? NaN;
  let smallest = size(value);
  let best: { value: string; layout: HeadLayout; heads: number } | undefined;
  let at = value;
  for (let step = 0; step < 14; step++) {
    const dims = known.get(at)?.dims;
    const elements = size(at);
    if (!dims || Number.isNaN(elements) || elements > smallest) break;
    const perToken = elements / (sample.batch * length * headDim);
    if (!Number.isInteger(perToken) || perToken < 1) break;
    const fits = fitKeyValue(dims, sample.batch, length, headDim, perToken);
    if (fits && (best === undefined || perToken < best.heads))
      best = { value: at, layout: fits, heads: perToken };
    smallest = elements;
    const node = index.producer(at);
    if (!node || !REPEATING.has(node.opType)) break;
    if (node.opType === 'Concat') {
      // joined with an empty cache: the part that is there; a concat that repeats heads has several
      const parts = node.inputs.filter((input) => size(input) > 0);
      if (new Set(parts).size !== 1) break;
      at = parts[0];
    } else at = node.inputs[0];
  }
  return best;
}

function fitKeyValue(
  dims: readonly number[],
  batch: number,
  length: number,
  headDim: number,
  heads: number,
): HeadLayout | undefined {
  const is = (...want: number[]): boolean =>
    dims.length === want.length && want.every((w, i) => w === dims[i]);
  if (is(batch, heads, length, headDim)) return 'bh';
  if (is(batch, heads, headDim, length)) return 'bhT';
  if (is(batch, length, heads, headDim)) return 'bth';
  if (is(batch * heads, length, headDim)) return 'merged';
  if (is(batch * heads, headDim, length)) return 'mergedT';
  return undefined;
}

/** Reads the attention block around one softmax, or says why this softmax is none. */
export function readAttention(
  index: GraphIndex,
  known: ReadonlyMap<string, Known>,
  softmax: Node,
  sample: Sample,
): Finding {
  const dims = known.get(softmax.outputs[0])?.dims;
  if (!dims) return { why: 'the shape of its result could not be worked out' };
  const axis = softmax.attributes.get('axis')?.int ?? ((index.model.opsets.get('') ?? 1) >= 13 ? -1 : 1);
  if (axis !== -1 && axis !== dims.length - 1) return { why: `it normalises axis ${axis}, not the keys` };
  const shape = layoutOf(dims, sample);
  if (!shape)
    return { why: `its result has the shape [${dims.join(', ')}], which is not heads × queries × keys` };
  const product = findProduct(index, softmax.inputs[0]);
  if (!product) return { why: 'its input is not a product of queries and keys' };
  const mixed = findMixing(index, softmax.outputs[0]);
  if (!mixed) return { why: 'its result is not multiplied with values' };
  const { pattern, mixing } = mixed;
  const z = mixing.outputs[0];
  const zDims = known.get(z)?.dims;
  const zShape = zDims && layoutOf(zDims, sample);
  if (!zDims || !zShape) return { why: 'the shape of the mixed values could not be worked out' };
  const patternDims = known.get(pattern)?.dims ?? dims;
  const patternShape = layoutOf(patternDims, sample);
  if (!patternShape || patternShape.heads !== zShape.heads)
    return { why: 'pattern and mixed values disagree about the number of heads' };
  const queries = dims[dims.length - 2];
  const keys = dims[dims.length - 1];
  const headDim = zDims[zDims.length - 1];
  const [queryValue, keyValue] = product.inputs;
  const qDims = known.get(queryValue)?.dims;
  const kDims = known.get(keyValue)?.dims;
  const qShape = qDims && layoutOf(qDims, sample);
  const plain = product.opType === 'MatMul';
  const qkDim = qDims?.[qDims.length - 1] ?? headDim;
  const k = plain && kDims ? beforeRepeat(index, known, keyValue, sample, keys, qkDim) : undefined;
  const v =
    mixing.opType === 'MatMul'
      ? beforeRepeat(index, known, mixing.inputs[1], sample, keys, headDim)
      : undefined;
  return {
    core: {
      softmax,
      product,
      mixing,
      queries,
      keys,
      heads: shape.heads,
      kvHeads: v?.heads ?? k?.heads ?? shape.heads,
      headDim,
      scores: { value: softmax.inputs[0], ...shape },
      pattern: { value: pattern, ...patternShape },
      z: { value: z, ...zShape },
      q: plain && qShape && qShape.heads === shape.heads ? { value: queryValue, ...qShape } : undefined,
      k,
      v,
      keySource: v?.value ?? mixing.inputs[1],
    },
  };
}

/** The matrix product that turns the heads' z into what the block writes, with its stored weight and bias. */
export function findOutputProjection(
  index: GraphIndex,
  known: ReadonlyMap<string, Known>,
  core: AttentionCore,
  sample: Sample,
): (WeightRef & { bias?: string; output: string; dModel: number }) | { why: string } {
  const width = core.heads * core.headDim;
  let at = core.z.value;
  for (let step = 0; step < 10; step++) {
    const users = index.consumers(at);
    const product = users.find((node) => /^(MatMul|Gemm)$/.test(node.opType) && node.inputs[0] === at);
    if (product) {
      const found = index.weight(product.inputs[1]);
      if (!found) return { why: 'the output projection has no stored weight' };
      const transB = product.opType === 'Gemm' && (product.attributes.get('transB')?.int ?? 0) === 1;
      const transposed = found.transposed !== transB;
      const [rows, columns] = transposed ? [found.tensor.dims[1], found.tensor.dims[0]] : found.tensor.dims;
      if (found.tensor.dims.length !== 2 || rows !== width)
        return { why: `the output projection has ${rows} rows, but the heads give ${width} numbers` };
      const ref = { name: found.tensor.name, transposed, dModel: columns };
      const out = followOutput(index, known, product.outputs[0], [sample.batch, core.queries, columns]);
      const bias = product.opType === 'Gemm' ? product.inputs[2] : out.bias;
      return { ...ref, bias, output: out.value };
    }
    const next = users.find(
      (node) =>
        /^(Transpose|Reshape|Cast|Identity|Dropout|Squeeze)$/.test(node.opType) && node.inputs[0] === at,
    );
    if (!next)
      return {
        why: `the mixed values go into ${users.map((node) => node.opType).join(', ') || 'nothing'}, not into an output projection`,
      };
    at = next.outputs[0];
  }
  return { why: 'the output projection was not found' };
}

/** Follows a projection's output through its bias and back into [batch, position, dModel]. */
function followOutput(
  index: GraphIndex,
  known: ReadonlyMap<string, Known>,
  start: string,
  dims: readonly number[],
): { value: string; bias?: string } {
  let value = start;
  let bias: string | undefined;
  for (let step = 0; step < 6; step++) {
    const users = index.consumers(value);
    if (users.length !== 1) break;
    const [node] = users;
    const other = node.inputs.find((input) => input !== value);
    if (node.opType === 'Add' && other !== undefined && index.isWeight(other) && bias === undefined)
      bias = other;
    else if (!/^(Reshape|Identity|Dropout|Cast)$/.test(node.opType) || node.inputs[0] !== value) break;
    value = node.outputs[0];
  }
  const shape = known.get(value)?.dims;
  return { value: shape && shape.length === dims.length ? value : start, bias };
}
