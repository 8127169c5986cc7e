import type { GraphBuilder } from '../../onnx/build.ts';
import { DataType, type Node } from '../../onnx/model.ts';
import { attend, joinHeads, joinPast, splitHeads, type Parts, type Stage } from './attention-parts.ts';
import { rotate } from './rotary.ts';
import { floatOf, inputsOf, intOf, type Rule, type RuleContext } from './rule.ts';

/**
 * com.microsoft.GroupQueryAttention
 * (https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GroupQueryAttention) for a whole prompt without
 * a cache, or with one that grows by concatenation: separate or packed inputs, norms of queries and keys, rotary positions, a local window,
 * soft-cap, sinks and an additive bias.
 * Padding on the right needs no mask, since later tokens are not seen; `seqlens_k` is not looked at.
 */
export const groupQueryAttention: Rule = {
  opType: 'GroupQueryAttention',
  domain: 'com.microsoft',
  rewrite(node, context) {
    const { g, known } = context;
    const [query, , , pastKey, pastValue] = inputsOf(node);
    const why = unsupported(node);
    if (why) return why;
    const heads = intOf(node, 'num_heads', 0);
    const kvHeads = intOf(node, 'kv_num_heads', 0);
    const type = query === undefined ? undefined : known.get(query)?.type;
    const split = headsOf(node, context, heads, kvHeads);
    if (!split || type === undefined) return 'the shape of its queries could not be worked out';
    const turned = withRotary(node, g, withNorms(node, g, split), pastKey);
    const z = attend(g, {
      q: turned.q,
      k: joinPast(g, pastKey, turned.k, node.outputs[1]),
      v: joinPast(g, pastValue, split.v, node.outputs[2]),
      heads,
      kvHeads,
      scale: floatOf(node, 'scale', 0) || 1 / Math.sqrt(split.width),
      type,
      softcap: floatOf(node, 'softcap', 0),
      bias: node.inputs[10] ? [node.inputs[10]] : [],
      causal: intOf(node, 'causal', 1) === 1,
      sink: sinkOf(node),
      shown: node.outputs[3]
        ? { stage: SHOWN[intOf(node, 'qk_output', 0)], output: node.outputs[3] }
        : undefined,
      window: intOf(node, 'local_window_size', -1) > 0 ? intOf(node, 'local_window_size', -1) : undefined,
    });
    joinHeads(g, z, node.outputs[0]);
    return undefined;
  },
};

/** What the operator gives out as its fourth output, by qk_output. */
const SHOWN: readonly Stage[] = ['product', 'seen', 'pattern'];

function unsupported(node: Node): string | undefined {
  if (!node.inputs[14] !== !node.inputs[15])
    return 'it norms only queries or only keys, which ONNX Runtime does not allow';
  if (
    node.inputs[12] ||
    node.inputs[13] ||
    (node.attributes.get('k_quant_type')?.string ?? 'NONE') !== 'NONE'
  )
    return 'it keeps its cache in few bits';
  if (intOf(node, 'sliding_window_cache', 0) === 1) return 'it keeps a cache as long as its window';
  return undefined;
}

/** Softmax may count one score more, that belongs to no key. */
function sinkOf(node: Node): Parts['sink'] {
  if (node.inputs[11]) return { perHead: node.inputs[11] };
  return intOf(node, 'smooth_softmax', 0) === 1 ? 'zero' : undefined;
}

interface Heads {
  readonly q: string;
  readonly k: string;
  readonly v: string;
  readonly width: number;
}

function headsOf(node: Node, { g, known }: RuleContext, heads: number, kvHeads: number): Heads | undefined {
  const [query, key, value] = inputsOf(node);
  const columns = query === undefined ? undefined : known.get(query)?.dims?.at(-1);
  if (query === undefined || columns === undefined || !heads || !kvHeads) return undefined;
  if (key !== undefined && value !== undefined) {
    const [q, k, v] = [
      splitHeads(g, query, heads),
      splitHeads(g, key, kvHeads),
      splitHeads(g, value, kvHeads),
    ];
    return { q, k, v, width: columns / heads };
  }
  const width = columns / (heads + 2 * kvHeads);
  const part = (from: number, count: number): string =>
    splitHeads(
      g,
      g.op('Slice', [query, g.ints(from * width), g.ints((from + count) * width), g.ints(2)]),
      count,
    );
  return { q: part(0, heads), k: part(heads, kvHeads), v: part(heads + kvHeads, kvHeads), width };
}

/** Queries and keys divided by their root mean square, head by head, before they are turned; ONNX Runtime does so on GPUs alone. */
function withNorms(node: Node, g: GraphBuilder, heads: Heads): Heads {
  const [queryNorm, keyNorm] = [node.inputs[14], node.inputs[15]];
  if (!queryNorm || !keyNorm) return heads;
  const epsilon = { float: floatOf(node, 'qk_norm_epsilon', 1e-6) };
  const norm = (value: string, scale: string): string =>
    g.op('SimplifiedLayerNormalization', [value, scale], { axis: -1, epsilon });
  return { ...heads, q: norm(heads.q, queryNorm), k: norm(heads.k, keyNorm) };
}

/** Queries and keys turned by their positions; a cache holds keys that are turned already. */
function withRotary(
  node: Node,
  g: GraphBuilder,
  heads: Heads,
  pastKey: string | undefined,
): { q: string; k: string } {
  if (intOf(node, 'do_rotary', 0) !== 1) return heads;
  const [, , , , , , , cos, sin, positions] = inputsOf(node) as string[];
  const length = (value: string): string => g.op('Gather', [g.op('Shape', [value]), g.int(2)], { axis: 0 });
  const counted = g.op('Range', [g.int(0), length(heads.q), g.int(1)]);
  const from = pastKey === undefined ? counted : g.op('Add', [counted, length(pastKey)]);
  const at = positions ? g.op('Cast', [positions], { to: DataType.int64 }) : g.axes('Unsqueeze', from, [0]);
  const table = (cache: string): string => g.axes('Unsqueeze', g.op('Gather', [cache, at], { axis: 0 }), [1]);
  const angles = {
    cos: table(cos),
    sin: table(sin),
    interleaved: intOf(node, 'rotary_interleaved', 0) === 1,
  };
  return { q: rotate(g, heads.q, angles), k: rotate(g, heads.k, angles) };
}
