import { DataType } from '../../onnx/model.ts';
import type { GraphBuilder } from '../../onnx/build.ts';
import { attend, joinHeads, joinPast, splitHeads, type Stage } from './attention-parts.ts';
import { floatOf, inputsOf, intOf, lowest, numberAs, type Rule, type RuleContext } from './rule.ts';

/**
 * Attention of ONNX itself, from opset 23 on (https://onnx.ai/onnx/operators/onnx__Attention.html): heads on an axis of their own or side
 * by side, grouped keys and values, masks of truths or numbers, padded keys, and a cache.
 */
export const standardAttention: Rule = {
  opType: 'Attention',
  domain: '',
  rewrite(node, context) {
    const { g, known } = context;
    const [q, k, v, mask, pastKey, pastValue, realKeys] = inputsOf(node);
    const dims = (name: string | undefined): readonly number[] | undefined =>
      name === undefined ? undefined : known.get(name)?.dims;
    const [queries, keys] = [dims(q), dims(k)];
    if (q === undefined || k === undefined || v === undefined || !queries || !keys)
      return 'the shape of its queries and keys could not be worked out';
    const apart = queries.length === 4;
    const heads = apart ? queries[1] : intOf(node, 'q_num_heads', 0);
    const kvHeads = apart ? keys[1] : intOf(node, 'kv_num_heads', 0);
    if (!(heads > 0 && kvHeads > 0)) return 'it does not say how many heads it has';
    const split = (name: string, count: number): string => (apart ? name : splitHeads(g, name, count));
    const width = apart ? queries[3] : queries[2] / heads;
    const type = known.get(q)?.type ?? DataType.float;
    const allKeys = joinPast(g, pastKey, split(k, kvHeads), node.outputs[1]);
    const past = dims(pastKey)?.[2] ?? 0;
    const bias = mask === undefined ? [] : maskAsBias(context, mask, type, past + keys[apart ? 2 : 1]);
    if (typeof bias === 'string') return bias;
    if (realKeys !== undefined) bias.push(paddedKeys(g, realKeys, allKeys, type));
    const z = attend(g, {
      q: split(q, heads),
      k: allKeys,
      v: joinPast(g, pastValue, split(v, kvHeads), node.outputs[2]),
      heads,
      kvHeads,
      scale: node.attributes.has('scale') ? floatOf(node, 'scale', 0) : 1 / Math.sqrt(width),
      type,
      bias,
      softcap: floatOf(node, 'softcap', 0),
      causal: intOf(node, 'is_causal', 0) === 1,
      shown: node.outputs[3]
        ? { stage: STAGES[intOf(node, 'qk_matmul_output_mode', 0)], output: node.outputs[3] }
        : undefined,
    });
    if (apart) g.op('Identity', [z], {}, node.outputs[0]);
    else joinHeads(g, z, node.outputs[0]);
    return undefined;
  },
};

/** What the operator gives out as its fourth output, by qk_matmul_output_mode; ONNX Runtime caps before it masks. */
const STAGES: readonly Stage[] = ['product', 'capped', 'masked', 'pattern'];

/** Forbids the keys behind the first `counts` of each prompt, [batch]. */
function paddedKeys(g: GraphBuilder, counts: string, keys: string, type: number): string {
  const length = g.op('Gather', [g.op('Shape', [keys]), g.int(2)], { axis: 0 });
  const positions = g.op('Range', [g.int(0), length, g.int(1)]);
  const real = g.op('Less', [positions, g.axes('Unsqueeze', counts, [1, 2, 3])]);
  return g.op('Where', [real, numberAs(g, 0, type), numberAs(g, lowest(type), type)]);
}

/** What a mask adds to the scores, or why it is not understood. */
function maskAsBias({ g, known }: RuleContext, mask: string, type: number, keys: number): string[] | string {
  const given = known.get(mask);
  const dims = given?.dims;
  if (!dims || dims.length < 2 || (dims.at(-1) !== keys && dims.at(-1) !== 1))
    return `a mask of ${dims ? `[${dims.join(', ')}]` : 'unknown shape'} for ${keys} keys is not understood`;
  if (given.type === type) return [mask];
  if (given.type !== DataType.bool) return [g.op('Cast', [mask], { to: type })];
  return [g.op('Where', [mask, numberAs(g, 0, type), numberAs(g, lowest(type), type)])];
}
