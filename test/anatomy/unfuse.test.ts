import { afterAll, describe, expect, it } from 'vitest';
import { LEFT_AS_THEY_ARE } from '../../src/anatomy/unfuse/left-as-they-are.ts';
import { unfuse } from '../../src/anatomy/unfuse/unfuse.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import type { Tensor } from '../../src/runtime/device.ts';
import { Errors, maxAbs } from '../helpers/numbers.ts';
import { figure, FormatRows } from '../layouts/formats.ts';
import {
  floats,
  fusedAgainstParts,
  int32s,
  int64s,
  modelOf,
  runFused,
  runParts,
  type Case,
} from './fused-operator.ts';

const B = 2;
const T = 5;
const H = 3;
const W = 4;
const D = H * W;
const mha = { num_heads: H };
const one = ['float32'] as const;
const three = ['float32', 'float32', 'float32'] as const;
const qkv = () => [floats(B, T, D), floats(B, T, D), floats(B, T, D)];
const ones = (...zeros: number[]) =>
  int32s([B, T], ...Array.from({ length: B * T }, (_, i) => (zeros.includes(i) ? 0 : 1)));

const multiHead: Record<string, Case> = {
  'with biases': {
    opType: 'MultiHeadAttention',
    inputs: [...qkv(), floats(3 * D)],
    attributes: mha,
    outputs: one,
  },
  'without biases, a scale of its own, causal': {
    opType: 'MultiHeadAttention',
    inputs: qkv(),
    attributes: { ...mha, scale: { float: 0.7 }, unidirectional: 1 },
    outputs: one,
  },
  'values of another width': {
    opType: 'MultiHeadAttention',
    inputs: [floats(B, T, D), floats(B, T, D), floats(B, T, 6), floats(2 * D + 6)],
    attributes: mha,
    outputs: one,
  },
  'keys of another text': {
    opType: 'MultiHeadAttention',
    inputs: [floats(B, T, D), floats(B, 7, D), floats(B, 7, D), floats(3 * D)],
    attributes: mha,
    outputs: one,
  },
  'a padding mask per key': {
    opType: 'MultiHeadAttention',
    inputs: [...qkv(), null, ones(0, 3, 9)],
    attributes: { ...mha, mask_filter_value: { float: -3.5 } },
    outputs: one,
  },
  'a padding mask per key, causal': {
    opType: 'MultiHeadAttention',
    inputs: [...qkv(), null, ones(0, 1, 8)],
    attributes: { ...mha, unidirectional: 1 },
    outputs: one,
  },
  'lengths of padded prompts': {
    opType: 'MultiHeadAttention',
    inputs: [...qkv(), floats(3 * D), int32s([B], 3, 5)],
    attributes: mha,
    outputs: one,
  },
  'a mask per query and key': {
    opType: 'MultiHeadAttention',
    inputs: [
      ...qkv(),
      null,
      int32s([B, T, T], ...Array.from({ length: B * T * T }, (_, i) => (i % 3 ? 1 : 0))),
    ],
    attributes: mha,
    outputs: one,
  },
  'an additive bias for all prompts': {
    opType: 'MultiHeadAttention',
    inputs: [...qkv(), null, null, floats(1, H, T, T)],
    attributes: mha,
    outputs: one,
  },
  'an additive bias for all heads, and a padding mask': {
    opType: 'MultiHeadAttention',
    inputs: [...qkv(), null, ones(9), floats(B, 1, T, T)],
    attributes: mha,
    outputs: one,
  },
  'a cache, causal': {
    opType: 'MultiHeadAttention',
    inputs: [...qkv(), floats(3 * D), null, null, floats(B, H, 4, W), floats(B, H, 4, W)],
    attributes: { ...mha, unidirectional: 1 },
    outputs: three,
  },
  'new keys and values given out': {
    opType: 'MultiHeadAttention',
    inputs: qkv(),
    attributes: mha,
    outputs: three,
  },
  'lengths and places in a buffer without padding': {
    opType: 'MultiHeadAttention',
    inputs: [...qkv(), null, int32s([3 * B + 2], 3, 5, 0, 3, 5, 0, 5, 10)],
    attributes: mha,
    outputs: one,
  },
  'masked scores given out, causal, a padding mask and a bias': {
    opType: 'MultiHeadAttention',
    inputs: [...qkv(), null, ones(0, 9), floats(1, H, T, T)],
    attributes: { ...mha, unidirectional: 1 },
    outputs: [...three, 'float32'],
  },
  'keys and values of a cache alone': {
    opType: 'MultiHeadAttention',
    inputs: [floats(B, T, D), floats(B, H, 6, W), floats(B, H, 6, W)],
    attributes: mha,
    outputs: one,
  },
  'keys and values of a cache alone, with biases': {
    opType: 'MultiHeadAttention',
    inputs: [floats(B, T, D), floats(B, H, 6, W), floats(B, H, 6, W), floats(3 * D)],
    attributes: mha,
    outputs: one,
  },
};

