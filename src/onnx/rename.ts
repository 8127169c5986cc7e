import type { Attribute, Graph, Node, ValueInfo } from './model.ts';
import { WireWriter } from './wire.ts';

export type Rename = (name: string) => string;

/** An attribute with every graph in it changed. */
export function withGraphs(attribute: Attribute, change: (graph: Graph) => Graph): Attribute {
  const { graph, graphs } = attribute;
  if (!graph && !graphs) return attribute;
  return {
    ...attribute,
    ...(graph && { graph: change(graph) }),
    ...(graphs && { graphs: graphs.map(change) }),
  };
}

/** A name said once more behind a message that has one: the last counts. */
export function renamedRaw(raw: Uint8Array, name: string): Uint8Array {
  const w = new WireWriter();
  w.raw([raw]);
  return w.string(1, name).finish();
}

/** A node whose values, and those of the graphs in it, have other names. */
export function renamedNode(node: Node, name: Rename): Node {
  const inner = (graph: Graph): Graph => renamedGraph(graph, name, (each) => renamedNode(each, name));
  const attributes = [...node.attributes].map(
    ([key, attribute]) => [key, withGraphs(attribute, inner)] as const,
  );
  return {
    ...node,
    inputs: node.inputs.map(name),
    outputs: node.outputs.map(name),
    attributes: new Map(attributes),
  };
}

/** A graph whose values have other names; `change` does the same to a node of it. */
export function renamedGraph(graph: Graph, name: Rename, change: (node: Node) => Node): Graph {
  const info = (value: ValueInfo): ValueInfo => {
    const own = name(value.name);
    return { ...value, name: own, raw: renamedRaw(value.raw, own) };
  };
  return {
    ...graph,
    nodes: graph.nodes.map(change),
    inputs: graph.inputs.map(info),
    outputs: graph.outputs.map(info),
    initializers: new Map(
      [...graph.initializers.values()].map((tensor) => {
        const own = name(tensor.name);
        return [own, { ...tensor, name: own }];
      }),
    ),
    sparseInitializers: graph.sparseInitializers.map((sparse) => ({
      ...sparse,
      ...(sparse.values && { values: { ...sparse.values, name: name(sparse.values.name) } }),
    })),
  };
}
