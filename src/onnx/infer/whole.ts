import { DataType } from '../model.ts';
import { intAttr, same, type Infer, type InferTable, type Known } from './known.ts';

const shaped = (x: Known | undefined, type = x?.type ?? 0): Known | undefined => x && { type, dims: x.dims };

/** Norms that also add: their result, and the sum as fourth output. */
const skipNorm: Infer = (node, [x]) =>
  node.outputs.map((_, i) => (i === 0 || i === 3 ? shaped(x) : undefined));

const multiHeadAttention: Infer = (node, [q, , v]) => {
  const heads = intAttr(node, 'num_heads', 1);
  const last = v?.dims?.[v.dims.length - 1];
  const width = last !== undefined && v?.dims?.length === 4 ? last * heads : last;
  const dims = q?.dims && width !== undefined ? [q.dims[0], q.dims[1], width] : undefined;
  return [{ type: q?.type ?? 0, dims }];
};

/** Queries alone, or with keys and values behind them. */
const groupQueryAttention: Infer = (node, [q, k]) => {
  const [heads, kvHeads] = [intAttr(node, 'num_heads', 1), intAttr(node, 'kv_num_heads', 1)];
  const columns = q?.dims?.[2];
  const width = k || columns === undefined ? columns : (columns / (heads + 2 * kvHeads)) * heads;
  const dims = q?.dims && width !== undefined ? [q.dims[0], q.dims[1], width] : undefined;
  return [{ type: q?.type ?? 0, dims }];
};

/** Operators that are known as a whole, by shape: softmax, norms, quantisation, and fused ones. */
export const WHOLE: InferTable = {
  Softmax: same,
  LogSoftmax: same,
  Hardmax: same,
  LayerNormalization: same,
  RMSNormalization: same,
  SimplifiedLayerNormalization: same,
  LpNormalization: same,
  InstanceNormalization: same,
  GroupNormalization: same,
  BatchNormalization: same,
  RotaryEmbedding: same,
  SkipLayerNormalization: skipNorm,
  SkipSimplifiedLayerNormalization: skipNorm,
  MultiHeadAttention: multiHeadAttention,
  DecoderMaskedMultiHeadAttention: multiHeadAttention,
  GroupQueryAttention: groupQueryAttention,
  DequantizeLinear: (_, [x, scale]) => [shaped(x, scale?.type ?? DataType.float)],
  QuantizeLinear: (_, [x, , zero]) => [shaped(x, zero?.type ?? DataType.uint8)],
  DynamicQuantizeLinear: (_, [x]) => [
    shaped(x, DataType.uint8),
    { type: DataType.float, dims: [] },
    { type: DataType.uint8, dims: [] },
  ],
};
