import { DataType } from '../../onnx/model.ts';
import { attend, joinHeads, joinPast, splitHeads } from './attention-parts.ts';
import { floatOf, inputsOf, intOf, lowest, numberAs, type Rule, type RuleContext } from './rule.ts';

/**
 * Attention of ONNX itself, from opset 23 on (https://onnx.ai/onnx/operators/onnx__Attention.html): heads on an axis of their own or side
 * by side, grouped keys and values, masks of truths or numbers, and a cache.
 */
export const standardAttention: Rule = {
  opType: 'Attention',
  domain: '',
  rewrite(node, context) {
    const { g, known } = context;
    const [q, k, v, mask, pastKey, pastValue, realKeys] = inputsOf(node);
    if (realKeys !== undefined) return 'its keys are padded to a fixed number';
    if (node.outputs[3]) return 'it also gives out its scores';
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
    });
    if (apart) g.op('Identity', [z], {}, node.outputs[0]);
    else joinHeads(g, z, node.outputs[0]);
    return undefined;
  },
};

/** What a mask adds to the scores, or why it is not understood. */
function maskAsBias({ g, known }: RuleContext, mask: string, type: number, keys: number): string[] | string {
  const given = known.get(mask);
  const dims = given?.dims;
  if (!dims || dims.length < 2 || (dims.at(-1) !== keys && dims.at(-1) !== 1))
    return `a mask of ${dims ? `[${dims.join(', ')}]` : 'unknown shape'} for ${keys} keys is not understood`;
  if (given.type !== DataType.bool) return [mask];
  return [g.op('Where', [mask, numberAs(g, 0, type), numberAs(g, lowest(type), type)])];
}
