import type { Node } from '../onnx/model.ts';
import type { Unrecognised } from './anatomy.ts';
import { isFixed, isTokens, type Shapes } from './axes.ts';
import type { GraphIndex } from './graph-index.ts';
import { squareShape } from './layouts.ts';
import { isInnerProduct, nodeName } from './operators.ts';

/** Operators that a product of queries and keys may pass on the way to the values where no softmax is among them. */
const ON_THE_WAY =
  /^(Add|Sub|Mul|Div|Where|Cast|Relu|Sigmoid|HardSigmoid|Tanh|Elu|Exp|Softplus|Pow|Abs|Max|Clip|Dropout|Identity|Reshape|Transpose)$/;

/** Attention of other kinds than the usual: what has no softmax, or no pattern at all. */
export function attentionWithoutSoftmax(index: GraphIndex, shapes: Shapes): Unrecognised[] {
  return index.model.graph.nodes.flatMap((node): Unrecognised[] => {
    if (!isInnerProduct(index, node)) return [];
    if (isLinear(index, shapes, node))
      return [
        {
          what: 'linear attention',
          where: nodeName(node),
          why: 'keys and values are multiplied before queries are, so there is no pattern of queries × keys',
        },
      ];
    const axes = shapes.axes(node.outputs[0]);
    const square = axes && squareShape(axes);
    if (!square || !isTokens(square.queries) || !isTokens(square.keys)) return [];
    const through = waysToValues(index, node);
    if (!through) return [];
    return [
      {
        what: 'attention without a softmax',
        where: nodeName(node),
        why: `queries and keys are multiplied and go through ${through.length ? through.join(', ') : 'nothing'} to the values; only attention whose rows are normalised by a softmax is read`,
      },
    ];
  });
}

/** keysᵀ · values: the tokens are summed over, and what remains has none. */
function isLinear(index: GraphIndex, shapes: Shapes, node: Node): boolean {
  const [left, right] = node.inputs.map((input) => shapes.axes(input));
  const out = shapes.axes(node.outputs[0]);
  if (node.opType !== 'MatMul' || !left || !right || !out || out.length < 3) return false;
  const sums = isTokens(left[left.length - 1]) && isFixed(left[left.length - 2]);
  const none = out.every((axis) => axis && !axis.tokens && !axis.either && !axis.source);
  const reads = node.inputs.every((input) => index.readsText(input));
  return sums && none && reads && isFixed(right[right.length - 1]) && !left[left.length - 2]!.either;
}

/** Operators from a product to another that it is the left side of; undefined when there is none without a softmax between. */
function waysToValues(index: GraphIndex, product: Node): string[] | undefined {
  let frontier: { value: string; through: string[] }[] = [{ value: product.outputs[0], through: [] }];
  const seen = new Set<string>();
  for (let step = 0; step < 10 && frontier.length; step++) {
    const next: typeof frontier = [];
    for (const { value, through } of frontier)
      for (const node of index.consumers(value)) {
        if (isInnerProduct(index, node) && node.inputs[0] === value) return through;
        if (!ON_THE_WAY.test(node.opType) || seen.has(node.outputs[0])) continue;
        seen.add(node.outputs[0]);
        next.push({ value: node.outputs[0], through: [...through, node.opType] });
      }
    frontier = next;
  }
  return undefined;
}