const gqa = { num_heads: 4, kv_num_heads: 2 };
const lengths = (past = 0) => [int32s([B], past + T - 1, past + T - 1), int32s([], past + T)];
const G = 16; // rotary positions inside the operator need heads of a multiple of 16
const separate = () => [floats(B, T, 4 * G), floats(B, T, 2 * G), floats(B, T, 2 * G)];
const angles = () => [floats(32, G / 2), floats(32, G / 2)];
const empty = () => [floats(B, 2, 0, G), floats(B, 2, 0, G)];
const cache = () => [floats(1, 2, 3, G), floats(1, 2, 3, G)];

const groupQuery: Record<string, Case> = {
  'separate inputs': {
    opType: 'GroupQueryAttention',
    inputs: [...separate(), ...empty(), ...lengths()],
    attributes: gqa,
    outputs: three,
  },
  'packed inputs, a scale and a soft-cap': {
    opType: 'GroupQueryAttention',
    inputs: [floats(B, T, 8 * G), null, null, ...empty(), ...lengths()],
    attributes: { ...gqa, scale: { float: 0.6 }, softcap: { float: 2 } },
    outputs: three,
  },
  'rotary positions': {
    opType: 'GroupQueryAttention',
    inputs: [...separate(), ...empty(), ...lengths(), ...angles()],
    attributes: { ...gqa, do_rotary: 1 },
    outputs: three,
  },
  'rotary positions of neighbours': {
    opType: 'GroupQueryAttention',
    inputs: [...separate(), ...empty(), ...lengths(), ...angles()],
    attributes: { ...gqa, do_rotary: 1, rotary_interleaved: 1 },
    outputs: three,
  },
  'a local window': {
    opType: 'GroupQueryAttention',
    inputs: [...separate(), ...empty(), ...lengths()],
    attributes: { ...gqa, local_window_size: 2 },
    outputs: three,
  },
  'an additive bias': {
    opType: 'GroupQueryAttention',
    inputs: [...separate(), ...empty(), ...lengths(), null, null, null, floats(1, 4, T, T)],
    attributes: gqa,
    outputs: three,
  },
  'a sink per head': {
    opType: 'GroupQueryAttention',
    inputs: [...separate(), ...empty(), ...lengths(), null, null, null, null, floats(4)],
    attributes: gqa,
    outputs: three,
  },
  'smooth softmax and a soft-cap': {
    opType: 'GroupQueryAttention',
    inputs: [...separate(), ...empty(), ...lengths()],
    attributes: { ...gqa, smooth_softmax: 1, softcap: { float: 2 } },
    outputs: three,
  },
  'packed inputs with rotary positions and a local window': {
    opType: 'GroupQueryAttention',
    inputs: [floats(B, T, 8 * G), null, null, ...empty(), ...lengths(), ...angles()],
    attributes: { ...gqa, do_rotary: 1, local_window_size: 3 },
    outputs: three,
  },
  'scores given out, a bias, a soft-cap and a local window': {
    opType: 'GroupQueryAttention',
    inputs: [...separate(), ...empty(), ...lengths(), null, null, null, floats(1, 4, T, T)],
    attributes: { ...gqa, qk_output: 1, softcap: { float: 2 }, local_window_size: 2 },
    outputs: [...three, 'float32'],
  },
  'pattern given out, a sink per head': {
    opType: 'GroupQueryAttention',
    inputs: [...separate(), ...empty(), ...lengths(), null, null, null, null, floats(4)],
    attributes: { ...gqa, qk_output: 2 },
    outputs: [...three, 'float32'],
  },
  'a cache of three tokens and one new': {
    opType: 'GroupQueryAttention',
    inputs: [
      floats(1, 1, 4 * G),
      floats(1, 1, 2 * G),
      floats(1, 1, 2 * G),
      ...cache(),
      int32s([1], 3),
      int32s([], 4),
      ...angles(),
    ],
    attributes: { ...gqa, do_rotary: 1 },
    outputs: three,
  },
};

