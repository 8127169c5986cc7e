import { GraphBuilder, type AttributeInput } from '../../src/onnx/build.ts';
import type { WeightSpec } from './random-weights.ts';

/** Sizes of a GPT-2-like model. */
export interface Gpt2Shape {
  readonly layers: number;
  readonly heads: number;
  readonly dModel: number;
  readonly vocab: number;
  readonly context: number;
  /** True when the unembedding is the token table itself. */
  readonly tied: boolean;
}

/** GPT-2 small: 124 million numbers, 498 MB. */
export const GPT2_SMALL: Gpt2Shape = {
  layers: 12,
  heads: 12,
  dModel: 768,
  vocab: 50_257,
  context: 1024,
  tied: true,
};

/** GPT-2 medium: 355 million numbers, 1.4 GB. */
export const GPT2_MEDIUM: Gpt2Shape = { ...GPT2_SMALL, layers: 24, heads: 16, dModel: 1024 };

/** Weights in the order they are stored, initialised as GPT-2 is (Radford et al. 2019): residual projections scaled by 1/√(2·layers). */
export function gpt2Weights(shape: Gpt2Shape): WeightSpec[] {
  const { layers, dModel: d, vocab, context, tied } = shape;
  const specs: WeightSpec[] = [];
  const add = (name: string, dims: readonly number[], std: number, mean = 0): void =>
    void specs.push({ name, dims, std, mean });
  const norm = (name: string): void => {
    add(`${name}.weight`, [d], 0.02, 1);
    add(`${name}.bias`, [d], 0.02);
  };
  const linear = (name: string, from: number, to: number, std = 0.02): void => {
    add(`${name}.weight`, [from, to], std);
    add(`${name}.bias`, [to], 0.02);
  };
  add('transformer.wte.weight', [vocab, d], 0.02);
  add('transformer.wpe.weight', [context, d], 0.01);
  for (let layer = 0; layer < layers; layer++) {
    const at = `transformer.h.${layer}`;
    norm(`${at}.ln_1`);
    linear(`${at}.attn.c_attn`, d, 3 * d, 0.04); // twice GPT-2's, so that patterns are not all the same
    linear(`${at}.attn.c_proj`, d, d, 0.02 / Math.sqrt(2 * layers));
    norm(`${at}.ln_2`);
    linear(`${at}.mlp.c_fc`, d, 4 * d);
    linear(`${at}.mlp.c_proj`, 4 * d, d, 0.02 / Math.sqrt(2 * layers));
  }
  norm('transformer.ln_f');
  if (!tied) add('lm_head.weight', [d, vocab], 0.02);
  return specs;
}

/**
 * The graph as PyTorch exports GPT-2 (opset 17): fused QKV and Split, shapes computed by Shape and Gather, a boolean causal mask through
 * Where, LayerNormalization, and gelu_new in parts. Weights are only named; input `input_ids` [batch, tokens], output `logits`.
 */
export function gpt2Graph(shape: Gpt2Shape): GraphBuilder {
  const { layers, heads, dModel: d } = shape;
  const headDim = d / heads;
  const g = new GraphBuilder({ opset: 17, name: 'torch_jit' });
  const op = (type: string, inputs: string[], attributes: Record<string, AttributeInput> = {}): string =>
    g.op(type, inputs, attributes);
  const sizeOf = (value: string, axis: number): string => op('Gather', [op('Shape', [value]), g.int(axis)]);
  const vector = (scalar: string): string => op('Unsqueeze', [scalar, g.ints(0)]);
  const norm = (x: string, name: string): string =>
    op('LayerNormalization', [x, `${name}.weight`, `${name}.bias`], { axis: -1, epsilon: { float: 1e-5 } });
  const linear = (x: string, name: string): string =>
    op('Add', [op('MatMul', [x, `${name}.weight`]), `${name}.bias`]);
  const ids = g.input('input_ids', 'int64', ['batch_size', 'sequence_length']);
  const tokens = op('Cast', [sizeOf(ids, 1)], { to: 7 });
  const positions = op('Unsqueeze', [op('Range', [g.int(0), tokens, g.int(1)]), g.ints(0)]);
  let x = op('Add', [
    op('Gather', ['transformer.wte.weight', ids]),
    op('Gather', ['transformer.wpe.weight', positions]),
  ]);
  for (let layer = 0; layer < layers; layer++) {
    const at = `transformer.h.${layer}`;
    const normed = norm(x, `${at}.ln_1`);
    const batch = vector(sizeOf(normed, 0));
    const length = vector(sizeOf(normed, 1));
    const [q, k, v] = g
      .ops('Split', [linear(normed, `${at}.attn.c_attn`), g.ints(d, d, d)], { axis: 2 }, 3)
      .map((part) =>
        op('Reshape', [part, op('Concat', [batch, length, g.ints(heads), g.ints(headDim)], { axis: 0 })]),
      );
    const product = op('MatMul', [
      op('Transpose', [q], { perm: [0, 2, 1, 3] }),
      op('Transpose', [k], { perm: [0, 2, 3, 1] }),
    ]);
    const scaled = op('Div', [product, g.float(Math.sqrt(headDim))]);
    const mask = op('Slice', [
      op('Slice', ['causal_mask', g.ints(0), length, g.ints(2), g.ints(1)]),
      g.ints(0),
      length,
      g.ints(3),
      g.ints(1),
    ]);
    const pattern = op('Softmax', [op('Where', [mask, scaled, g.float(-3.4028234663852886e38)])], {
      axis: -1,
    });
    const z = op('MatMul', [pattern, op('Transpose', [v], { perm: [0, 2, 1, 3] })]);
    const merged = op('Reshape', [
      op('Transpose', [z], { perm: [0, 2, 1, 3] }),
      op('Concat', [batch, length, g.ints(d)], { axis: 0 }),
    ]);
    x = op('Add', [x, linear(merged, `${at}.attn.c_proj`)]);
    const hidden = geluNew(g, linear(norm(x, `${at}.ln_2`), `${at}.mlp.c_fc`));
    x = op('Add', [x, linear(hidden, `${at}.mlp.c_proj`)]);
  }
  const head = shape.tied ? op('Transpose', ['transformer.wte.weight'], { perm: [1, 0] }) : 'lm_head.weight';
  const logits = op('MatMul', [norm(x, 'transformer.ln_f'), head]);
  g.output(logits, 'float32', ['batch_size', 'sequence_length', shape.vocab], 'logits');
  return g;
}

/** 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))), in the parts that PyTorch exports. */
function geluNew(g: GraphBuilder, x: string): string {
  const cube = g.op('Pow', [x, g.float(3)]);
  const inner = g.op('Add', [x, g.op('Mul', [cube, g.float(0.044715)])]);
  const tanh = g.op('Tanh', [g.op('Mul', [inner, g.float(Math.sqrt(2 / Math.PI))])]);
  return g.op('Mul', [g.op('Mul', [x, g.float(0.5)]), g.op('Add', [tanh, g.float(1)])]);
}
