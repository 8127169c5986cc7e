import { GraphBuilder } from '../../src/onnx/build.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { store, tokensOf } from './gpt-parts.ts';
import { columns, type LlamaLayer, type LlamaWeights, type Weight } from './weights.ts';

const EPSILON = 1e-6;
const THETA = 10000;
const CONTEXT = 48;

/** How one layout writes the parts of a Llama style model. */
interface LlamaParts {
  readonly opset: number;
  readonly norm: (g: GraphBuilder, x: string, scale: Weight) => string;
  /** What every block needs: inputs, angles and masks, made once. */
  readonly start: (g: GraphBuilder, model: LlamaWeights) => Shared;
  /** From the normed stream to the output projection's result. */
  readonly attention: (g: GraphBuilder, x: string, layer: LlamaLayer, shared: Shared, at: number) => string;
  /** Sum of what a block writes and the stream, and its norm, when one operator gives both: [norm, sum]. */
  readonly skip?: (g: GraphBuilder, written: string, stream: string, scale: Weight) => [string, string];
}

interface Shared extends Record<string, string> {
  readonly ids: string;
}

/** RMSNorm in parts. */
function normInParts(g: GraphBuilder, x: string, scale: Weight): string {
  const mean = g.reduce('ReduceMean', g.op('Pow', [x, g.float(2)]), [-1]);
  const inverse = g.op('Reciprocal', [g.op('Sqrt', [g.op('Add', [mean, g.float(EPSILON)])])]);
  return g.op('Mul', [store(g, scale), g.op('Mul', [x, inverse])]);
}

const normOp = (g: GraphBuilder, x: string, scale: Weight): string =>
  g.op('SimplifiedLayerNormalization', [x, store(g, scale)], { axis: -1, epsilon: { float: EPSILON } });

const linear = (g: GraphBuilder, x: string, weight: Weight): string => g.op('MatMul', [x, store(g, weight)]);

/** [batch, heads, tokens, width] */
const split = (g: GraphBuilder, x: string, heads: number): string =>
  g.op('Transpose', [g.op('Reshape', [x, g.ints(0, 0, heads, -1)])], { perm: [0, 2, 1, 3] });

const join = (g: GraphBuilder, z: string): string =>
  g.op('Reshape', [g.op('Transpose', [z], { perm: [0, 2, 1, 3] }), g.ints(0, 0, -1)]);

/** cos and sin per position, [CONTEXT, half a head]. */
function angleTables(headDim: number): [Float32Array, Float32Array] {
  const half = headDim / 2;
  const angle = (i: number): number => Math.floor(i / half) * THETA ** (-(2 * (i % half)) / headDim);
  const table = (fn: (x: number) => number): Float32Array =>
    Float32Array.from({ length: CONTEXT * half }, (_, i) => fn(angle(i)));
  return [table(Math.cos), table(Math.sin)];
}

/** Angles from stored tables by position_ids, a mask from comparing positions and the attention mask. */
function fromTables(g: GraphBuilder, { headDim }: LlamaWeights): Shared {
  const ids = g.input('input_ids', 'int64', ['batch_size', 'sequence_length']);
  const mask = g.input('attention_mask', 'int64', ['batch_size', 'past_sequence_length + 1']);
  const positions = g.input('position_ids', 'int64', ['batch_size', 'sequence_length']);
  const half = headDim / 2;
  const [cos, sin] = angleTables(headDim).map((table) => {
    const rows = g.op('Gather', [g.constant(table, [CONTEXT, half]), positions], { axis: 0 });
    return g.axes('Unsqueeze', g.op('Concat', [rows, rows], { axis: -1 }), [1]);
  });
  const count = g.op('Range', [g.int(0), tokensOf(g, ids), g.int(1)]);
  const order = g.op('LessOrEqual', [g.axes('Unsqueeze', count, [0]), g.axes('Unsqueeze', count, [1])]);
  const real = g.axes('Unsqueeze', g.op('Cast', [mask], { to: 9 }), [1, 2]);
  const allowed = g.op('And', [order, real]);
  return { ids, cos, sin, bias: g.op('Where', [allowed, g.float(0), g.float(-3.4028234663852886e38)]) };
}