const packed: Record<string, Case> = {
  'with a bias': {
    opType: 'Attention',
    inputs: [floats(B, T, 10), floats(10, 3 * D), floats(3 * D)],
    attributes: mha,
    stored: [1, 2],
    outputs: one,
  },
  'causal, with a cache': {
    opType: 'Attention',
    inputs: [floats(B, T, D), floats(D, 3 * D), floats(3 * D), null, floats(2, B, H, 3, W)],
    attributes: { ...mha, unidirectional: 1 },
    stored: [1, 2],
    outputs: ['float32', 'float32'],
  },
  'values of another width, a mask per key': {
    opType: 'Attention',
    inputs: [floats(B, T, 10), floats(10, 2 * D + 6), floats(2 * D + 6), ones(4, 9)],
    attributes: { ...mha, qkv_hidden_sizes: [D, D, 6] },
    stored: [1, 2],
    outputs: one,
  },
  'ends and beginnings of prompts padded on both sides': {
    opType: 'Attention',
    inputs: [floats(B, T, 10), floats(10, 3 * D), floats(3 * D), int32s([2 * B], 3, 5, 0, 1)],
    attributes: mha,
    stored: [1, 2],
    outputs: one,
  },
  'a mask per query and key, an additive bias': {
    opType: 'Attention',
    inputs: [
      floats(B, T, 10),
      floats(10, 3 * D),
      floats(3 * D),
      int32s([B, T, T], ...Array.from({ length: B * T * T }, (_, i) => (i % 3 ? 1 : 0))),
      null,
      floats(1, H, T, T),
    ],
    attributes: { ...mha, mask_filter_value: { float: -20 } },
    stored: [1, 2],
    outputs: one,
  },
  'lengths of padded prompts': {
    opType: 'Attention',
    inputs: [floats(B, T, 10), floats(10, 3 * D), floats(3 * D), int32s([B], 2, 5)],
    attributes: mha,
    stored: [1, 2],
    outputs: one,
  },
};

const uint8s = (...dims: number[]): Tensor => ({
  type: 'uint8',
  dims,
  data: Uint8Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => (i * 151) % 256),
});
/** Within ±63: some CPUs add two products of unsigned and signed bytes in 16 bits. */
const int8s = (...dims: number[]): Tensor => ({
  type: 'int8',
  dims,
  data: Int8Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => ((i * 89) % 127) - 63),
});
const scalar = (value: number): Tensor => ({ type: 'float32', dims: [], data: Float32Array.of(value) });
const zero8 = (value: number): Tensor => ({ type: 'uint8', dims: [], data: Uint8Array.of(value) });

const quantised: Record<string, Case> = {
  'a scale for all, a mask per key': {
    opType: 'QAttention',
    inputs: [
      uint8s(B, T, 10),
      int8s(10, 3 * D),
      floats(3 * D),
      scalar(0.01),
      scalar(0.005),
      ones(0, 3, 9),
      zero8(120),
    ],
    attributes: mha,
    stored: [1, 2, 3, 4, 6],
    outputs: one,
  },
  'a scale per column, causal, a cache': {
    opType: 'QAttention',
    inputs: [
      uint8s(B, T, 10),
      int8s(10, 3 * D),
      floats(3 * D),
      scalar(0.01),
      { ...floats(3 * D), data: Float32Array.from({ length: 3 * D }, (_, i) => 0.001 + i * 0.0001) },
      null,
      zero8(100),
      { type: 'int8', dims: [3 * D], data: Int8Array.from({ length: 3 * D }, (_, i) => i % 5) },
      floats(2, B, H, 3, W),
    ],
    attributes: { ...mha, unidirectional: 1 },
    stored: [1, 2, 3, 4, 6, 7],
    outputs: ['float32', 'float32'],
  },
};

