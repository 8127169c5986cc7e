import type { Graph, Model, Node } from '../model.ts';
import { subgraphs } from '../walk.ts';

/** A prefix of names that nothing in a model has. */
export function freePrefix(model: Model): string {
  const taken = new Set<string>();
  const take = (name: string): void => void taken.add(name.slice(0, name.indexOf('/') + 1));
  const visit = (graph: Graph): void => {
    for (const name of graph.initializers.keys()) take(name);
    for (const { name } of graph.inputs) take(name);
    for (const node of graph.nodes) {
      take(node.name);
      node.outputs.forEach(take);
      subgraphs(node).forEach(visit);
    }
  };
  visit(model.graph);
  let prefix = 'gpu/';
  for (let i = 1; taken.has(prefix); i++) prefix = `gpu${i}/`;
  return prefix;
}

/**
 * A graph in which other nodes take the place of each node and of those in its branches, which come first.
 * @param change gives the nodes that take a node's place; undefined when the whole graph cannot be written so
 */
export function mapNodes(
  graph: Graph,
  change: (node: Node) => readonly Node[] | undefined,
): Graph | undefined {
  const nodes: Node[] = [];
  for (const node of graph.nodes) {
    const attributes = new Map(node.attributes);
    for (const [name, attribute] of attributes) {
      if (!attribute.graph) continue;
      const inner = mapNodes(attribute.graph, change);
      if (!inner) return undefined;
      attributes.set(name, { ...attribute, graph: inner, raw: undefined });
    }
    const made = change(subgraphs(node).length ? { ...node, attributes } : node);
    if (!made) return undefined;
    nodes.push(...made);
  }
  return { ...graph, nodes };
}
