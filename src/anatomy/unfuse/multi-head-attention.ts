import type { GraphBuilder } from '../../onnx/build.ts';
import { DataType, type Node } from '../../onnx/model.ts';
import { attend, joinHeads, joinPast, splitHeads } from './attention-parts.ts';
import { paddingBias } from './padding.ts';
import { floatOf, inputsOf, intOf, type Rule, type RuleContext } from './rule.ts';

/** q, k, v as [batch, heads, tokens, width]. */
interface Heads {
  readonly q: string;
  readonly k: string;
  readonly v: string;
}

/**
 * com.microsoft.MultiHeadAttention
 * (https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MultiHeadAttention), with separate or packed
 * queries, keys and values, biases, padding masks, an additive bias and a cache. Masked scores are treated as ONNX Runtime does it: padding adds
 * `mask_filter_value`, later tokens get the lowest number.
 */
export const multiHeadAttention: Rule = {
  opType: 'MultiHeadAttention',
  domain: 'com.microsoft',
  rewrite(node, context) {
    const { g, known } = context;
    const [query, , , , mask, attentionBias, pastKey, pastValue, pastLength, indirection] = inputsOf(node);
    if (pastLength !== undefined || indirection !== undefined)
      return 'it shares one buffer between cached and new keys';
    const width = query === undefined ? undefined : known.get(query)?.dims?.at(-1);
    if (query === undefined || width === undefined) return 'the shape of its queries could not be worked out';
    const heads = intOf(node, 'num_heads', 0);
    const type = known.get(query)?.type ?? DataType.float;
    const split = headsOf(node, context, heads);
    if (typeof split === 'string') return split;
    const headWidth = known.get(query)!.dims!.length === 3 ? width / heads : width;
    const bias = attentionBias === undefined ? [] : [attentionBias];
    if (mask !== undefined) {
      const padding = paddingBias(node, context, mask, type, split.k);
      if ('why' in padding) return padding.why;
      bias.push(padding.bias);
    }
    const z = attend(g, {
      q: split.q,
      k: joinPast(g, pastKey, split.k, node.outputs[1]),
      v: joinPast(g, pastValue, split.v, node.outputs[2]),
      heads,
      kvHeads: heads,
      scale: floatOf(node, 'scale', 0) || 1 / Math.sqrt(headWidth),
      type,
      bias,
      causal: intOf(node, 'unidirectional', 0) === 1,
      shown: node.outputs[3] ? { stage: 'masked', output: node.outputs[3] } : undefined,
    });
    joinHeads(g, z, node.outputs[0]);
    return undefined;
  },
};

/** Splits the inputs into heads, whatever way they are packed, with their biases; or says why they cannot be. */
function headsOf(node: Node, { g, known }: RuleContext, heads: number): Heads | string {
  const [query, key, value, bias] = inputsOf(node) as [string, ...(string | undefined)[]];
  const rank = (name: string | undefined): number | undefined =>
    name === undefined ? undefined : known.get(name)?.dims?.length;
  const width = known.get(query)!.dims!.at(-1)!;
  const ranks = [rank(query), rank(key), rank(value)].join();
  const turned = (x: string): string => g.op('Transpose', [x], { perm: [0, 2, 1, 3] });

  if (ranks === '5,,') {
    // [batch, tokens, heads, 3, width]
    const [q, k, v] = unpacked(g, query, 3);
    if (bias === undefined) return { q: turned(q), k: turned(k), v: turned(v) };
    const perHead = g.op('Reshape', [bias, g.ints(3, heads, width)]);
    const [bq, bk, bv] = g.ops('Split', [perHead], { axis: 0 }, 3);
    const added = [
      [q, bq],
      [k, bk],
      [v, bv],
    ].map(([x, b]) => turned(g.op('Add', [x, b])));
    return { q: added[0], k: added[1], v: added[2] };
  }
  const part = (from: number, to: number): string => g.op('Slice', [bias!, g.ints(from), g.ints(to)]);
  const withBias = (x: string, from: number, to: number): string =>
    bias === undefined ? x : g.op('Add', [x, part(from, to)]);
  const q = splitHeads(g, withBias(query, 0, width), heads);
  if (ranks === '3,5,') {
    if (bias !== undefined) return 'packed keys and values with a bias are not defined';
    const [k, v] = unpacked(g, key!, 2); // [batch, tokens, heads, 2, width]
    return { q, k: turned(k), v: turned(v) };
  }
  // finished keys and values have had their biases: ONNX Runtime adds the queries' alone
  if (ranks === '3,4,4') return { q, k: key!, v: value! };
  if (ranks === '3,3,3') {
    const k = splitHeads(g, withBias(key!, width, 2 * width), heads);
    return { q, k, v: splitHeads(g, withBias(value!, 2 * width, 1 << 30), heads) };
  }
  return `queries, keys and values with ${ranks.replaceAll(',', ', ')} axes are not understood`;
}

/** Takes the parts of [batch, tokens, heads, n, width] apart, each [batch, tokens, heads, width]. */
function unpacked(g: GraphBuilder, value: string, n: number): string[] {
  return Array.from({ length: n }, (_, i) => g.op('Gather', [value, g.int(i)], { axis: 3 }));
}
