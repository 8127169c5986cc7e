import type { Node } from '../onnx/model.ts';
import type { HeadValue } from './anatomy.ts';
import type { Axis, Shapes } from './axes.ts';
import type { GraphIndex } from './graph-index.ts';
import { headShape } from './layouts.ts';
import { scaledInput } from './operators.ts';

const SHAPING =
  /^(Reshape|Expand|Tile|Unsqueeze|Transpose|Cast|CastLike|Identity|Squeeze|Concat|Gather|Dropout|QuantizeLinear|DequantizeLinear)$/;

/** True when a transposition swaps the two last axes. */
const turns = (node: Node): boolean => {
  const perm = node.opType === 'Transpose' ? node.attributes.get('perm')?.ints : undefined;
  return perm !== undefined && perm[perm.length - 1] === perm.length - 2;
};

/** Where a step back from `node` leads, when the node only copies, reorders or scales what it reads. */
function stepBack(
  index: GraphIndex,
  shapes: Shapes,
  node: Node,
): { from: string; scaled: boolean } | undefined {
  const scaled = scaledInput(index, shapes, node);
  if (scaled !== undefined) {
    // the scale of a quantised product depends on the prompt; it belongs to the value
    const by = node.inputs[0] === scaled ? node.inputs[1] : node.inputs[0];
    return index.readsText(by) ? undefined : { from: scaled, scaled: true };
  }
  if (!SHAPING.test(node.opType)) return undefined;
  if (node.opType === 'Gather') {
    return index.isConstant(node.inputs[1]) ? { from: node.inputs[0], scaled: false } : undefined;
  }
  if (node.opType !== 'Concat') return { from: node.inputs[0], scaled: false };
  // joined with an empty cache: the part that is there; one that repeats heads has the same part several times
  const parts = new Set(node.inputs.filter((input) => shapes.elements(input) > 0));
  return parts.size === 1 ? { from: [...parts][0], scaled: false } : undefined;
}

/**
 * Goes back from queries, keys or values as they are multiplied to where each head exists once and before the scale 1/√d: the value that
 * the field calls q, k or v. Positions added by rotation stay in.
 *
 * @param operand what is multiplied
 * @param length the axis of positions
 * @param turned the operand has its positions last, as keys have in a plain product
 */
export function findHeadValue(
  index: GraphIndex,
  shapes: Shapes,
  operand: string,
  length: Axis,
  turned: boolean,
): HeadValue | undefined {
  let best: HeadValue | undefined;
  let width: number | undefined;
  let scaled = false;
  let smallest = shapes.elements(operand);
  let at = operand;
  let turnedNow = turned;
  for (let step = 0; step < 24; step++) {
    const axes = shapes.axes(at);
    const elements = shapes.elements(at);
    if (!axes || !(elements <= smallest)) break; // only copies may be undone: more numbers are another value
    smallest = elements;
    // what is multiplied ends in [positions, width]; only further back may heads and width share an axis
    const shape = headShape(axes, length, best?.heads ?? 1, turnedNow);
    width ??= shape?.width;
    if (
      shape &&
      shape.width === width &&
      (best === undefined || shape.heads < best.heads || (scaled && shape.heads === best.heads))
    ) {
      best = { value: at, layout: shape.layout, heads: shape.heads };
      scaled = false;
    }
    const node = index.producer(at);
    const back = node && stepBack(index, shapes, node);
    if (!back) break;
    at = back.from;
    if (turns(node)) turnedNow = !turnedNow;
    scaled ||= back.scaled;
  }
  return best;
}