/** The two halves of a head turned together, as Hugging Face writes it. */
function rotateHalves(g: GraphBuilder, x: string, { cos, sin }: Shared, headDim: number): string {
  const part = (from: number, to: number): string => g.op('Slice', [x, g.ints(from), g.ints(to), g.ints(3)]);
  const turned = g.op('Concat', [g.op('Neg', [part(headDim / 2, 1 << 30)]), part(0, headDim / 2)], {
    axis: -1,
  });
  return g.op('Add', [g.op('Mul', [x, cos]), g.op('Mul', [turned, sin])]);
}

/** Neighbours turned together, with their weights reordered so that the model stays the same (GPT-J's way). */
function rotatePairs(g: GraphBuilder, x: string, { cos, sin }: Shared): string {
  const part = (from: number): string =>
    g.op('Slice', [x, g.ints(from), g.ints(1 << 30), g.ints(3), g.ints(2)]);
  const [even, odd] = [part(0), part(1)];
  const first = g.op('Sub', [g.op('Mul', [even, cos]), g.op('Mul', [odd, sin])]);
  const second = g.op('Add', [g.op('Mul', [odd, cos]), g.op('Mul', [even, sin])]);
  const both = [first, second].map((y) => g.axes('Unsqueeze', y, [4]));
  return g.op('Reshape', [g.op('Concat', both, { axis: 4 }), g.ints(0, 0, 0, -1)]);
}

const pairOrder =
  (headDim: number) =>
  (j: number): number => {
    const within = j % headDim;
    return j - within + Math.floor(within / 2) + (within % 2) * (headDim / 2);
  };

