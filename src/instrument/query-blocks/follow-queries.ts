import { isTokens, type Axis, type Shapes } from '../../anatomy/axes.ts';
import type { Node } from '../../onnx/model.ts';

/** Where the queries are in a node's operands and in its result; axes count from the left. */
export interface QueryAxes {
  /** Operands from outside that have an axis of queries: input index → axis. */
  readonly slices: ReadonlyMap<number, number>;
  readonly result: number;
}
export type Followed = QueryAxes | { readonly why: string };

/** What is known about a node's operands. */
export interface Surroundings {
  readonly shapes: Shapes;
  /** Axis of queries of values that were followed so far. */
  readonly flowing: ReadonlyMap<string, number>;
}

const ELEMENTWISE =
  /^(Add|Sub|Mul|Div|Pow|Where|Min|Max|Clip|Cast|CastLike|Identity|Dropout|Tanh|Softcap|Exp|Log|Abs|Neg|Sqrt|Relu|Sigmoid|Not|And|Or|IsNaN|IsInf|Equal|Greater|GreaterOrEqual|Less|LessOrEqual|QuantizeLinear|DequantizeLinear)$/;
const PRODUCT = /^(MatMul|FusedMatMul|TransposeMatMul)$/;

const isOne = (axis: Axis | null): boolean =>
  !!axis && axis.size === 1 && !axis.batch && !axis.tokens && !axis.source && !axis.either;

/** The axis of a value that meets axis `at` of a result of rank `rank`, by NumPy's rules; undefined when it has none there or one of length 1. */
function meeting(
  { shapes }: Surroundings,
  value: string,
  rank: number,
  at: number,
): { axis?: number } | { why: string } {
  const axes = shapes.axes(value);
  if (!axes) return { why: `the shape of ${value} could not be worked out` };
  const axis = axes.length - rank + at;
  if (axis < 0 || isOne(axes[axis])) return {};
  return isTokens(axes[axis]) ? { axis } : { why: `${value} has an unknown axis where the queries are` };
}

/**
 * How queries pass through a node: which operands must be cut to a block of queries, and where they are in the result.
 * @param node one of whose inputs carries an axis of queries, or the product that makes the scores
 * @param wanted for the product of queries and keys, the axis of its result where the queries shall be
 */
export function followQueries(node: Node, around: Surroundings, wanted?: number): Followed {
  const rank = around.shapes.axes(node.outputs[0])?.length;
  if (rank === undefined)
    return { why: `the shape of the result of ${node.name || node.opType} could not be worked out` };
  if (PRODUCT.test(node.opType)) return throughProduct(node, around, rank, wanted);
  if (node.opType === 'Einsum') return throughEinsum(node, around, wanted);
  if (wanted !== undefined) return { why: `${node.opType} makes the scores` };
  if (ELEMENTWISE.test(node.opType)) return throughElementwise(node, around, rank);
  return throughOther(node, around, rank);
}

function throughElementwise(node: Node, around: Surroundings, rank: number): Followed {
  const first = node.inputs.find((name) => around.flowing.has(name)) as string;
  const own = around.shapes.axes(first)?.length ?? 0;
  const result = (around.flowing.get(first) as number) + rank - own;
  const slices = new Map<number, number>();
  const aside = /^(CastLike|Dropout|Clip)$/.test(node.opType);
  for (const [i, name] of node.inputs.entries()) {
    if (name === '') continue;
    const axis = around.flowing.get(name);
    if (axis !== undefined) {
      const length = around.shapes.axes(name)?.length ?? 0;
      if (axis + rank - length !== result) return { why: `${node.opType} joins queries with keys` };
      continue;
    }
    if (aside) continue; // a type, a rate or a bound
    const met = meeting(around, name, rank, result);
    if ('why' in met) return met;
    if (met.axis !== undefined) slices.set(i, met.axis);
  }
  return { slices, result };
}

/** [.., rows, inner] × [.., inner, columns]. */
function throughProduct(node: Node, around: Surroundings, rank: number, wanted?: number): Followed {
  const flag = (name: string): boolean => (node.attributes.get(name)?.int ?? 0) === 1;
  if (flag('transBatchA') || flag('transBatchB')) return { why: 'its product turns axes of the batch' };
  const ranks = node.inputs.map((name) => around.shapes.axes(name)?.length ?? 0);
  const lines = [ranks[0] - (flag('transA') ? 1 : 2), ranks[1] - (flag('transB') ? 2 : 1)];
  if (wanted !== undefined) {
    const side = wanted === rank - 2 ? 0 : wanted === rank - 1 ? 1 : -1;
    if (side < 0 || !isTokens(around.shapes.axes(node.inputs[side])?.[lines[side]]))
      return { why: 'the axis of queries of its scores comes from no operand alone' };
    return { slices: new Map([[side, lines[side]]]), result: wanted };
  }
  const side = around.flowing.has(node.inputs[0]) ? 0 : 1;
  const axis = around.flowing.get(node.inputs[side]) as number;
  if (around.flowing.has(node.inputs[1 - side])) return { why: 'it multiplies attention with attention' };
  if (axis === lines[side]) return { slices: new Map(), result: side === 0 ? rank - 2 : rank - 1 };
  if (axis >= ranks[side] - 2) return { why: 'it sums over queries' };
  const result = axis + rank - ranks[side];
  const met = meeting(around, node.inputs[1 - side], rank, result);
  if ('why' in met) return met;
  return { slices: new Map(met.axis === undefined ? [] : [[1 - side, met.axis]]), result };
}

