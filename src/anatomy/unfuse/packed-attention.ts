import type { GraphBuilder } from '../../onnx/build.ts';
import { DataType, type Node } from '../../onnx/model.ts';
import { attend, joinHeads, joinPast, splitHeads } from './attention-parts.ts';
import { paddingBias } from './padding.ts';
import { floatOf, inputsOf, intOf, type Rule, type RuleContext } from './rule.ts';

/** What comes after the projection, which gives queries, keys and values side by side. */
interface Projected {
  /** [batch, tokens, the three widths] */
  readonly value: string;
  readonly columns: number;
  readonly type: number;
  readonly mask?: string;
  /** [2, batch, heads, tokens, width] */
  readonly past?: string;
  readonly attentionBias?: string;
}

const SHARED_BUFFER = 'it shares one buffer between cached and new keys';
const OWN_ROTARY =
  'it adds rotary positions itself, which ONNX Runtime has for CUDA alone (its CPU refuses them, its WebGPU leaves them out); export with RotaryEmbedding and MultiHeadAttention';

/**
 * com.microsoft.Attention: the projection to queries, keys and values and the attention in one
 * (https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.Attention).
 */
export const packedAttention: Rule = {
  opType: 'Attention',
  domain: 'com.microsoft',
  rewrite(node, context) {
    const { g, known } = context;
    const [input, weights, bias, mask, past, attentionBias, pastLength] = inputsOf(node);
    if (pastLength !== undefined) return SHARED_BUFFER;
    const columns = weights === undefined ? undefined : known.get(weights)?.dims?.[1];
    if (input === undefined || weights === undefined || columns === undefined)
      return 'the shape of its weights could not be worked out';
    const product = g.op('MatMul', [input, weights]);
    const value = bias === undefined ? product : g.op('Add', [product, bias]);
    const type = known.get(input)?.type ?? DataType.float;
    return attendProjected(node, context, { value, columns, type, mask, past, attentionBias });
  },
};

/**
 * com.microsoft.QAttention: the same with a projection of integers
 * (https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.QAttention).
 */
export const quantisedAttention: Rule = {
  opType: 'QAttention',
  domain: 'com.microsoft',
  rewrite(node, context) {
    const { g, known } = context;
    const [input, weights, bias, inputScale, weightScale, mask, inputZero, weightZero, past] = inputsOf(
      node,
    ) as string[];
    const columns = known.get(weights)?.dims?.[1];
    if (columns === undefined) return 'the shape of its weights could not be worked out';
    const zeros = weightZero ? [inputZero || '', weightZero] : inputZero ? [inputZero] : [];
    const integers = g.op('MatMulInteger', [input, weights, ...zeros]);
    const scale = g.op('Mul', [inputScale, weightScale]);
    const product = g.op('Mul', [g.op('Cast', [integers], { to: DataType.float }), scale]);
    const value = g.op('Add', [product, bias]);
    return attendProjected(node, context, { value, columns, type: DataType.float, mask, past });
  },
};

function attendProjected(node: Node, context: RuleContext, projected: Projected): string | undefined {
  const { g } = context;
  const { value, columns, type, mask, past, attentionBias } = projected;
  if (intOf(node, 'past_present_share_buffer', 0) === 1) return SHARED_BUFFER;
  if (intOf(node, 'do_rotary', 0) === 1) return OWN_ROTARY;
  const heads = intOf(node, 'num_heads', 1);
  const sizes = node.attributes.get('qkv_hidden_sizes')?.ints ?? [columns / 3, columns / 3, columns / 3];
  if (!sizes.every((size) => Number.isInteger(size / heads)))
    return `${columns} columns of weights are not those of ${heads} heads, so how wide its heads are is not known`;
  const part = (from: number, size: number): string =>
    splitHeads(g, g.op('Slice', [value, g.ints(from), g.ints(from + size), g.ints(2)]), heads);
  const q = part(0, sizes[0]);
  const k = withPast(g, past, 0, part(sizes[0], sizes[1]));
  const v = withPast(g, past, 1, part(sizes[0] + sizes[1], sizes[2]));
  if (node.outputs[1]) {
    const both = [k, v].map((x) => g.axes('Unsqueeze', x, [0]));
    g.op('Concat', both, { axis: 0 }, node.outputs[1]);
  }
  const bias = attentionBias === undefined ? [] : [attentionBias];
  if (mask) {
    const padding = paddingBias(node, context, mask, type, k);
    if ('why' in padding) return padding.why;
    bias.push(padding.bias);
  }
  const z = attend(g, {
    q,
    k,
    v,
    heads,
    kvHeads: heads,
    scale: floatOf(node, 'scale', 0) || 1 / Math.sqrt(sizes[0] / heads),
    type,
    bias,
    causal: intOf(node, 'unidirectional', 0) === 1,
  });
  joinHeads(g, z, node.outputs[0]);
  return undefined;
}

/** Keys (0) or values (1) of a cache [2, batch, heads, tokens, width], and the new ones behind them. */
function withPast(g: GraphBuilder, past: string | undefined, which: number, value: string): string {
  return joinPast(g, past && g.op('Gather', [past, g.int(which)], { axis: 0 }), value, undefined);
}