const bools = (...dims: number[]): Tensor => ({
  type: 'bool',
  dims,
  // Every query may see one key at least.
  data: Uint8Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => (i % 3 === 1 ? 0 : 1)),
});

const rounded = (zero: number, ...dims: number[]): Tensor[] => [uint8s(...dims), scalar(0.02), zero8(zero)];
const result = (scale: number, zero = 128): Tensor[] => [scalar(scale), zero8(zero)];
const bytes = ['uint8'] as const;
const perColumn = (count: number): Tensor[] => [
  int8s(10, count),
  { ...floats(count), data: Float32Array.from({ length: count }, (_, i) => 0.001 + i * 0.0003) },
  { type: 'int8', dims: [count], data: new Int8Array(count) },
];

/** Operators of integers; a result that is rounded to another number counts as an error of 1. */
const integers: Record<string, Case> = {
  'two values': {
    opType: 'QLinearMatMul',
    domain: '',
    inputs: [...rounded(120, B, H, T, W), ...rounded(100, B, H, W, T), ...result(0.1)],
    stored: [1, 2, 4, 5, 6, 7],
    outputs: bytes,
  },
  'a weight with a scale per column': {
    opType: 'QLinearMatMul',
    domain: '',
    inputs: [...rounded(120, B, T, 10), ...perColumn(D), ...result(0.05)],
    stored: [1, 2, 3, 4, 5, 6, 7],
    outputs: bytes,
  },
  'a bias, transposed': {
    opType: 'QGemm',
    inputs: [
      ...rounded(120, T, 10),
      int8s(D, 10),
      scalar(0.01),
      { type: 'int8', dims: [], data: Int8Array.of(0) },
      int32s([D], ...Array.from({ length: D }, (_, i) => i * 50)),
      ...result(0.1),
    ],
    attributes: { transB: 1 },
    stored: [1, 2, 3, 4, 5, 6, 7, 8],
    outputs: bytes,
  },
  'a scale per column, the result in float32': {
    opType: 'QGemm',
    inputs: [...rounded(120, T, 10), ...perColumn(D)],
    stored: [1, 2, 3, 4, 5],
    outputs: one,
  },
  'a bias of the stream': {
    opType: 'QLinearAdd',
    inputs: [...rounded(120, B, T, D), ...rounded(90, D), ...result(0.03)],
    stored: [1, 2, 3, 4, 5, 6, 7],
    outputs: bytes,
  },
  'a gate': {
    opType: 'QLinearMul',
    inputs: [...rounded(120, B, T, D), ...rounded(90, B, T, D), ...result(0.05)],
    stored: [1, 2, 4, 5, 6, 7],
    outputs: bytes,
  },
  'the last axis': {
    opType: 'QLinearSoftmax',
    inputs: [...rounded(120, B, H, T, T), ...result(1 / 256, 0)],
    attributes: { axis: -1, opset: 13 },
    stored: [1, 2, 3, 4],
    outputs: bytes,
  },
  'an activation': {
    opType: 'QLinearSigmoid',
    inputs: [...rounded(120, B, T, D), ...result(1 / 256, 0)],
    stored: [1, 2, 3, 4],
    outputs: bytes,
  },
  'a slope': {
    opType: 'QLinearLeakyRelu',
    inputs: [...rounded(120, B, T, D), ...result(0.02)],
    attributes: { alpha: { float: 0.3 } },
    stored: [1, 2, 3, 4],
    outputs: bytes,
  },
  'two parts': {
    opType: 'QLinearConcat',
    inputs: [...result(0.03), ...rounded(120, B, T, D), ...rounded(90, B, T, 3)],
    attributes: { axis: 2 },
    stored: [0, 1, 3, 4, 6, 7],
    outputs: bytes,
  },
  'a choice': {
    opType: 'QLinearWhere',
    inputs: [bools(B, T, D), ...rounded(120, B, T, D), ...rounded(90, B, T, D), ...result(0.03)],
    stored: [2, 3, 5, 6, 7, 8],
    outputs: bytes,
  },
  'a picture': {
    opType: 'QLinearConv',
    domain: '',
    inputs: [
      ...rounded(120, 1, 3, 8, 8),
      ...rounded(100, 6, 3, 4, 4),
      ...result(0.3),
      int32s([6], 100, -50, 0, 30, 20, 10),
    ],
    attributes: { strides: [4, 4] },
    stored: [1, 2, 3, 4, 5, 6, 7, 8],
    outputs: bytes,
  },
};