function throughEinsum(node: Node, around: Surroundings, wanted?: number): Followed {
  const [left, out] = (node.attributes.get('equation')?.string ?? '').replaceAll(' ', '').split('->');
  const terms = left.split(',');
  if (out === undefined || terms.length !== 2 || left.includes('.')) return { why: 'its Einsum is not read' };
  const from = node.inputs.findIndex((name) => around.flowing.has(name));
  const letter = wanted === undefined ? terms[from][around.flowing.get(node.inputs[from])!] : out[wanted];
  const result = out.indexOf(letter);
  if (result < 0) return { why: 'it sums over queries' };
  const slices = new Map<number, number>();
  for (const [i, term] of terms.entries())
    if (term.includes(letter) && i !== from) slices.set(i, term.indexOf(letter));
  return slices.size === (wanted === undefined ? 0 : 1)
    ? { slices, result }
    : { why: 'both operands have queries' };
}

/** A list of axes, stored in the graph. */
function storedAxes(node: Node, { shapes }: Surroundings, input: number): readonly number[] | undefined {
  const attribute = node.attributes.get('axes')?.ints;
  if (attribute) return attribute;
  const name = node.inputs[input];
  const values = name ? (shapes.constants.get(name) ?? shapes.known.get(name))?.values : undefined;
  return values && [...values];
}

/** Operators with one operand that carries queries, and what else they need to know. */
function throughOther(node: Node, around: Surroundings, rank: number): Followed {
  const name = node.inputs[0];
  const at = around.flowing.get(name);
  const own = around.shapes.axes(name);
  const refused = (why: string): Followed => ({ why: `${node.opType} ${why}` });
  if (node.opType === 'Concat') return throughConcat(node, around, rank);
  if (at === undefined || !own) return refused('reads it in a way that is not followed');
  const plain = (result: number): Followed => ({ slices: new Map(), result });
  const turned = (axis: number, length: number): number => (axis < 0 ? axis + length : axis);
  switch (node.opType) {
    case 'Softmax':
      return turned(node.attributes.get('axis')?.int ?? -1, rank) === rank - 1 && at !== rank - 1
        ? plain(at)
        : refused('normalises over queries');
    case 'Transpose': {
      const perm = node.attributes.get('perm')?.ints ?? own.map((_, i) => own.length - 1 - i);
      return plain(perm.indexOf(at));
    }
    case 'Reshape': {
      const result = around.shapes.axes(node.outputs[0]) ?? [];
      const tokens = (axes: readonly (Axis | null)[]): number[] =>
        axes.flatMap((axis, i) => (isTokens(axis) ? [i] : []));
      const [before, after] = [tokens(own), tokens(result)];
      const to = after[before.indexOf(at)];
      return before.length === after.length && to !== undefined
        ? plain(to)
        : refused('joins queries with something else');
    }
    case 'Squeeze':
    case 'Unsqueeze': {
      const axes = storedAxes(node, around, 1);
      if (!axes) return refused('has axes that are not stored');
      if (node.opType === 'Squeeze') {
        const gone = axes.map((axis) => turned(axis, own.length));
        return plain(at - gone.filter((axis) => axis < at).length);
      }
      const added = new Set(axes.map((axis) => turned(axis, rank)));
      const kept = Array.from({ length: rank }, (_, i) => i).filter((i) => !added.has(i));
      return plain(kept[at]);
    }
    case 'ReduceSum':
    case 'ReduceMax':
    case 'ReduceMin':
    case 'ReduceMean': {
      const axes = storedAxes(node, around, 1)?.map((axis) => turned(axis, own.length));
      const kept = (node.attributes.get('keepdims')?.int ?? 1) === 1;
      return axes && kept && !axes.includes(at) ? plain(at) : refused('sums over queries');
    }
    case 'Slice': {
      const axes = node.inputs[3] ? storedAxes(node, around, 3) : undefined;
      return axes && !axes.some((axis) => turned(axis, own.length) === at)
        ? plain(at)
        : refused('takes a part of the queries');
    }
    default:
      return refused('reads it in a way that is not followed');
  }
}

function throughConcat(node: Node, around: Surroundings, rank: number): Followed {
  const first = node.inputs.find((name) => around.flowing.has(name)) as string;
  const at = around.flowing.get(first) as number;
  const axis = node.attributes.get('axis')?.int ?? 0;
  if ((axis < 0 ? axis + rank : axis) === at) return { why: 'Concat adds queries' };
  const slices = new Map<number, number>();
  for (const [i, name] of node.inputs.entries()) {
    if (around.flowing.get(name) === at) continue;
    const met = meeting(around, name, rank, at);
    if ('why' in met || met.axis === undefined)
      return { why: 'Concat adds something whose queries are not known' };
    slices.set(i, met.axis);
  }
  return { slices, result: at };
}
