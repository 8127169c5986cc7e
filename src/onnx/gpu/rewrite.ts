import type { Graph, Node } from '../model.ts';
import { subgraphs } from '../walk.ts';

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
