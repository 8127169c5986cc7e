import { GraphBuilder } from '../onnx/build.ts';
import { freePrefix } from '../onnx/free-prefix.ts';
import { knownConstants, type Known } from '../onnx/infer.ts';
import { DataType, type Model, type Node } from '../onnx/model.ts';
import { GraphIndex } from './graph-index.ts';

/** A softmax written in its parts. */
interface Written {
  /** What it normalises. */
  readonly input: string;
  /** One is added to the sum of each row, so that rows sum to less than 1. */
  readonly plusOne: boolean;
}

/** Reads parts of a graph for `joinSoftmax`. */
class Parts {
  private readonly index: GraphIndex;
  private readonly constants: ReadonlyMap<string, Known>;

  constructor(model: Model) {
    this.index = new GraphIndex(model);
    this.constants = knownConstants(model);
  }

  /** The node that makes a value, if it is of this kind. */
  private made(value: string, opType: string): Node | undefined {
    const node = this.index.producer(value);
    return node?.opType === opType ? node : undefined;
  }

  private numbers(value: string): readonly number[] | undefined {
    const values = this.constants.get(value)?.values;
    return values && [...values];
  }

  /** What a reduction over the last axis of a value, kept as an axis of 1, reduces. */
  private reduced(value: string, opType: string): string | undefined {
    const node = this.made(value, opType);
    if (!node || (node.attributes.get('keepdims')?.int ?? 1) !== 1) return undefined;
    const axes = node.inputs[1] ? this.numbers(node.inputs[1]) : node.attributes.get('axes')?.ints;
    return axes?.length === 1 && (axes[0] === -1 || axes[0] === 3) ? node.inputs[0] : undefined;
  }

  /** exp(x) ÷ Σ exp(x), the largest x subtracted before or not; one may be added to the sum. */
  softmax(node: Node): Written | undefined {
    const [above, below] = this.fraction(node) ?? [];
    const exponential = above === undefined ? undefined : this.made(above, 'Exp');
    if (below === undefined || !exponential) return undefined;
    const shifted = this.made(exponential.inputs[0], 'Sub');
    const largest = shifted && this.reduced(shifted.inputs[1], 'ReduceMax') === shifted.inputs[0];
    const input = largest ? shifted.inputs[0] : exponential.inputs[0];
    if (this.reduced(below, 'ReduceSum') === above) return { input, plusOne: false };
    const sum = this.made(below, 'Add');
    const row = sum?.inputs.find((value) => this.reduced(value, 'ReduceSum') === above);
    const more = sum?.inputs.find((value) => value !== row);
    if (row === undefined || more === undefined) return undefined;
    const [one] = this.numbers(more) ?? [];
    const isOne = largest ? this.isExpOfMinus(more, shifted.inputs[1]) : one === 1;
    return isOne ? { input, plusOne: true } : undefined;
  }

  private fraction(node: Node): [string, string] | undefined {
    if (node.opType === 'Div') return [node.inputs[0], node.inputs[1]];
    if (node.opType !== 'Mul') return undefined;
    const inverse = node.inputs.find((value) => this.made(value, 'Reciprocal'));
    const above = node.inputs.find((value) => value !== inverse);
    return inverse === undefined || above === undefined
      ? undefined
      : [above, this.made(inverse, 'Reciprocal')!.inputs[0]];
  }

  private isExpOfMinus(value: string, of: string): boolean {
    const exponential = this.made(value, 'Exp');
    return exponential !== undefined && this.made(exponential.inputs[0], 'Neg')?.inputs[0] === of;
  }
}

/**
 * Puts one operator in the place of softmaxes over the last axis that are written as exp, sum and division, so that they are read like any other. A
 * softmax with 1 added to its sum becomes one over the row and a zero that is left out afterwards. The model given is not changed; every other
 * value keeps its name.
 */
export function joinSoftmax(model: Model): Model {
  const { nodes, initializers } = model.graph;
  if (!nodes.some((node) => node.opType === 'Exp')) return model;
  const half = [...initializers.values()].some(({ dataType }) => dataType === DataType.float16);
  const parts = new Parts(model);
  const prefix = freePrefix(model, 'joined');
  const g = new GraphBuilder({ opset: model.opsets.get('') ?? 13, prefix });
  let joined = 0;
  for (const node of nodes) {
    const found = parts.softmax(node);
    if (!found || (found.plusOne && half)) {
      g.graph.nodes.push(node);
      continue;
    }
    joined++;
    if (found.plusOne) softmaxPlusOne(g, found.input, node.outputs[0]);
    else g.op('Softmax', [found.input], { axis: -1 }, node.outputs[0]);
  }
  if (joined === 0) return model;
  return {
    ...model,
    graph: {
      ...model.graph,
      nodes: g.graph.nodes,
      initializers: new Map([...initializers, ...g.graph.initializers]),
    },
  };
}

function softmaxPlusOne(g: GraphBuilder, input: string, output: string): void {
  const shape = g.op('Shape', [input]);
  const rows = g.op('Slice', [shape, g.ints(0), g.ints(-1)]);
  const zero = g.op('ConstantOfShape', [g.op('Concat', [rows, g.ints(1)], { axis: 0 })]);
  const all = g.op('Softmax', [g.op('Concat', [input, zero], { axis: -1 })], { axis: -1 });
  g.op('Slice', [all, g.ints(0), g.ints(-1), g.ints(-1)], {}, output);
}
