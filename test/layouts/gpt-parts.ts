import type { GraphBuilder } from '../../src/onnx/build.ts';
import type { GptLayer, GptWeights, Weight } from './weights.ts';

/** How one layout writes the parts of a GPT-2 style model; what it does not say is written the plain way below. */
export interface GptParts {
  readonly opset: number;
  readonly norm: (g: GraphBuilder, x: string, weights: readonly [Weight, Weight]) => string;
  readonly linear: (g: GraphBuilder, x: string, weights: readonly [Weight, Weight]) => string;
  readonly gelu: (g: GraphBuilder, x: string) => string;
  /** From the normed stream to the output projection's result. */
  readonly attention: (
    g: GraphBuilder,
    x: string,
    layer: GptLayer,
    model: GptWeights,
    parts: GptParts,
  ) => string;
  readonly embed: (g: GraphBuilder, ids: string, model: GptWeights) => string;
  readonly unembed: (g: GraphBuilder, x: string, model: GptWeights) => string;
  readonly block: (g: GraphBuilder, x: string, layer: GptLayer, model: GptWeights, parts: GptParts) => string;
  readonly inputs: (g: GraphBuilder) => string;
}

export const store = (g: GraphBuilder, { data, dims }: Weight): string => g.constant(data, dims);
const EPSILON = 1e-5;

/** Number of tokens as an int64 scalar. */
export const tokensOf = (g: GraphBuilder, value: string, axis = 1): string =>
  g.op('Gather', [g.op('Shape', [value]), g.int(axis)], { axis: 0 });

/** LayerNorm in parts, with a division. */
export function normInParts(g: GraphBuilder, x: string, [scale, bias]: readonly [Weight, Weight]): string {
  const centred = g.op('Sub', [x, g.reduce('ReduceMean', x, [-1])]);
  const variance = g.reduce('ReduceMean', g.op('Pow', [centred, g.float(2)]), [-1]);
  const deviation = g.op('Sqrt', [g.op('Add', [variance, g.float(EPSILON)])]);
  return g.op('Add', [g.op('Mul', [g.op('Div', [centred, deviation]), store(g, scale)]), store(g, bias)]);
}

export const normOp = (g: GraphBuilder, x: string, [scale, bias]: readonly [Weight, Weight]): string =>
  g.op('LayerNormalization', [x, store(g, scale), store(g, bias)], { axis: -1, epsilon: { float: EPSILON } });

export const linearAdd = (g: GraphBuilder, x: string, [weight, bias]: readonly [Weight, Weight]): string =>
  g.op('Add', [g.op('MatMul', [x, store(g, weight)]), store(g, bias)]);

/** GELU by tanh, as GPT-2 has it. */
export function geluTanh(g: GraphBuilder, x: string): string {
  const cube = g.op('Mul', [g.op('Pow', [x, g.float(3)]), g.float(0.044715)]);
  const inner = g.op('Mul', [g.op('Add', [x, cube]), g.float(Math.sqrt(2 / Math.PI))]);
  const outer = g.op('Add', [g.op('Tanh', [inner]), g.float(1)]);
  return g.op('Mul', [g.op('Mul', [x, g.float(0.5)]), outer]);
}

/** −1e9 above the diagonal, [tokens, tokens], computed from positions. */
export function causalBias(g: GraphBuilder, tokens: string): string {
  const positions = g.op('Range', [g.int(0), tokens, g.int(1)]);
  const later = g.op('Greater', [g.axes('Unsqueeze', positions, [0]), g.axes('Unsqueeze', positions, [1])]);
  return g.op('Where', [later, g.float(-1e9), g.float(0)]);
}

/** Softmax with the last axis said as this opset wants it. */
export const softmax = (g: GraphBuilder, scores: string): string => g.op('Softmax', [scores], { axis: -1 });

export const PLAIN: GptParts = {
  opset: 14,
  norm: normInParts,
  linear: linearAdd,
  gelu: geluTanh,
  inputs: (g) => g.input('input_ids', 'int64', ['batch', 'sequence']),
  attention(g, x, layer, { heads, d, headDim }, { linear, opset }) {
    const fused = linear(g, x, layer.qkv);
    const parts = g.ops('Split', [fused], { axis: -1, ...(opset >= 18 ? { num_outputs: 3 } : {}) }, 3);
    const [q, k, v] = parts.map((part) =>
      g.op('Transpose', [g.op('Reshape', [part, g.ints(0, 0, heads, headDim)])], { perm: [0, 2, 1, 3] }),
    );
    const product = g.op('MatMul', [q, g.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
    const scores = g.op('Div', [product, g.float(Math.sqrt(headDim))]);
    const pattern = softmax(g, g.op('Add', [scores, causalBias(g, tokensOf(g, x))]));
    const z = g.op('Transpose', [g.op('MatMul', [pattern, v])], { perm: [0, 2, 1, 3] });
    return linear(g, g.op('Reshape', [z, g.ints(0, 0, d)]), layer.out);
  },
  embed(g, ids, { words, positions }) {
    const at = g.op('Range', [g.int(0), tokensOf(g, ids), g.int(1)]);
    const looked = g.op('Gather', [store(g, positions), g.axes('Unsqueeze', at, [0])], { axis: 0 });
    return g.op('Add', [g.op('Gather', [store(g, words), ids], { axis: 0 }), looked]);
  },
  block(g, x, layer, model, parts) {
    const middle = g.op('Add', [parts.attention(g, parts.norm(g, x, layer.norm1), layer, model, parts), x]);
    const hidden = parts.gelu(g, parts.linear(g, parts.norm(g, middle, layer.norm2), layer.up));
    return g.op('Add', [middle, parts.linear(g, hidden, layer.down)]);
  },
  unembed: (g, x, { words }) => g.op('MatMul', [x, g.op('Transpose', [store(g, words)], { perm: [1, 0] })]),
};
