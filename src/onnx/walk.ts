import type { Graph, Model, Node, TensorProto } from './model.ts';

/** Visits every node, those of nested graphs and of model functions included. */
export function forEachNode(model: Model, visit: (node: Node, graph: Graph | undefined) => void): void {
  const inGraph = (graph: Graph): void => {
    for (const node of graph.nodes) one(node, graph);
  };
  const one = (node: Node, graph: Graph | undefined): void => {
    visit(node, graph);
    for (const inner of subgraphs(node)) inGraph(inner);
  };
  inGraph(model.graph);
  for (const node of model.functionNodes) one(node, undefined);
}

/** The graphs in a node's attributes: branches of an If, bodies of a Loop or Scan. */
export function subgraphs(node: Node): Graph[] {
  const out: Graph[] = [];
  for (const attribute of node.attributes.values()) {
    if (attribute.graph) out.push(attribute.graph);
    if (attribute.graphs) out.push(...attribute.graphs);
  }
  return out;
}

/** Visits every tensor of every kind: initializers, sparse ones, constants, attributes. `where` says which for a message. */
export function forEachTensor(
  model: Model,
  visit: (tensor: TensorProto, where: string, inFunction: boolean) => void,
): void {
  const inGraph = (graph: Graph): void => {
    for (const tensor of graph.initializers.values())
      visit(tensor, `the weight ${JSON.stringify(tensor.name)}`, false);
    for (const { values, indices } of graph.sparseInitializers) {
      if (values) visit(values, `the sparse weight ${JSON.stringify(values.name)}`, false);
      if (indices) visit(indices, 'the indices of a sparse weight', false);
    }
  };
  inGraph(model.graph);
  forEachNode(model, (node, graph) => {
    for (const inner of subgraphs(node)) inGraph(inner);
    const where = `a constant of the node ${JSON.stringify(node.name || node.outputs[0])} (${node.opType})`;
    for (const attribute of node.attributes.values()) {
      if (attribute.tensor) visit(attribute.tensor, where, graph === undefined);
      for (const tensor of attribute.tensors ?? []) visit(tensor, where, graph === undefined);
      for (const { values, indices } of attribute.sparseTensors ?? []) {
        if (values) visit(values, where, graph === undefined);
        if (indices) visit(indices, where, graph === undefined);
      }
    }
  });
}