// Stored, since an input with four axes is taken for a cache.
const onnx = {
  opType: 'Attention',
  domain: '',
  opset: 23,
  outputs: one,
  stored: [0, 1, 2, 3, 4, 5],
} as const;
const perHead = (heads = H) => floats(B, heads, T, W);

const standard: Record<string, Case> = {
  'heads on an axis of their own': { ...onnx, inputs: [perHead(), perHead(), perHead()] },
  'causal, a scale of its own': {
    ...onnx,
    inputs: [perHead(), perHead(), perHead()],
    attributes: { is_causal: 1, scale: { float: 0.7 } },
  },
  'heads side by side': { ...onnx, inputs: qkv(), attributes: { q_num_heads: H, kv_num_heads: H } },
  'grouped keys and values, causal': {
    ...onnx,
    inputs: [perHead(4), perHead(2), perHead(2)],
    attributes: { is_causal: 1 },
  },
  'grouped, side by side': {
    ...onnx,
    inputs: [floats(B, T, 4 * W), floats(B, T, 2 * W), floats(B, T, 2 * W)],
    attributes: { q_num_heads: 4, kv_num_heads: 2 },
  },
  'a mask of truths': { ...onnx, inputs: [perHead(), perHead(), perHead(), bools(B, 1, T, T)] },
  'a mask of truths for all prompts, causal': {
    ...onnx,
    inputs: [perHead(), perHead(), perHead(), bools(T, T)],
    attributes: { is_causal: 1 },
  },
  'a mask of numbers': { ...onnx, inputs: [perHead(), perHead(), perHead(), floats(B, H, T, T)] },
  'a mask of whole numbers': {
    ...onnx,
    inputs: [
      perHead(),
      perHead(),
      perHead(),
      int32s([T, T], ...Array.from({ length: T * T }, (_, i) => (i % 3) - 1)),
    ],
  },
  'keys of another text': { ...onnx, inputs: [perHead(), floats(B, H, 7, W), floats(B, H, 7, 6)] },
  'a cache': {
    ...onnx,
    inputs: [perHead(), perHead(), perHead(), floats(T, T + 4), floats(B, H, 4, W), floats(B, H, 4, W)],
    outputs: three,
  },
  'a cache, causal': {
    ...onnx,
    inputs: [perHead(), perHead(), perHead(), null, floats(B, H, 4, W), floats(B, H, 4, W)],
    attributes: { is_causal: 1 },
    outputs: three,
  },
  ...Object.fromEntries(
    ['the product', 'the capped scores', 'the masked scores', 'the pattern'].map(
      (stage, mode): [string, Case] => [
        `${stage} given out`,
        {
          ...onnx,
          inputs: [perHead(), perHead(), perHead(), floats(T, T)],
          attributes: { qk_matmul_output_mode: mode, softcap: { float: 3 } },
          outputs: ['float32', null, null, 'float32'],
        },
      ],
    ),
  ),
  'keys padded to a fixed number, opset 24': {
    ...onnx,
    opset: 24,
    inputs: [perHead(), perHead(), perHead(), null, null, null, int64s([B], 3, 5)],
    stored: [0, 1, 2, 6],
  },
  'a soft-cap and a mask': {
    ...onnx,
    inputs: [perHead(), perHead(), perHead(), bools(T, T)],
    attributes: { softcap: { float: 2 } },
  },
};

