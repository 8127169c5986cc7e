import { DataType, type Node } from '../../onnx/model.ts';
import { maskBias } from './attention-parts.ts';
import { floatOf, type RuleContext } from './rule.ts';

/** What the mask adds to the scores: a mask per key or per query and key, or the lengths of prompts padded on the right. */
export function paddingBias(
  node: Node,
  { g, known }: RuleContext,
  mask: string,
  type: number,
  k: string,
): { bias: string } | { why: string } {
  const filter = floatOf(node, 'mask_filter_value', -10000);
  const dims = known.get(mask)?.dims;
  const batch = known.get(node.inputs[0])?.dims?.[0];
  if (dims?.length === 2) return { bias: maskBias(g, g.axes('Unsqueeze', mask, [1, 2]), filter, type) };
  if (dims?.length === 3) return { bias: maskBias(g, g.axes('Unsqueeze', mask, [1]), filter, type) };
  if (dims?.length === 1 && dims[0] === batch) {
    const keys = g.op('Gather', [g.op('Shape', [k]), g.int(2)], { axis: 0 });
    const positions = g.op('Range', [g.int(0), keys, g.int(1)]);
    const lengths = g.axes('Unsqueeze', g.op('Cast', [mask], { to: DataType.int64 }), [1]);
    const inside = g.op('Greater', [lengths, positions]);
    return { bias: maskBias(g, g.axes('Unsqueeze', inside, [1, 2]), filter, type) };
  }
  const shape = dims ? `[${dims.join(', ')}]` : 'unknown shape';
  return { why: `a mask of ${shape} for ${batch} prompts is not understood` };
}
