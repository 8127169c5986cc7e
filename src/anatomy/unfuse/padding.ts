import { DataType, type Node } from '../../onnx/model.ts';
import { maskBias } from './attention-parts.ts';
import { floatOf, type RuleContext } from './rule.ts';

/**
 * What the mask adds to the scores: a mask per key or per query and key, or where each prompt's keys end, [batch]; behind that may come where
 * they begin, [2 · batch], or where queries and keys lie in a buffer without padding, [3 · batch + 2], which the result does not depend on.
 */
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
  if (dims?.length === 1 && batch !== undefined && [batch, 2 * batch, 3 * batch + 2].includes(dims[0])) {
    const keys = g.op('Gather', [g.op('Shape', [k]), g.int(2)], { axis: 0 });
    const positions = g.op('Range', [g.int(0), keys, g.int(1)]);
    const count = g.op('Slice', [g.op('Shape', [node.inputs[0]]), g.ints(0), g.ints(1)]);
    const bounds = g.op('Cast', [mask], { to: DataType.int64 });
    const perPrompt = (from: string, to: string): string =>
      g.axes('Unsqueeze', g.op('Slice', [bounds, from, to]), [1]);
    let inside = g.op('Greater', [perPrompt(g.ints(0), count), positions]);
    if (dims[0] === 2 * batch) {
      const before = g.op('Greater', [perPrompt(count, g.ints(1 << 30)), positions]);
      inside = g.op('And', [inside, g.op('Not', [before])]);
    }
    return { bias: maskBias(g, g.axes('Unsqueeze', inside, [1, 2]), filter, type) };
  }
  const shape = dims ? `[${dims.join(', ')}]` : 'unknown shape';
  return { why: `a mask of ${shape} for ${batch} prompts is not understood` };
}
