import { GraphBuilder, type AttributeInput } from '../../src/onnx/build.ts';
import type { WeightSpec } from './random-weights.ts';

/** Sizes of a Llama-like model. */
export interface LlamaShape {
  readonly layers: number;
  readonly heads: number;
  /** Heads of keys and values, each shared by `heads / kvHeads` queries. */
  readonly kvHeads: number;
  readonly dModel: number;
  /** Width inside the MLP. */
  readonly hidden: number;
  readonly vocab: number;
}

/** Llama 3.2 1B with a smaller vocabulary: 1.04 billion numbers, 4.2 GB. */
export const LLAMA_1B: LlamaShape = {
  layers: 16,
  heads: 32,
  kvHeads: 8,
  dModel: 2048,
  hidden: 8192,
  vocab: 32_000,
};

const THETA = 10_000;
const EPSILON = 1e-5;

/** Weights in the order they are stored. Matrices are [in, out], as exporters leave them; the unembedding is the token table. */
export function llamaWeights(shape: LlamaShape): WeightSpec[] {
  const { layers, heads, kvHeads, dModel: d, hidden, vocab } = shape;
  const headDim = d / heads;
  const specs: WeightSpec[] = [];
  const add = (name: string, dims: readonly number[], std: number, mean = 0): void =>
    void specs.push({ name: `${name}.weight`, dims, std, mean });
  const wide = 1 / Math.sqrt(d);
  const back = 1 / Math.sqrt(2 * layers);
  add('model.embed_tokens', [vocab, d], 0.02);
  for (let layer = 0; layer < layers; layer++) {
    const at = `model.layers.${layer}`;
    add(`${at}.input_layernorm`, [d], 0.02, 1);
    add(`${at}.self_attn.q_proj`, [d, d], 1.5 * wide); // so that patterns are not all the same
    add(`${at}.self_attn.k_proj`, [d, kvHeads * headDim], 1.5 * wide);
    add(`${at}.self_attn.v_proj`, [d, kvHeads * headDim], wide);
    add(`${at}.self_attn.o_proj`, [d, d], wide * back);
    add(`${at}.post_attention_layernorm`, [d], 0.02, 1);
    add(`${at}.mlp.gate_proj`, [d, hidden], wide);
    add(`${at}.mlp.up_proj`, [d, hidden], wide);
    add(`${at}.mlp.down_proj`, [hidden, d], back / Math.sqrt(hidden));
  }
  add('model.norm', [d], 0.02, 1);
  return specs;
}

/**
 * The graph as PyTorch exports Hugging Face's Llama (opset 17): RMSNorm in its parts, rotary positions computed from inverse
 * frequencies, keys and values repeated by Expand, an additive causal mask, SwiGLU. Weights are only named; input `input_ids` [batch, tokens],
 * output `logits`.
 */
