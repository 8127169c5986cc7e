import type { Node } from '../onnx/model.ts';
import type { HeadValue } from './anatomy.ts';
import type { Axis, Shapes } from './axes.ts';
import { einsumOperands } from './einsum.ts';
import type { GraphIndex } from './graph-index.ts';
import { headShape, squareShape, type SquareShape } from './layouts.ts';
import { isInnerProduct } from './operators.ts';

/** The core of one attention block: scores → softmax → pattern → z, and the values that are multiplied. */
export interface AttentionCore {
  /** The softmax; without one, the operator that gives the pattern. */
  readonly weighing: Node;
  /** Set where there is no softmax: the pattern is in the file, or was worked out from a product of keys and values. */
  readonly without?: 'direct' | 'implicit';
  /** Nothing makes the rows of the pattern sum to 1. */
  readonly freeRows?: boolean;
  /** Scores are changed by the number of tokens. */
  readonly countsTokens?: boolean;
  readonly queries: Axis;
  readonly keys: Axis;
  readonly heads: number;
  readonly headDim: number;
  readonly scores: HeadValue;
  readonly pattern: HeadValue;
  readonly z: HeadValue;
  /** The result of the product of queries and keys. */
  readonly product: string;
  /** The operands of the two products; queries and keys are absent when it cannot be told which is which. */
  readonly query?: string;
  readonly key?: string;
  readonly mixed: string;
}

export type Finding = { readonly core: AttentionCore } | { readonly why: string };

/** Operators between the product of queries and keys and the softmax; the second kind only when the first finds nothing. */
const SCORE_OPS =
  /^(Add|Sub|Mul|Div|Where|Cast|CastLike|Tanh|Reshape|Identity|Min|Max|Clip|Softcap|Squeeze|Unsqueeze|Transpose|Dropout|QuantizeLinear|DequantizeLinear)$/;
const MORE_SCORE_OPS = /^(Concat|Slice|Pad)$/;

/** Goes back from the softmax to the product of queries and keys. Values on the way come with it, the softmax's input first. */
export function findProduct(index: GraphIndex, start: string): { node: Node; path: string[] } | undefined {
  const seen = new Set<string>();
  const search = (
    value: string,
    more: boolean,
    path: string[],
  ): { node: Node; path: string[] } | undefined => {
    const node = index.producer(value);
    if (!node || path.length > 24 || seen.has(value)) return undefined;
    seen.add(value);
    const here = [...path, value];
    if (isInnerProduct(index, node)) return { node, path: here };
    if (!SCORE_OPS.test(node.opType) && !(more && MORE_SCORE_OPS.test(node.opType))) return undefined;
    for (const input of node.inputs) {
      if (input === '' || index.isConstant(input)) continue;
      const found = search(input, more, here);
      if (found) return found;
    }
    return undefined;
  };
  const found = search(start, false, []);
  seen.clear();
  return found ?? search(start, true, []);
}

/** Operators that the pattern may pass before it is multiplied with the values. */
const PATTERN_OPS =
  /^(Dropout|Cast|CastLike|Identity|Where|Mul|Reshape|Slice|Transpose|Squeeze|Unsqueeze|QuantizeLinear|DequantizeLinear)$/;

/**
 * From the softmax through dropout, casts, the guard against rows without keys and what calibrates it to the product with the values, which
 * know nothing of the pattern.
 */
function findMixing(index: GraphIndex, softmax: string): { pattern: string; node: Node } | undefined {
  const isMixing = (node: Node, pattern: string): boolean =>
    isInnerProduct(index, node) &&
    (node.inputs[0] === pattern || node.opType === 'Einsum') &&
    !node.inputs.some((input) => input !== pattern && index.dependsOn(input, softmax));
  let frontier = [softmax];
  const seen = new Set(frontier);
  for (let step = 0; step < 8 && frontier.length; step++) {
    const next: string[] = [];
    for (const pattern of frontier) {
      for (const node of index.consumers(pattern)) {
        if (isMixing(node, pattern)) return { pattern, node };
        if (!PATTERN_OPS.test(node.opType) || seen.has(node.outputs[0])) continue;
        seen.add(node.outputs[0]);
        next.push(node.outputs[0]);
      }
    }
    frontier = next;
  }
  return undefined;
}