const other: Record<string, Case> = {
  'SkipLayerNormalization with the sum given out': {
    opType: 'SkipLayerNormalization',
    inputs: [floats(B, T, D), floats(B, T, D), floats(D), floats(D), floats(D)],
    attributes: { epsilon: { float: 1e-3 } },
    stored: [2, 3, 4],
    outputs: ['float32', null, null, 'float32'],
  },
  'SkipLayerNormalization with mean and deviation given out': {
    opType: 'SkipLayerNormalization',
    inputs: [floats(B, T, D), floats(B, T, D), floats(D)],
    stored: [2],
    outputs: ['float32', 'float32', 'float32'],
  },
  'SkipLayerNormalization without biases': {
    opType: 'SkipLayerNormalization',
    inputs: [floats(B, T, D), floats(B, T, D), floats(D)],
    stored: [2],
    outputs: one,
  },
  SkipSimplifiedLayerNormalization: {
    opType: 'SkipSimplifiedLayerNormalization',
    inputs: [floats(B, T, D), floats(B, T, D), floats(D)],
    attributes: { epsilon: { float: 1e-5 } },
    stored: [2],
    outputs: ['float32', null, null, 'float32'],
  },
  EmbedLayerNormalization: {
    opType: 'EmbedLayerNormalization',
    inputs: [
      int32s([B, T], 1, 2, 3, 4, 5, 6, 7, 8, 9, 0),
      int32s([B, T], 0, 0, 1, 1, 1, 0, 0, 0, 1, 1),
      floats(10, D),
      floats(8, D),
      floats(2, D),
      floats(D),
      floats(D),
      ones(4, 8, 9),
    ],
    attributes: { epsilon: { float: 1e-6 } },
    stored: [2, 3, 4, 5, 6],
    outputs: ['float32', 'int32'],
  },
  'FusedMatMul with both operands transposed': {
    opType: 'FusedMatMul',
    inputs: [floats(B, H, W, T), floats(B, H, 7, W)],
    attributes: { transA: 1, transB: 1, alpha: { float: 0.25 } },
    outputs: one,
  },
  'FusedMatMul with batches between rows and columns': {
    opType: 'FusedMatMul',
    inputs: [floats(T, H, W), floats(W, H, 7)],
    attributes: { transBatchA: 1, transBatchB: 1 },
    outputs: one,
  },
  'FusedMatMul with both': {
    opType: 'FusedMatMul',
    inputs: [floats(T, H, W), floats(7, H, W)],
    attributes: { transBatchA: 1, transBatchB: 1, transB: 1 },
    outputs: one,
  },
};

/** Rows of docs/formats.md: what was compared for each operator, and how far it was off. */
const found = new FormatRows('Fused operators', [
  'operator',
  'compared with ONNX Runtime for',
  'max abs error',
  'not supported, and why',
]);
const compared = new Map<string, { cases: string[]; error: number; refused: string[] }>();

function rowOf({ opType, domain }: Pick<Case, 'opType' | 'domain'>): {
  cases: string[];
  error: number;
  refused: string[];
} {
  const key = `${opType}${opType === 'Attention' && domain === '' ? ', opset 23 and 24' : ''}`;
  const row = compared.get(key) ?? { cases: [], error: 0, refused: [] };
  compared.set(key, row);
  return row;
}

function note({ opType, domain }: Case, name: string, error: number): void {
  const row = rowOf({ opType, domain });
  row.cases.push(name);
  row.error = Math.max(row.error, error);
}

afterAll(() => {
  for (const [operator, { cases, error, refused }] of compared)
    found.add(operator, cases.join('; ') || 'nothing', cases.length ? figure(error) : '', refused.join('; '));
  found.check();
});

describe('fused operators in their parts give what ONNX Runtime gives for the fused ones', () => {
  const device = nodeDevice('cpu', { threads: 1 });
  const errors = new Errors();
  afterAll(() => console.log(`unfuse, max abs: ${errors.text}`));

  for (const [family, cases] of Object.entries({
    multiHead,
    groupQuery,
    packed,
    quantised,
    integers,
    standard,
    other,
  })) {
    it.each(Object.entries(cases))(`${family}: %s`, async (name, test) => {
      const { error, nodes, operators } = await fusedAgainstParts(device, test);
      expect(nodes).toEqual([{ opType: test.opType, where: expect.any(String) as string }]);
      expect(operators).not.toContain(test.opType);
      expect(errors.add(family, error)).toBeLessThan(3e-6);
      note(test, name, error);
    });
  }
});