export function llamaGraph(shape: LlamaShape): GraphBuilder {
  const { layers, heads, kvHeads, dModel: d, vocab } = shape;
  const headDim = d / heads;
  const g = new GraphBuilder({ opset: 17, name: 'main_graph' });
  const op = (type: string, inputs: string[], attributes: Record<string, AttributeInput> = {}): string =>
    g.op(type, inputs, attributes);
  const vector = (scalar: string): string => op('Unsqueeze', [scalar, g.ints(0)]);
  const linear = (x: string, name: string): string => op('MatMul', [x, `${name}.weight`]);
  const norm = (x: string, name: string): string => {
    const square = op('ReduceMean', [op('Pow', [x, g.float(2)])], { axes: [-1], keepdims: 1 });
    const inverse = op('Div', [g.float(1), op('Sqrt', [op('Add', [square, g.float(EPSILON)])])]);
    return op('Mul', [`${name}.weight`, op('Mul', [x, inverse])]);
  };
  const ids = g.input('input_ids', 'int64', ['batch_size', 'sequence_length']);
  const sizes = op('Shape', [ids]);
  const batch = vector(op('Gather', [sizes, g.int(0)]));
  const tokens = op('Gather', [sizes, g.int(1)]);
  const length = vector(tokens);
  const range = op('Range', [g.int(0), tokens, g.int(1)]);
  const mask = causalMask(g, range);
  const { cos, sin } = rotary(g, range, headDim);

  const half = headDim / 2;
  const part = (x: string, from: number, to: number): string =>
    op('Slice', [x, g.ints(from), g.ints(to), g.ints(3), g.ints(1)]);
  const rotated = (x: string): string => {
    const turned = op('Concat', [op('Neg', [part(x, half, headDim)]), part(x, 0, half)], { axis: -1 });
    return op('Add', [op('Mul', [x, cos]), op('Mul', [turned, sin])]);
  };
  const split = (x: string, count: number): string => {
    const parts = op('Reshape', [
      x,
      op('Concat', [batch, length, g.ints(count), g.ints(headDim)], { axis: 0 }),
    ]);
    return op('Transpose', [parts], { perm: [0, 2, 1, 3] });
  };
  const repeated = (x: string): string => {
    if (kvHeads === heads) return x;
    const size = (...counts: number[]): string =>
      op('Concat', [batch, ...counts.map((count) => g.ints(count)), length, g.ints(headDim)], { axis: 0 });
    const wide = op('Expand', [op('Unsqueeze', [x, g.ints(2)]), size(kvHeads, heads / kvHeads)]);
    return op('Reshape', [wide, size(heads)]);
  };

  let x = op('Gather', ['model.embed_tokens.weight', ids]);
  for (let layer = 0; layer < layers; layer++) {
    const at = `model.layers.${layer}`;
    const normed = norm(x, `${at}.input_layernorm`);
    const q = rotated(split(linear(normed, `${at}.self_attn.q_proj`), heads));
    const k = repeated(rotated(split(linear(normed, `${at}.self_attn.k_proj`), kvHeads)));
    const v = repeated(split(linear(normed, `${at}.self_attn.v_proj`), kvHeads));
    const product = op('MatMul', [q, op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
    const scores = op('Add', [op('Mul', [product, g.float(1 / Math.sqrt(headDim))]), mask]);
    const z = op('MatMul', [op('Softmax', [scores], { axis: -1 }), v]);
    const merged = op('Reshape', [
      op('Transpose', [z], { perm: [0, 2, 1, 3] }),
      op('Concat', [batch, length, g.ints(d)], { axis: 0 }),
    ]);
    x = op('Add', [x, linear(merged, `${at}.self_attn.o_proj`)]);
    const inner = norm(x, `${at}.post_attention_layernorm`);
    const gate = linear(inner, `${at}.mlp.gate_proj`);
    const opened = op('Mul', [gate, op('Sigmoid', [gate])]);
    const hidden = op('Mul', [opened, linear(inner, `${at}.mlp.up_proj`)]);
    x = op('Add', [x, linear(hidden, `${at}.mlp.down_proj`)]);
  }
  const head = op('Transpose', ['model.embed_tokens.weight'], { perm: [1, 0] });
  const logits = op('MatMul', [norm(x, 'model.norm'), head]);
  g.output(logits, 'float32', ['batch_size', 'sequence_length', vocab], 'logits');
  return g;
}

/** 0 where a query may look and float32's lowest number where not, [1, 1, T, T]. */
function causalMask(g: GraphBuilder, range: string): string {
  const keys = g.op('Unsqueeze', [range, g.ints(0)]);
  const queries = g.op('Unsqueeze', [range, g.ints(1)]);
  const later = g.op('Greater', [keys, queries]);
  const mask = g.op('Where', [later, g.float(-3.4028234663852886e38), g.float(0)]);
  return g.op('Unsqueeze', [mask, g.ints(0, 1)]);
}

/** Cosines and sines of rotary positions, [1, 1, T, headDim]. */
function rotary(g: GraphBuilder, range: string, headDim: number): { cos: string; sin: string } {
  const half = headDim / 2;
  const frequencies = Float32Array.from({ length: half }, (_, i) => THETA ** (-i / half));
  const inverse = g.constant(frequencies, [1, half, 1], 'float32', 'model.rotary_emb.inv_freq');
  const positions = g.op('Cast', [g.op('Unsqueeze', [range, g.ints(0, 1)])], { to: 1 });
  const angles = g.op('Transpose', [g.op('MatMul', [inverse, positions])], { perm: [0, 2, 1] });
  const both = g.op('Concat', [angles, angles], { axis: -1 });
  const spread = (name: 'Cos' | 'Sin'): string => g.op('Unsqueeze', [g.op(name, [both]), g.ints(1)]);
  return { cos: spread('Cos'), sin: spread('Sin') };
}
