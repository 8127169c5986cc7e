import type { Attribute, Graph, Model, Node, SparseTensorProto, TensorProto } from './model.ts';
import { quoted } from './quoted.ts';

/** The graphs in a node's attributes: branches of an If, bodies of a Loop or Scan. */
export function subgraphs(node: Node): Graph[] {
  return [...node.attributes.values()].flatMap(graphsOf);
}

const graphsOf = ({ graph, graphs }: Attribute): readonly Graph[] =>
  graph ? [graph, ...(graphs ?? [])] : (graphs ?? []);

interface Visitor {
  tensor(tensor: TensorProto, where: string, inFunction: boolean, sparse: boolean): void;
  sparse?(sparse: SparseTensorProto, where: string): void;
}

/**
 * Visits every tensor of every kind: initializers, the parts of sparse ones, constants, attributes, default values of functions'
 * attributes. `where` says which for a message; `inFunction` is true for all that is inside a model-local function, however deep.
 */
export function forEachTensor(model: Model, tensor: Visitor['tensor'], sparse?: Visitor['sparse']): void {
  const visitor: Visitor = { tensor, sparse };
  inGraph(model.graph, false, visitor);
  for (const { name, defaults, nodes } of model.functions) {
    for (const node of nodes) inNode(node, true, visitor);
    const where = `a default of the function ${quoted(name)}`;
    for (const attribute of defaults) inAttribute(attribute, where, true, visitor);
  }
}

function inGraph(graph: Graph, inFunction: boolean, visitor: Visitor): void {
  for (const tensor of graph.initializers.values())
    visitor.tensor(tensor, `the weight ${quoted(tensor.name)}`, inFunction, false);
  for (const sparse of graph.sparseInitializers)
    inSparse(sparse, `the weight ${quoted(sparse.values?.name ?? '')}`, inFunction, visitor);
  for (const node of graph.nodes) inNode(node, inFunction, visitor);
}

function inNode(node: Node, inFunction: boolean, visitor: Visitor): void {
  if (node.attributes.size === 0) return;
  const where = `a constant of the node ${quoted(node.name || node.outputs[0] || '')} (${quoted(node.opType)})`;
  for (const attribute of node.attributes.values()) inAttribute(attribute, where, inFunction, visitor);
}

function inAttribute(attribute: Attribute, where: string, inFunction: boolean, visitor: Visitor): void {
  if (attribute.tensor) visitor.tensor(attribute.tensor, where, inFunction, false);
  for (const tensor of attribute.tensors ?? []) visitor.tensor(tensor, where, inFunction, false);
  for (const sparse of attribute.sparseTensors ?? []) inSparse(sparse, where, inFunction, visitor);
  for (const graph of graphsOf(attribute)) inGraph(graph, inFunction, visitor);
}

function inSparse(sparse: SparseTensorProto, where: string, inFunction: boolean, visitor: Visitor): void {
  visitor.sparse?.(sparse, where);
  for (const part of [sparse.values, sparse.indices]) if (part) visitor.tensor(part, where, inFunction, true);
}
