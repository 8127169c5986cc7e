import type { Node } from '../onnx/model.ts';
import type { HeadValue, Unrecognised } from './anatomy.ts';
import { isFixed, isPositions, isTokens, type Shapes } from './axes.ts';
import { operands, shapeText, type AttentionCore } from './cores.ts';
import type { GraphIndex } from './graph-index.ts';
import type { Implicit } from './implicit-patterns.ts';
import { headShape, squareShape } from './layouts.ts';
import { isInnerProduct, isShaping, nodeName, otherInput } from './operators.ts';

/** Operators that a product of queries and keys may pass on the way to the values where no softmax is among them. */
const ON_THE_WAY =
  /^(Add|Sub|Mul|Div|Where|Cast|Relu|Sigmoid|HardSigmoid|Tanh|Elu|Exp|Softplus|Pow|Abs|Max|Clip|Dropout|Identity|Reshape|Transpose)$/;
/** Those of them that make weights of scores; the rest scale, add and mask. */
const WEIGHING = /^(Relu|Sigmoid|HardSigmoid|Tanh|Elu|Exp|Softplus|Pow|Abs|Max|Clip)$/;

/** The way from a product of queries and keys to the product with the values. */
interface Way {
  /** From the first product's result to what the values are multiplied with. */
  readonly values: readonly string[];
  /** The operators between them, one fewer. */
  readonly nodes: readonly Node[];
  readonly mixing: Node;
}

export interface WithoutSoftmax {
  readonly cores: readonly AttentionCore[];
  /** Softmaxes that queries and keys went through before they were multiplied. */
  readonly softmaxes: ReadonlySet<Node>;
  readonly unrecognised: readonly Unrecognised[];
}

/**
 * Attention without a softmax: scores that are multiplied with the values as they are or after another function, such as ReLU or sigmoid. The
 * pattern is what the values are multiplied with. Where keys meet values first, no pattern exists, and that is said.
 *
 * @param implicit what was worked out of products of keys and values
 */
export function attentionWithoutSoftmax(
  index: GraphIndex,
  shapes: Shapes,
  implicit: Implicit,
): WithoutSoftmax {
  const cores: AttentionCore[] = [];
  const softmaxes = new Set<Node>();
  const unrecognised: Unrecognised[] = [];
  for (const node of index.model.graph.nodes) {
    if (!isInnerProduct(index, node)) continue;
    if (implicit.products.has(node.outputs[0])) continue;
    if (isLinear(index, shapes, node)) {
      const why =
        'keys and values are multiplied before queries are, and how queries meet them does not give a pattern of queries × keys';
      unrecognised.push({ what: 'linear attention', where: nodeName(node), why });
      continue;
    }
    const axes = shapes.axes(node.outputs[0]);
    const square = axes && squareShape(axes);
    if (!square || !isTokens(square.queries) || !isPositions(square.keys)) continue;
    const way = wayToValues(index, node);
    if (!way) continue;
    const found = readDirectCore(index, shapes, way, implicit.patterns);
    if ('core' in found) {
      cores.push(found.core);
      for (const operand of node.inputs) {
        const softmax = softmaxOf(index, operand);
        if (softmax) softmaxes.add(softmax);
      }
    } else
      unrecognised.push({
        what: 'attention without a softmax',
        where: nodeName(node),
        why: `queries and keys are multiplied and go through ${way.nodes.map(({ opType }) => opType).join(', ') || 'nothing'} to the values; ${found.why}`,
      });
  }
  return { cores, softmaxes, unrecognised };
}

/** keysᵀ · values: the tokens are summed over, and what remains has none. */
function isLinear(index: GraphIndex, shapes: Shapes, node: Node): boolean {
  const [left, right] = node.inputs.map((input) => shapes.axes(input));
  const out = shapes.axes(node.outputs[0]);
  if (!/^(MatMul|Einsum)$/.test(node.opType) || !left || !right || !out || out.length < 3) return false;
  const none = out.every((axis) => axis && !axis.tokens && !axis.either && !axis.source);
  if (!none || !node.inputs.every((input) => index.readsText(input))) return false;
  if (node.opType === 'Einsum') return left.some(isPositions) && right.some(isPositions);
  const [rows, summed] = left.slice(-2);
  return isPositions(summed) && isFixed(rows) && !rows.either && isFixed(right[right.length - 1]);
}

