import { DataType } from '../../onnx/model.ts';
import { floatOf, inputsOf, type Rule } from './rule.ts';

/**
 * com.microsoft.EmbedLayerNormalization: word, position and segment embeddings, their sum and its norm
 * (https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.EmbedLayerNormalization).
 */
export const embedLayerNormalization: Rule = {
  opType: 'EmbedLayerNormalization',
  domain: 'com.microsoft',
  rewrite(node, { g }) {
    const [ids, segments, words, positions, types, gamma, beta, mask, positionIds] = inputsOf(
      node,
    ) as string[];
    const look = (table: string, at: string): string => g.op('Gather', [table, at], { axis: 0 });
    const shape = g.op('Shape', [ids]);
    const length = g.op('Gather', [shape, g.int(1)], { axis: 0 });
    const counted = g.axes('Unsqueeze', g.op('Range', [g.int(0), length, g.int(1)]), [0]);
    let sum = g.op('Add', [look(words, ids), look(positions, positionIds || counted)]);
    const named = node.outputs[2] || undefined;
    sum = g.op(types ? 'Add' : 'Identity', types ? [sum, look(types, segments)] : [sum], {}, named);
    const epsilon = { float: floatOf(node, 'epsilon', 1e-12) };
    g.op('LayerNormalization', [sum, gamma, beta], { axis: -1, epsilon }, node.outputs[0]);
    if (node.outputs[1]) {
      // how many tokens of each prompt are no padding; 0 when no mask is given, which the operator defines so
      const whole = mask ? g.op('Cast', [mask], { to: DataType.int64 }) : undefined;
      const batch = g.op('Slice', [shape, g.ints(0), g.ints(1)]);
      const counts = whole ? g.reduce('ReduceSum', whole, [1], false) : g.op('Expand', [g.int(0), batch]);
      g.op('Cast', [counts], { to: DataType.int32 }, node.outputs[1]);
    }
    return undefined;
  },
};
