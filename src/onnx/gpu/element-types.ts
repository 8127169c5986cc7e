import { DataType, type Graph, type Model, type Node } from '../model.ts';
import { subgraphs } from '../walk.ts';

const TRUTHS = /^(Equal|Greater|GreaterOrEqual|Less|LessOrEqual|And|Or|Xor|Not|IsNaN|IsInf)$/;
const COUNTS = /^(Shape|Size|NonZero|ArgMax|ArgMin)$/;

/** Operators whose type is said by an attribute or by nothing that is looked at here. */
const SAID = /^(EyeLike|Bernoulli|Multinomial|Loop|Scan|SequenceAt|Optional\w*|\w*Window|Random\w*)$/;

const INTEGER = new Set<number>([DataType.int64, DataType.int32, DataType.bool, DataType.uint8]);

/** The input that has the type of what an operator gives, where it is not the first. */
const LIKE: Readonly<Record<string, number>> = {
  Where: 1,
  OneHot: 2,
  DequantizeLinear: 1,
  QuantizeLinear: 2,
  CastLike: 1,
};

/** Element types of the values of a graph and of its branches, by name; those that are not known for sure are left out. */
export function elementTypes(model: Model): Map<string, number> {
  const types = new Map<string, number>();
  const note = (name: string | undefined, type: number | undefined): void => {
    if (name && type) types.set(name, type);
  };
  const visit = (graph: Graph): void => {
    for (const { name, elemType } of graph.inputs) note(name, elemType);
    for (const { name, dataType } of graph.initializers.values()) note(name, dataType);
    for (const node of graph.nodes) {
      for (const inner of subgraphs(node)) visit(inner);
      node.outputs.forEach((output, i) => note(output, typeOf(node, i, types)));
    }
  };
  visit(model.graph);
  return types;
}

function typeOf(node: Node, output: number, types: ReadonlyMap<string, number>): number | undefined {
  const { opType, domain, inputs, attributes } = node;
  const first = types.get(inputs[LIKE[opType] ?? 0]);
  if (domain !== '') return first !== undefined && INTEGER.has(first) ? undefined : first;
  if (TRUTHS.test(opType)) return DataType.bool;
  if (COUNTS.test(opType) || (opType === 'TopK' && output === 1)) return DataType.int64;
  if (opType === 'Dropout' && output === 1) return DataType.bool;
  if (opType === 'Cast') return attributes.get('to')?.int;
  if (opType === 'ConstantOfShape') return attributes.get('value')?.tensor?.dataType ?? DataType.float;
  if (opType === 'Constant') {
    if (attributes.has('value_int') || attributes.has('value_ints')) return DataType.int64;
    if (attributes.has('value_float') || attributes.has('value_floats')) return DataType.float;
    return attributes.get('value')?.tensor?.dataType;
  }
  if (opType === 'If') return types.get(subgraphs(node)[0]?.outputs[output]?.name ?? '');
  return SAID.test(opType) ? undefined : first;
}