/** From a product to another that it is the left side of; undefined when there is none without a softmax between. */
function wayToValues(index: GraphIndex, product: Node): Way | undefined {
  let frontier: Omit<Way, 'mixing'>[] = [{ values: [product.outputs[0]], nodes: [] }];
  const seen = new Set<string>();
  for (let step = 0; step < 10 && frontier.length; step++) {
    const next: typeof frontier = [];
    for (const { values, nodes } of frontier) {
      const value = values[values.length - 1];
      for (const node of index.consumers(value)) {
        if (isInnerProduct(index, node) && (node.inputs[0] === value || node.opType === 'Einsum'))
          return { values, nodes, mixing: node };
        const out = node.outputs[0];
        if (!ON_THE_WAY.test(node.opType) || seen.has(out)) continue;
        seen.add(out);
        next.push({ values: [...values, out], nodes: [...nodes, node] });
      }
    }
    frontier = next;
  }
  return undefined;
}

function readDirectCore(
  index: GraphIndex,
  shapes: Shapes,
  { values, nodes, mixing }: Way,
  implicit: ReadonlySet<string>,
): { readonly core: AttentionCore } | { readonly why: string } {
  const pattern = values[values.length - 1];
  const axes = shapes.axes(pattern);
  const square = axes && squareShape(axes);
  if (!square)
    return {
      why: `what the values are multiplied with has the shape [${shapeText(shapes, pattern)}], which is not heads × queries × keys`,
    };
  const mixed = otherInput(mixing, pattern);
  if (!index.readsText(mixed)) return { why: 'the values do not depend on the text' };
  const z = mixing.outputs[0];
  const zAxes = shapes.axes(z);
  const zShape = zAxes && headShape(zAxes, square.queries, 1);
  if (!zShape || zShape.heads !== square.heads)
    return {
      why: `the mixed values have the shape [${shapeText(shapes, z)}], which is not ${square.heads} heads`,
    };
  const product = index.producer(values[0])!;
  // positions of keys and features of queries sum to 1, and so do the rows of their product
  const shares = nodes.length === 0 && product.inputs.every((operand) => softmaxOf(index, operand));
  const divided = nodes.some((node, i) => isRowFactor(shapes, node, values[i]));
  const weighing = nodes.findIndex(
    (node, i) => WEIGHING.test(node.opType) || isRowFactor(shapes, node, values[i]),
  );
  const scores = values[Math.max(weighing, 0)];
  const scoresShape = squareShape(shapes.axes(scores) ?? []);
  if (scoresShape?.heads !== square.heads)
    return { why: 'scores and pattern disagree about the number of heads' };
  const value = (name: string, layout: HeadValue['layout']): HeadValue => ({
    value: name,
    layout,
    heads: square.heads,
  });
  return {
    core: {
      weighing: index.producer(pattern)!,
      without: implicit.has(pattern) ? 'implicit' : 'direct',
      freeRows: !divided && !shares,
      queries: square.queries,
      keys: square.keys,
      heads: square.heads,
      headDim: zShape.width,
      scores: value(scores, scoresShape.layout),
      pattern: value(pattern, square.layout),
      z: value(z, zShape.layout),
      product: values[0],
      ...operands(index, product, [...values].reverse()),
      mixed,
      ...(nodes.some((node, i) => countsTokens(shapes, node, values[i])) && { countsTokens: true }),
    },
  };
}

/** The softmax that gave an operand, if one did. */
function softmaxOf(index: GraphIndex, operand: string): Node | undefined {
  let node = index.producer(operand);
  for (let step = 0; step < 6 && node && isShaping(node, node.inputs[0]); step++)
    node = index.producer(node.inputs[0]);
  return node?.opType === 'Softmax' ? node : undefined;
}

/** True for a factor with one number for each query, such as what makes rows sum to 1. */
function isRowFactor(shapes: Shapes, node: Node, value: string): boolean {
  if (node.opType !== 'Div' && node.opType !== 'Mul') return false;
  if (node.opType === 'Div' && node.inputs[0] !== value) return false;
  const factor = shapes.axes(otherInput(node, value));
  const last = factor?.at(-1);
  const perQuery = factor?.some((axis) => axis && (axis.tokens || axis.either || axis.source));
  return isFixed(last) && last.size === 1 && perQuery === true;
}

/** True for a factor that is another number for prompts of another length. */
function countsTokens(shapes: Shapes, node: Node, value: string): boolean {
  if (!/^(Mul|Div|Add|Sub|Pow)$/.test(node.opType)) return false;
  const other = otherInput(node, value);
  return shapes.elements(other) === 1 && shapes.varies(other);
}