/** Keys and values copied for every query head by Expand, scores masked by addition. */
function repeated(
  g: GraphBuilder,
  x: string,
  layer: LlamaLayer,
  shared: Shared,
  { heads, kvHeads, headDim }: LlamaWeights,
): string {
  const q = rotateHalves(g, split(g, linear(g, x, layer.q), heads), shared, headDim);
  const copy = (value: string): string => {
    const shape = g.op('Shape', [value]);
    const part = (from: number, to: number): string => g.op('Slice', [shape, g.ints(from), g.ints(to)]);
    const wide = g.op('Concat', [part(0, 2), g.ints(heads / kvHeads), part(2, 4)], { axis: 0 });
    const flat = g.op('Concat', [part(0, 1), g.ints(heads), part(2, 4)], { axis: 0 });
    return g.op('Reshape', [g.op('Expand', [g.axes('Unsqueeze', value, [2]), wide]), flat]);
  };
  const k = copy(rotateHalves(g, split(g, linear(g, x, layer.k), kvHeads), shared, headDim));
  const v = copy(split(g, linear(g, x, layer.v), kvHeads));
  const product = g.op('MatMul', [q, g.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
  const scores = g.op('Add', [g.op('Mul', [product, g.float(headDim ** -0.5)]), shared.bias]);
  return linear(g, join(g, g.op('MatMul', [g.op('Softmax', [scores], { axis: -1 }), v])), layer.out);
}

/** Query heads of one kv head on an axis of their own, so that nothing is copied; neighbours are turned together. */
function grouped(
  g: GraphBuilder,
  x: string,
  layer: LlamaLayer,
  shared: Shared,
  { kvHeads, headDim, heads }: LlamaWeights,
): string {
  const order = pairOrder(headDim);
  const turned = (weight: Weight, n: number): string =>
    rotatePairs(g, split(g, linear(g, x, columns(weight, weight.dims[1], order)), n), shared);
  const apart = g.ints(0, kvHeads, heads / kvHeads, -1, headDim);
  const q = g.op('Reshape', [turned(layer.q, heads), apart]);
  const k = g.axes('Unsqueeze', turned(layer.k, kvHeads), [2]);
  const v = g.axes('Unsqueeze', split(g, linear(g, x, layer.v), kvHeads), [2]);
  const product = g.op('MatMul', [q, g.op('Transpose', [k], { perm: [0, 1, 2, 4, 3] })]);
  const scores = g.op('Add', [
    g.op('Div', [product, g.float(Math.sqrt(headDim))]),
    g.axes('Unsqueeze', shared.bias, [2]),
  ]);
  const z = g.op('MatMul', [g.op('Softmax', [scores], { axis: -1 }), v]);
  return linear(g, join(g, g.op('Reshape', [z, g.ints(0, heads, -1, headDim)])), layer.out);
}

/** The operators of ONNX Runtime GenAI's exports: lengths from the attention mask, a cache, rotary positions inside the operator. */
function genaiStart(g: GraphBuilder, { headDim }: LlamaWeights): Shared {
  const ids = g.input('input_ids', 'int64', ['batch_size', 'sequence_length']);
  const mask = g.input('attention_mask', 'int64', ['batch_size', 'total_sequence_length']);
  const counts = g.op('Sub', [g.reduce('ReduceSum', mask, [1], false), g.int(1)]);
  const [cos, sin] = angleTables(headDim).map((table) => g.constant(table, [CONTEXT, headDim / 2]));
  return {
    ids,
    cos,
    sin,
    lengths: g.op('Cast', [counts], { to: 6 }),
    total: g.op('Cast', [tokensOf(g, mask)], { to: 6 }),
  };
}

/** Matrices with the same rows as one. */
function sideBySide(weights: readonly Weight[]): Weight {
  const rows = weights[0].dims[0];
  const width = weights.reduce((sum, { dims }) => sum + dims[1], 0);
  const data = new Float32Array(rows * width);
  let from = 0;
  for (const weight of weights) {
    const own = weight.dims[1];
    for (let i = 0; i < rows; i++) data.set(weight.data.subarray(i * own, (i + 1) * own), i * width + from);
    from += own;
  }
  return { dims: [rows, width], data };
}

function groupQuery(
  g: GraphBuilder,
  x: string,
  layer: LlamaLayer,
  shared: Shared,
  at: number,
  { heads, kvHeads, headDim }: LlamaWeights,
  packed = false,
): string {
  const past = ['key', 'value'].map((name) =>
    g.input(`past_key_values.${at}.${name}`, 'float32', [
      'batch_size',
      kvHeads,
      'past_sequence_length',
      headDim,
    ]),
  );
  const weights = [layer.q, layer.k, layer.v];
  const qkv = packed
    ? [linear(g, x, sideBySide(weights)), '', '']
    : weights.map((weight) => linear(g, x, weight));
  const outputs = [g.unique('attention'), `present.${at}.key`, `present.${at}.value`];
  const inputs = [...qkv, ...past, shared.lengths, shared.total, shared.cos, shared.sin];
  const attributes = { num_heads: heads, kv_num_heads: kvHeads, do_rotary: 1 };
  g.ops('GroupQueryAttention', inputs, attributes, outputs, 'com.microsoft');
  for (const name of outputs.slice(1)) g.output(name, 'float32');
  return linear(g, outputs[0], layer.out);
}

/** Inputs, tables and a mask of truths for ONNX's own operators. */
function standardStart(g: GraphBuilder, { headDim }: LlamaWeights): Shared {
  const ids = g.input('input_ids', 'int64', ['batch_size', 'sequence_length']);
  const mask = g.input('attention_mask', 'int64', ['batch_size', 'sequence_length']);
  const positions = g.input('position_ids', 'int64', ['batch_size', 'sequence_length']);
  const [cos, sin] = angleTables(headDim).map((table) => g.constant(table, [CONTEXT, headDim / 2]));
  return { ids, positions, cos, sin, real: g.axes('Unsqueeze', g.op('Cast', [mask], { to: 9 }), [1, 2]) };
}

/** RotaryEmbedding and Attention of opset 23, as newer exporters write them. */
function standard(
  g: GraphBuilder,
  x: string,
  layer: LlamaLayer,
  { cos, sin, positions, real, ids }: Shared,
  { heads, kvHeads }: LlamaWeights,
): string {
  const turned = (weight: Weight, n: number): string =>
    g.op('RotaryEmbedding', [split(g, linear(g, x, weight), n), cos, sin, positions]);
  const [q, k] = [turned(layer.q, heads), turned(layer.k, kvHeads)];
  const v = split(g, linear(g, x, layer.v), kvHeads);
  const tokens = tokensOf(g, ids);
  const count = g.op('Range', [g.int(0), tokens, g.int(1)]);
  const order = g.op('LessOrEqual', [g.axes('Unsqueeze', count, [0]), g.axes('Unsqueeze', count, [1])]);
  return linear(g, join(g, g.op('Attention', [q, k, v, g.op('And', [order, real])])), layer.out);
}

const MS = 'com.microsoft';

/** Queries or keys [batch, tokens, heads × width] turned by Microsoft's operator. */
function rotary(g: GraphBuilder, x: string, { cos, sin, positions }: Shared): string {
  return g.op('RotaryEmbedding', [x, positions, cos, sin], {}, undefined, MS);
}

/** Tables of angles and a padding mask for Microsoft's operators that turn nothing themselves. */
function rotaryStart(g: GraphBuilder, { headDim }: LlamaWeights): Shared {
  const ids = g.input('input_ids', 'int64', ['batch_size', 'sequence_length']);
  const mask = g.input('attention_mask', 'int64', ['batch_size', 'sequence_length']);
  const positions = g.input('position_ids', 'int64', ['batch_size', 'sequence_length']);
  const [cos, sin] = angleTables(headDim).map((table) => g.constant(table, [CONTEXT, headDim / 2]));
  return { ids, positions, cos, sin, mask: g.op('Cast', [mask], { to: 6 }) };
}

/** RotaryEmbedding, then MultiHeadAttention over keys and values that the weights give once for every query head. */
function rotaryMultiHead(
  g: GraphBuilder,
  x: string,
  layer: LlamaLayer,
  shared: Shared,
  { heads, kvHeads, headDim }: LlamaWeights,
): string {
  const group = heads / kvHeads;
  const wide = (weight: Weight): Weight =>
    columns(weight, heads * headDim, (j) => Math.floor(j / headDim / group) * headDim + (j % headDim));
  const q = rotary(g, linear(g, x, layer.q), shared);
  const k = rotary(g, linear(g, x, wide(layer.k)), shared);
  const v = linear(g, x, wide(layer.v));
  const attributes = { num_heads: heads, unidirectional: 1 };
  return linear(
    g,
    g.op('MultiHeadAttention', [q, k, v, '', shared.mask], attributes, undefined, MS),
    layer.out,
  );
}

/** RotaryEmbedding, then GroupQueryAttention without positions of its own and without a cache. */
function rotaryGroupQuery(
  g: GraphBuilder,
  x: string,
  layer: LlamaLayer,
  shared: Shared,
  { heads, kvHeads }: LlamaWeights,
): string {
  const q = rotary(g, linear(g, x, layer.q), shared);
  const k = rotary(g, linear(g, x, layer.k), shared);
  const last = g.op('Sub', [
    g.reduce('ReduceSum', shared.mask, [1], false),
    g.op('Cast', [g.int(1)], { to: 6 }),
  ]);
  const total = g.op('Cast', [tokensOf(g, shared.mask)], { to: 6 });
  const inputs = [q, k, linear(g, x, layer.v), '', '', last, total];
  const attributes = { num_heads: heads, kv_num_heads: kvHeads };
  return linear(g, g.op('GroupQueryAttention', inputs, attributes, undefined, MS), layer.out);
}

type Layout = (model: LlamaWeights) => LlamaParts;

/** llama-tiny in other layouts. */
export const LLAMA_LAYOUTS: Readonly<Record<string, Layout>> = {
  'angles from tables, keys repeated by Expand, opset 18': (model) => ({
    opset: 18,
    norm: normInParts,
    start: fromTables,
    attention: (g, x, layer, shared) => repeated(g, x, layer, shared, model),
  }),
  'queries grouped by kv head, neighbours rotated': (model) => ({
    opset: 14,
    norm: normInParts,
    start(g) {
      const shared = fromTables(g, model);
      const half = (value: string): string =>
        g.op('Slice', [value, g.ints(0), g.ints(model.headDim / 2), g.ints(3)]);
      return { ...shared, cos: half(shared.cos), sin: half(shared.sin) };
    },
    attention: (g, x, layer, shared) => grouped(g, x, layer, shared, model),
  }),
  'GroupQueryAttention with a cache': (model) => ({
    opset: 17,
    norm: normOp,
    start: genaiStart,
    attention: (g, x, layer, shared, at) => groupQuery(g, x, layer, shared, at, model),
  }),
  'RotaryEmbedding and MultiHeadAttention': (model) => ({
    opset: 17,
    norm: normOp,
    start: rotaryStart,
    attention: (g, x, layer, shared) => rotaryMultiHead(g, x, layer, shared, model),
  }),
  'RotaryEmbedding and GroupQueryAttention': (model) => ({
    opset: 17,
    norm: normOp,
    start: rotaryStart,
    attention: (g, x, layer, shared) => rotaryGroupQuery(g, x, layer, shared, model),
  }),
  'as ONNX Runtime GenAI builds it: packed GroupQueryAttention, SkipSimplifiedLayerNormalization': (
    model,
  ) => ({
    opset: 21,
    norm: normOp,
    start: genaiStart,
    attention: (g, x, layer, shared, at) => groupQuery(g, x, layer, shared, at, model, true),
    skip(g, written, stream, scale) {
      const outputs = [g.unique('normed'), '', '', g.unique('stream')];
      const attributes = { epsilon: { float: EPSILON } };
      g.ops('SkipSimplifiedLayerNormalization', [stream, written, store(g, scale)], attributes, outputs, MS);
      return [outputs[0], outputs[3]];
    },
  }),
  'Attention, RotaryEmbedding and RMSNormalization of ONNX itself, opset 23': (model) => ({
    opset: 23,
    norm: (g, x, scale) =>
      g.op('RMSNormalization', [x, store(g, scale)], { axis: -1, epsilon: { float: EPSILON } }),
    start: standardStart,
    attention: (g, x, layer, shared) => standard(g, x, layer, shared, model),
  }),
};

/** The bytes of llama-tiny in one of the layouts. */
export function writeLlama(name: string, model: LlamaWeights): Uint8Array {
  const parts = LLAMA_LAYOUTS[name](model);
  const g = new GraphBuilder({ opset: parts.opset });
  const shared = parts.start(g, model);
  let x = g.op('Gather', [store(g, model.words), shared.ids], { axis: 0 });
  let normed = parts.norm(g, x, model.layers[0].norm1);
  const write = (written: string, scale: Weight): void => {
    if (parts.skip) [normed, x] = parts.skip(g, written, x, scale);
    else {
      x = g.op('Add', [x, written]);
      normed = parts.norm(g, x, scale);
    }
  };
  model.layers.forEach((layer, at) => {
    write(parts.attention(g, normed, layer, shared, at), layer.norm2);
    const gate = linear(g, normed, layer.gate);
    const hidden = g.op('Mul', [g.op('Mul', [gate, g.op('Sigmoid', [gate])]), linear(g, normed, layer.up)]);
    write(linear(g, hidden, layer.down), model.layers[at + 1]?.norm1 ?? model.final);
  });
  const logits = linear(g, normed, model.unembedding);
  g.output(logits, 'float32', ['batch_size', 'sequence_length', model.vocab], 'logits');
  const out = { ...g.model(), irVersion: parts.opset < 23 ? 8 : 11 };
  out.opsets.set('com.microsoft', 1);
  return writeModel(out);
}
