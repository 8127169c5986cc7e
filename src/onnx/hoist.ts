import { isRange, type Graph, type Model } from './model.ts';

/**
 * Turns Constant nodes whose tensor stayed in a file into initializers, since only initializers may be external data.
 * Changes the graph in place; the value keeps its name.
 */
export function hoistLargeConstants(model: Model): void {
  const visit = (graph: Graph): void => {
    const taken = new Set([...graph.initializers.keys(), ...graph.inputs.map(({ name }) => name)]);
    graph.nodes = graph.nodes.filter((node) => {
      for (const attribute of node.attributes.values()) {
        if (attribute.graph) visit(attribute.graph);
        for (const inner of attribute.graphs ?? []) visit(inner);
      }
      if (node.opType !== 'Constant' || node.domain !== '') return true;
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
