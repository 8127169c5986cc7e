import { GraphBuilder } from '../../src/onnx/build.ts';
import type { Model } from '../../src/onnx/model.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { causalBias, normOp, PLAIN, softmax, store, tokensOf, type GptParts } from './gpt-parts.ts';
import { columns, transposed, type GptLayer, type GptWeights, type Weight } from './weights.ts';

type Attention = GptParts['attention'];

/** One third of the fused projection: 0 queries, 1 keys, 2 values. */
const third = (layer: GptLayer, d: number, which: number): [Weight, Weight] => [
  columns(layer.qkv[0], d, (j) => which * d + j),
  columns(layer.qkv[1], d, (j) => which * d + j),
];

/** What PyTorch 2's TorchScript exporter makes of scaled_dot_product_attention: half of the scale on each side, rows without keys guarded. */
const sdpa: Attention = (g, x, layer, { heads, d, headDim }, { linear }) => {
  const turned = (which: number, perm: number[]): string =>
    g.op(
      'Transpose',
      [g.op('Reshape', [linear(g, x, third(layer, d, which)), g.ints(0, 0, heads, headDim)])],
      { perm },
    );
  const [q, k, v] = [turned(0, [0, 2, 1, 3]), turned(1, [0, 2, 1, 3]), turned(2, [0, 2, 1, 3])];
  const width = g.op('Cast', [g.op('Slice', [g.op('Shape', [q]), g.ints(-1), g.ints(1 << 30)])], { to: 1 });
  const scale = g.op('Div', [g.float(1), g.op('Sqrt', [width])]);
  const root = g.op('Sqrt', [scale]);
  const scaledKeys = g.op('Mul', [g.op('Transpose', [k], { perm: [0, 1, 3, 2] }), root]);
  const product = g.op('MatMul', [g.op('Mul', [q, root]), scaledKeys]);
  const tokens = g.axes('Unsqueeze', tokensOf(g, x), [0]);
  const one = {
    tensor: { name: '', dims: [1], dataType: 1, data: new Uint8Array(Float32Array.of(1).buffer) },
  };
  const ones = g.op('ConstantOfShape', [g.op('Concat', [tokens, tokens], { axis: 0 })], { value: one });
  const allowed = g.op('Cast', [g.op('Trilu', [ones], { upper: 0 })], { to: 9 });
  const bias = g.op('Where', [allowed, g.float(0), g.constant(Float32Array.of(-Infinity), [])]);
  const pattern = softmax(g, g.op('Add', [product, bias]));
  const used = g.op('Where', [g.op('IsNaN', [pattern]), g.float(0), pattern]);
  const z = g.op('Transpose', [g.op('MatMul', [used, v])], { perm: [0, 2, 1, 3] });
  return linear(g, g.op('Reshape', [z, g.ints(0, 0, -1)]), layer.out);
};

/** Heads merged into the batch and queries scaled before they are split, as BART and OPT do it. */
const merged: Attention = (g, x, layer, { heads, d, headDim }, { linear }) => {
  const split = (value: string): string =>
    g.op('Reshape', [
      g.op('Transpose', [g.op('Reshape', [value, g.ints(0, 0, heads, headDim)])], { perm: [0, 2, 1, 3] }),
      g.op('Concat', [g.ints(-1), g.axes('Unsqueeze', tokensOf(g, x), [0]), g.ints(headDim)], { axis: 0 }),
    ]);
  const q = split(g.op('Mul', [linear(g, x, third(layer, d, 0)), g.float(headDim ** -0.5)]));
  const [k, v] = [1, 2].map((which) => split(linear(g, x, third(layer, d, which))));
  const product = g.op('MatMul', [q, g.op('Transpose', [k], { perm: [0, 2, 1] })]);
  const scores = g.op('Max', [g.op('Add', [product, causalBias(g, tokensOf(g, x))]), g.float(-3e38)]);
  const z = g.op('MatMul', [softmax(g, scores), v]);
  const apart = g.op(
    'Concat',
    [g.ints(-1, heads), g.axes('Unsqueeze', tokensOf(g, x), [0]), g.ints(headDim)],
    { axis: 0 },
  );
  const back = g.op('Transpose', [g.op('Reshape', [z, apart])], { perm: [0, 2, 1, 3] });
  return linear(g, g.op('Reshape', [back, g.ints(0, 0, d)]), layer.out);
};

