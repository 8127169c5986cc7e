import { isRange, type Graph, type Model, type Node } from './model.ts';

const isConstant = ({ opType, domain }: Node): boolean => opType === 'Constant' && domain === '';

/**
 * Turns Constant nodes whose tensor stayed in a file into initializers, since only initializers may be external data. Where several give one
 * name, a node counts before an initializer and the last node before others, as in ONNX Runtime. Changes the graph in place; values keep
 * their names.
 */
export function hoistLargeConstants(model: Model): void {
  const visit = (graph: Graph): void => {
    onePerName(graph);
    const taken = new Set([...graph.initializers.keys(), ...graph.inputs.map(({ name }) => name)]);
    graph.nodes = graph.nodes.filter((node) => {
      for (const attribute of node.attributes.values()) {
        if (attribute.graph) visit(attribute.graph);
        for (const inner of attribute.graphs ?? []) visit(inner);
      }
      if (!isConstant(node)) return true;
      const tensor = node.attributes.get('value')?.tensor;
      const [name] = node.outputs;
      const stored = tensor && (isRange(tensor.data) || tensor.external !== undefined);
      if (!stored || !name || taken.has(name)) return true;
      taken.add(name);
      graph.initializers.set(name, { ...tensor, name });
      return false;
    });
  };
  visit(model.graph);
}

/** Keeps the definition that counts where constants of one name are stored more than once. */
function onePerName(graph: Graph): void {
  const last = new Map<string, Node>();
  for (const node of graph.nodes) if (isConstant(node)) last.set(node.outputs[0], node);
  graph.nodes = graph.nodes.filter((node) => !isConstant(node) || last.get(node.outputs[0]) === node);
  const twice = new Set([...last.keys()].filter((name) => graph.initializers.delete(name)));
  // an initializer may be declared among the inputs too
  if (twice.size) graph.inputs = graph.inputs.filter(({ name }) => !twice.has(name));
}