/** True when the two last axes change places on the way: then queries and keys have changed places too. */
function turned(index: GraphIndex, path: readonly string[]): boolean {
  return path.some((value) => {
    const node = index.producer(value);
    const perm = node?.opType === 'Transpose' ? node.attributes.get('perm')?.ints : undefined;
    return perm !== undefined && perm[perm.length - 1] === perm.length - 2;
  });
}

/** Reads the attention block around one softmax, or says why this softmax is none. */
export function readCore(index: GraphIndex, shapes: Shapes, softmax: Node): Finding {
  const output = softmax.outputs[0];
  const rank = shapes.axes(output)?.length;
  if (rank === undefined) return { why: 'the shape of its result could not be worked out' };
  const axis = softmax.attributes.get('axis')?.int ?? ((index.model.opsets.get('') ?? 1) >= 13 ? -1 : 1);
  if (axis !== -1 && axis !== rank - 1) return { why: `it normalises axis ${axis}, not the keys` };
  const product = findProduct(index, softmax.inputs[0]);
  if (!product) return { why: 'its input is not a product of queries and keys' };
  const mixing = findMixing(index, output);
  if (!mixing) return { why: 'its result is not multiplied with values' };

  const square = (value: string): SquareShape | undefined => {
    const axes = shapes.axes(value);
    return axes && squareShape(axes);
  };
  const pattern = square(mixing.pattern);
  if (shapes.axes(mixing.pattern)?.at(-1)?.batch)
    return {
      why: 'its keys are the prompts of a batch, not the positions of one; the file takes one for the other',
    };
  if (!pattern)
    return {
      why: `its result has the shape [${shapeText(shapes, mixing.pattern)}], which is not heads × queries × keys`,
    };
  const scores = product.path.find((value) => square(value)?.heads === pattern.heads);
  if (scores === undefined) return { why: 'scores and pattern disagree about the number of heads' };
  const z = mixing.node.outputs[0];
  const zAxes = shapes.axes(z);
  const zShape = zAxes && headShape(zAxes, pattern.queries, 1);
  if (!zShape || zShape.heads !== pattern.heads)
    return {
      why: `the mixed values have the shape [${shapeText(shapes, z)}], which is not ${pattern.heads} heads`,
    };

  const value = (name: string, layout: HeadValue['layout']): HeadValue => ({
    value: name,
    layout,
    heads: pattern.heads,
  });
  return {
    core: {
      weighing: softmax,
      queries: pattern.queries,
      keys: pattern.keys,
      heads: pattern.heads,
      headDim: zShape.width,
      scores: value(scores, square(scores)!.layout),
      pattern: value(mixing.pattern, pattern.layout),
      z: value(z, zShape.layout),
      product: product.node.outputs[0],
      ...operands(index, product.node, product.path),
      mixed: mixing.node.inputs.find((input) => input !== mixing.pattern) ?? mixing.node.inputs[1],
    },
  };
}

/**
 * What a product of queries and keys multiplies; nothing when it cannot be told which is which.
 * @param path values on the way from what the product is needed for back to it
 */
export function operands(
  index: GraphIndex,
  node: Node,
  path: readonly string[],
): { query?: string; key?: string } {
  if (turned(index, path.slice(0, -1))) return {};
  if (node.opType === 'Einsum') return einsumOperands(node);
  // a fused product may transpose on its own; what it multiplies is then not what it reads
  if (node.opType !== 'MatMul') return {};
  return { query: node.inputs[0], key: node.inputs[1] };
}

/** A shape in words: "batch × 4, tokens, 16". */
export function shapeText(shapes: Shapes, value: string): string {
  const axes = shapes.axes(value);
  if (!axes) return 'unknown';
  const text = (axis: Axis | null): string => {
    if (!axis) return '?';
    const names = [axis.batch && 'batch', axis.tokens && 'tokens', axis.source && 'source'].filter(Boolean);
    return [...names, ...(axis.size !== 1 || names.length === 0 ? [String(axis.size)] : [])].join(' × ');
  };
  return axes.map(text).join(', ');
}