/** Every product an Einsum, weights per head, and the pattern as [batch, query, head, key]. */
const einsum: Attention = (g, x, layer, { heads, d, headDim }) => {
  const ein = (equation: string, ...inputs: string[]): string => g.op('Einsum', inputs, { equation });
  const [q, k, v] = [0, 1, 2].map((which) => {
    const [{ data }, bias] = third(layer, d, which);
    const product = ein('btd,dhw->bthw', x, g.constant(data, [d, heads, headDim]));
    return g.op('Add', [product, g.constant(bias.data, [heads, headDim])]);
  });
  const scores = g.op('Mul', [ein('bqhw,bkhw->bqhk', q, k), g.float(headDim ** -0.5)]);
  const bias = g.axes('Unsqueeze', causalBias(g, tokensOf(g, x)), [1]);
  const z = ein('bqhk,bkhw->bqhw', softmax(g, g.op('Add', [scores, bias])), v);
  const out = ein('bqhw,hwd->bqd', z, g.constant(layer.out[0].data, [heads, headDim, d]));
  return g.op('Add', [out, store(g, layer.out[1])]);
};

/** q, k and v of one head side by side, as GPT-NeoX and BLOOM keep them; positions and heads share an axis in pattern and z. */
const interleaved: Attention = (g, x, layer, { heads, d, headDim }, { linear }) => {
  const from = (j: number): number => {
    const [head, rest] = [Math.floor(j / (3 * headDim)), j % (3 * headDim)];
    return Math.floor(rest / headDim) * d + head * headDim + (rest % headDim);
  };
  const [weight, bias] = layer.qkv.map((w) => columns(w, 3 * d, from));
  const apart = g.op('Reshape', [linear(g, x, [weight, bias]), g.ints(0, 0, heads, 3 * headDim)]);
  const part = (i: number): string =>
    g.op('Slice', [apart, g.ints(i * headDim), g.ints((i + 1) * headDim), g.ints(3)]);
  const perHead = (i: number): string => g.op('Transpose', [part(i)], { perm: [0, 2, 1, 3] });
  const product = g.op('MatMul', [perHead(0), g.op('Transpose', [part(1)], { perm: [0, 2, 3, 1] })]);
  const allowed = g.op('Not', [g.op('Cast', [causalBias(g, tokensOf(g, x))], { to: 9 })]);
  const masked = g.op('Where', [allowed, product, g.float(-3.4028234663852886e38)]);
  const pattern = softmax(g, g.op('Div', [masked, g.float(Math.sqrt(headDim))]));
  const z = g.op('Transpose', [g.op('MatMul', [pattern, perHead(2)])], { perm: [0, 2, 1, 3] });
  return linear(g, g.op('Reshape', [z, g.ints(0, 0, -1)]), layer.out);
};

/** Linear layers over flattened positions: Reshape, Gemm, Reshape; weights as PyTorch keeps them, [out, in]. */
const gemm: GptParts['linear'] = (g, x, [weight, bias]) => {
  const flat = g.op('Reshape', [x, g.ints(-1, weight.dims[0])]);
  const product = g.op('Gemm', [flat, store(g, transposed(weight)), store(g, bias)], { transB: 1 });
  const lead = g.op('Slice', [g.op('Shape', [x]), g.ints(0), g.ints(2)]);
  return g.op('Reshape', [product, g.op('Concat', [lead, g.ints(weight.dims[1])], { axis: 0 })]);
};

/** Weights stored [out, in] and transposed while the model runs, as an export without constant folding leaves them. */
const unfolded: GptParts['linear'] = (g, x, [weight, bias]) => {
  const turned = g.op('Transpose', [store(g, transposed(weight))], { perm: [1, 0] });
  return g.op('Add', [store(g, bias), g.op('MatMul', [x, turned])]);
};

/** LayerNorm as a product with the inverse deviation, whose scale is stored as what is added to one. */
const inverseNorm: GptParts['norm'] = (g, x, [scale, bias]) => {
  const centred = g.op('Sub', [x, g.reduce('ReduceMean', x, [-1])]);
  const variance = g.reduce('ReduceMean', g.op('Mul', [centred, centred]), [-1]);
  const inverse = g.op('Pow', [g.op('Add', [variance, g.float(1e-5)]), g.float(-0.5)]);
  const offset = g.op('Add', [g.float(1), store(g, { ...scale, data: scale.data.map((s) => s - 1) })]);
  return g.op('Add', [g.op('Mul', [offset, g.op('Mul', [centred, inverse])]), store(g, bias)]);
};

/** com.microsoft's optimised GPT-2: attention with its projection in one operator, sums and norms in another. */
const optimised: Partial<GptParts> = {
  opset: 17,
  norm: normOp,
  gelu: (g, x) => g.op('FastGelu', [x], {}, undefined, 'com.microsoft'),
  attention: (g, x, layer, { heads }, { linear }) => {
    const [weight, bias] = layer.qkv;
    const attributes = { num_heads: heads, unidirectional: 1 };
    const inputs = [x, store(g, weight), store(g, bias)];
    return linear(g, g.op('Attention', inputs, attributes, undefined, 'com.microsoft'), layer.out);
  },
};

