import type { Attribute, Graph, Model, Node, TensorProto } from './model.ts';
import { quoted } from './quoted.ts';

/** The graphs in a node's attributes: branches of an If, bodies of a Loop or Scan. */
export function subgraphs(node: Node): Graph[] {
  return [...node.attributes.values()].flatMap(graphsOf);
}

const graphsOf = ({ graph, graphs }: Attribute): readonly Graph[] =>
  graph ? [graph, ...(graphs ?? [])] : (graphs ?? []);

type Visit = (tensor: TensorProto, where: string, inFunction: boolean) => void;

/**
 * Visits every tensor of every kind: initializers, sparse ones, constants, attributes, default values of functions' attributes.
 * `where` says which for a message; `inFunction` is true for all that is inside a model-local function, however deep.
 */
export function forEachTensor(model: Model, visit: Visit): void {
  inGraph(model.graph, false, visit);
  for (const node of model.functionNodes) inNode(node, true, visit);
  for (const { name, defaults } of model.functions)
    for (const attribute of defaults) inAttribute(attribute, `a default of the function ${quoted(name)}`, true, visit);
}

function inGraph(graph: Graph, inFunction: boolean, visit: Visit): void {
  for (const tensor of graph.initializers.values())
    visit(tensor, `the weight ${quoted(tensor.name)}`, inFunction);
  for (const { values, indices } of graph.sparseInitializers) {
    if (values) visit(values, `the sparse weight ${quoted(values.name)}`, inFunction);
    if (indices) visit(indices, 'the indices of a sparse weight', inFunction);
  }
  for (const node of graph.nodes) inNode(node, inFunction, visit);
}

function inNode(node: Node, inFunction: boolean, visit: Visit): void {
  if (node.attributes.size === 0) return;
  const where = `a constant of the node ${quoted(node.name || node.outputs[0] || '')} (${quoted(node.opType)})`;
  for (const attribute of node.attributes.values()) inAttribute(attribute, where, inFunction, visit);
}

function inAttribute(attribute: Attribute, where: string, inFunction: boolean, visit: Visit): void {
  if (attribute.tensor) visit(attribute.tensor, where, inFunction);
  for (const tensor of attribute.tensors ?? []) visit(tensor, where, inFunction);
  for (const { values, indices } of attribute.sparseTensors ?? []) {
    if (values) visit(values, where, inFunction);
    if (indices) visit(indices, where, inFunction);
  }
  for (const graph of graphsOf(attribute)) inGraph(graph, inFunction, visit);
}