describe('what ONNX Runtime cannot run fused on the CPU', () => {
  const device = nodeDevice('cpu', { threads: 1 });
  const differ = (a: Record<string, Tensor>, b: Record<string, Tensor>): number =>
    Math.max(
      ...Object.keys(a).map((name) => maxAbs(a[name].data as Float32Array, b[name].data as Float32Array)),
    );

  /** [batch, tokens, heads × width] side by side per head: [batch, tokens, heads, parts, width]. */
  const pack = (...parts: ReturnType<typeof floats>[]): Tensor => {
    const [batch, tokens] = parts[0].dims;
    const out = floats(batch, tokens, H, parts.length, W);
    parts.forEach(({ data }, part) => {
      for (let i = 0; i < data.length; i++) {
        const row = Math.floor(i / W); // (batch, token, head)
        out.data[(row * parts.length + part) * W + (i % W)] = data[i];
      }
    });
    return out;
  };

  it.each([true, false])(
    'packed queries, keys and values are like separate ones, biases: %s',
    async (biased) => {
      const [q, k, v] = qkv();
    const bias = biased ? floats(3 * D) : null;
      const base = { opType: 'MultiHeadAttention', attributes: mha, outputs: one };
      const packed: Case = { ...base, inputs: [pack(q, k, v), null, null, bias] };
      await expect(runFused(device, packed)).rejects.toThrow(
        'Packed QKV of shape (B, L, N, 3, H) not implemented',
      );
      const apart = await runFused(device, { ...base, inputs: [q, k, v, bias] });
      const error = differ(await runParts(device, packed), apart);
      expect(error).toBeLessThan(1e-6);
      const how = 'fused from separate ones, since ONNX Runtime runs them packed on CUDA alone';
      note(packed, `queries, keys and values packed, ${biased ? 'with' : 'without'} biases (${how})`, error);
    },
  );

  it('packed keys and values are like separate ones', async () => {
    const [q, k, v] = qkv();
    const base = { opType: 'MultiHeadAttention', attributes: mha, outputs: one };
    const packed: Case = { ...base, inputs: [q, pack(k, v)] };
    await expect(runFused(device, packed)).rejects.toThrow('Packed KV not implemented');
    const error = differ(
      await runParts(device, packed),
      await runFused(device, { ...base, inputs: [q, k, v] }),
    );
    expect(error).toBeLessThan(1e-6);
    note(packed, 'keys and values packed (likewise)', error);
  });

  it('queries and keys that are normed inside are like ones normed before', async () => {
    const [q, k, v] = separate();
    const [queryNorm, keyNorm] = [floats(G), floats(G)];
    const rest = [...empty(), ...lengths(), ...angles()];
    const base = { opType: 'GroupQueryAttention', outputs: three };
    const attributes = { ...gqa, do_rotary: 1 };
    const inside: Case = {
      ...base,
      inputs: [q, k, v, ...rest, ...Array<null>(5).fill(null), queryNorm, keyNorm],
      attributes: { ...attributes, qk_norm_epsilon: { float: 1e-3 } },
    };
    await expect(runFused(device, inside)).rejects.toThrow('implemented only on the CUDA and WebGPU EPs');
    const before = [normedHeads(q, queryNorm.data, 1e-3), normedHeads(k, keyNorm.data, 1e-3), v, ...rest];
    const expected = await runFused(device, { ...base, inputs: before, attributes });
    const error = differ(await runParts(device, inside), expected);
    expect(error).toBeLessThan(3e-6);
    note(
      inside,
      'norms of queries and keys (fused behind norms; fused with them on WebGPU in a test of its own)',
      error,
    );
  });

  it('refuses Attention that adds rotary positions, so its parts could not be compared', async () => {
    const rotary: Case = {
      opType: 'Attention',
      inputs: [floats(B, T, 10), floats(10, 3 * H * G), floats(3 * H * G)],
      attributes: { ...mha, do_rotary: 1 },
      stored: [1, 2],
      outputs: one,
    };
    await expect(runFused(device, rotary)).rejects.toThrow(
      'Rotary embedding is not supported in Attention CPU',
    );
  });
});