/** The same with a cache of keys and values together, as ONNX Runtime's GPT-2 conversion writes it. */
function optimisedWithCache(): Partial<GptParts> {
  let at = 0;
  return {
    ...optimised,
    attention(g, x, layer, { heads, headDim }, { linear }) {
      const [weight, bias] = layer.qkv;
      const dims = [2, 'batch', heads, 'past_seq_len', headDim];
      const past = g.input(`past_${at}`, 'float32', dims);
      const outputs = [g.unique('attention'), `present_${at++}`];
      const inputs = [x, store(g, weight), store(g, bias), '', past];
      g.ops('Attention', inputs, { num_heads: heads, unidirectional: 1 }, outputs, 'com.microsoft');
      g.output(outputs[1], 'float32');
      return linear(g, outputs[0], layer.out);
    },
  };
}

/** Blocks that hand on the stream and its norm: SkipLayerNormalization gives both. */
function optimisedModel(g: GraphBuilder, ids: string, model: GptWeights, parts: GptParts): string {
  const stream = parts.embed(g, ids, model);
  let x = stream;
  let normed = parts.norm(g, stream, model.layers[0].norm1);
  const skip = (written: string, [scale, bias]: readonly [Weight, Weight]): void => {
    const inputs = [written, x, store(g, scale), store(g, bias)];
    const outputs = [g.unique('normed'), '', '', g.unique('stream')];
    g.ops('SkipLayerNormalization', inputs, { epsilon: { float: 1e-5 } }, outputs, 'com.microsoft');
    [normed, , , x] = outputs;
  };
  model.layers.forEach((layer, i) => {
    skip(parts.attention(g, normed, layer, model, parts), layer.norm2);
    const hidden = parts.gelu(g, parts.linear(g, normed, layer.up));
    skip(parts.linear(g, hidden, layer.down), model.layers[i + 1]?.norm1 ?? model.final);
  });
  return parts.unembed(g, normed, model);
}

function plainModel(g: GraphBuilder, ids: string, model: GptWeights, parts: GptParts): string {
  let x = parts.embed(g, ids, model);
  for (const layer of model.layers) x = parts.block(g, x, layer, model, parts);
  return parts.unembed(g, parts.norm(g, x, model.final), model);
}

/** The whole model in the branch that runs without a cache, as merged decoders have it. */
function branched(g: GraphBuilder, ids: string, model: GptWeights, parts: GptParts): string {
  const flag = g.input('use_cache_branch', 'bool', [1]);
  const branch = (name: string, make: (body: GraphBuilder) => string): GraphBuilder => {
    const body = g.subgraph(name);
    const out = make(body);
    body.output(out, 'float32');
    return body;
  };
  const without = branch('without_cache', (body) => plainModel(body, ids, model, parts));
  const cached = branch('with_cache', (body) => {
    const shape = body.op('Concat', [body.op('Shape', [ids]), body.ints(model.vocab)], { axis: 0 });
    return body.op('ConstantOfShape', [shape]);
  });
  return g.op('If', [flag], { then_branch: cached, else_branch: without });
}

const newest: Partial<GptParts> = {
  opset: 20,
  norm: normOp,
  gelu: (g, x) => g.op('Gelu', [x], { approximate: 'tanh' }),
  attention: (g, x, layer, model, parts) => sdpa(g, x, layer, model, parts),
};

/** ioi-4l in other layouts. */
export const GPT_LAYOUTS: Readonly<Record<string, { parts: Partial<GptParts>; whole?: typeof plainModel }>> =
  {
    'operators of opset 20, attention in the parts of PyTorch 2': { parts: newest },
    'Gemm over flattened positions, opset 11': { parts: { opset: 11, linear: gemm } },
    'heads merged into the batch': { parts: { attention: merged, linear: unfolded } },
    'Einsum, weights per head, pattern [batch, query, head, key]': {
      parts: { attention: einsum, opset: 13 },
    },
    'q, k, v of a head side by side': { parts: { attention: interleaved, norm: inverseNorm } },
    'optimised by ONNX Runtime': { parts: optimised, whole: optimisedModel },
    get 'optimised by ONNX Runtime, with a cache'() {
      return { parts: optimisedWithCache(), whole: optimisedModel };
    },
    'inside a branch for a cache': { parts: {}, whole: branched },
  };

/** The bytes of ioi-4l in one of the layouts. */
export function writeGpt(name: string, model: GptWeights): Uint8Array {
  const { parts, whole } = GPT_LAYOUTS[name];
  return writeParts(parts, model, whole);
}

/** The bytes of a model with the weights of ioi-4l whose parts are written in a way of their own. */
export function writeParts(
  own: Partial<GptParts>,
  model: GptWeights,
  whole = plainModel,
  finish: (model: Model) => Model = (same) => same,
): Uint8Array {
  const parts: GptParts = { ...PLAIN, ...own };
  const g = new GraphBuilder({ opset: parts.opset });
  const logits = whole(g, parts.inputs(g), model, parts);
  g.output(logits, 'float32', ['batch', 'sequence', model.vocab], 'logits');
  const out = g.model();
  out.opsets.set('com.microsoft', 1);
  return writeModel(finish(out));
}