/** Each head divided by its root mean square, times a weight, in float64. */
function normedHeads(
  { dims, data }: ReturnType<typeof floats>,
  scale: Float32Array,
  epsilon: number,
): Tensor {
  const out = Float32Array.from(data);
  for (let from = 0; from < data.length; from += scale.length) {
    let squares = 0;
    for (let i = 0; i < scale.length; i++) squares += data[from + i] ** 2;
    const size = Math.sqrt(squares / scale.length + epsilon);
    for (let i = 0; i < scale.length; i++) out[from + i] = (data[from + i] / size) * scale[i];
  }
  return { type: 'float32', dims, data: out };
}

describe('what is not understood stays as it was', () => {
  const kept = (test: Case): string | undefined => {
    const model = modelOf(test);
    const { model: same, nodes } = unfuse(model);
    expect(same.graph.nodes.map((node) => node.opType)).toEqual([test.opType]);
    return nodes[0].why;
  };

  const absent = Array<null>(5).fill(null);
  const refused: readonly (readonly [string, Case])[] = [
    [
      'cache in few bits',
      {
        opType: 'GroupQueryAttention',
        inputs: [...separate(), ...empty(), ...lengths(), ...absent, floats(1)],
        attributes: gqa,
        outputs: three,
      },
    ],
    [
      'norms only queries or only keys',
      {
        opType: 'GroupQueryAttention',
        inputs: [
          ...separate(),
          ...empty(),
          ...lengths(),
          ...angles(),
          ...Array<null>(5).fill(null),
          floats(G),
        ],
        attributes: { ...gqa, do_rotary: 1 },
        outputs: three,
      },
    ],
    [
      'cache as long as its window',
      {
        opType: 'GroupQueryAttention',
        inputs: [...separate(), ...empty(), ...lengths()],
        attributes: { ...gqa, sliding_window_cache: 1 },
        outputs: three,
      },
    ],
    [
      'mask of [7]',
      {
        opType: 'MultiHeadAttention',
        inputs: [...qkv(), null, int32s([7], ...Array<number>(7).fill(0))],
        attributes: mha,
        outputs: one,
      },
    ],
    [
      'one buffer',
      {
        opType: 'MultiHeadAttention',
        inputs: [
          ...qkv(),
          ...Array<null>(3).fill(null),
          floats(B, H, 9, W),
          floats(B, H, 9, W),
          int32s([1], 4),
        ],
        attributes: mha,
        outputs: three,
      },
    ],
    [
      'rotary positions itself',
      {
        opType: 'Attention',
        inputs: [floats(B, T, 10), floats(10, 3 * D), floats(3 * D)],
        attributes: { ...mha, do_rotary: 1 },
        stored: [1, 2],
        outputs: one,
      },
    ],
    [
      'one buffer',
      {
        opType: 'Attention',
        inputs: [floats(B, T, 10), floats(10, 3 * D), floats(3 * D)],
        attributes: { ...mha, past_present_share_buffer: 1 },
        stored: [1, 2],
        outputs: one,
      },
    ],
    [
      'mean or deviation',
      {
        opType: 'SkipSimplifiedLayerNormalization',
        inputs: [floats(B, T, D), floats(B, T, D), floats(D)],
        stored: [2],
        outputs: ['float32', 'float32'],
      },
    ],
  ];

  it.each(refused)('names the reason: %s', (words, test) => {
    const why = kept(test);
    expect(why).toContain(words);
    rowOf(test).refused.push(why!);
  });

  it.each(LEFT_AS_THEY_ARE)('$opType, which says why', ({ opType }) => {
    const why = kept({ opType, inputs: [floats(B, T, D)], attributes: mha, outputs: one });
    expect(why?.length).toBeGreaterThan(40);
    rowOf({ opType }).refused.push(why!);
  });

  it('leaves a model without fused operators alone', () => {
    const model = modelOf({ opType: 'FastGelu', inputs: [floats(2, 3)], outputs: one });
    expect(unfuse(model).model).toBe(model);
  });
});
