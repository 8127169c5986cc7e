import type { Graph, Model, Node } from '../onnx/model.ts';
import { subgraphs } from '../onnx/walk.ts';

/** WGSL promises sines and cosines to 2⁻¹¹ only, and nothing beyond ±π; the angles of rotary positions go far beyond. */
const COARSE_ON_GPU = new Set(['Sin', 'Cos']);

/**
 * A model whose nodes that a GPU computes too coarsely all have names of their own, and these names.
 * The nodes are small, so that they can be left to the CPU.
 */
export function preciseNodes(model: Model): { readonly model: Model; readonly names: readonly string[] } {
  const names: string[] = [];
  const taken = new Set<string>();
  const collect = (graph: Graph): void => {
    for (const node of graph.nodes) {
      taken.add(node.name);
      if (COARSE_ON_GPU.has(node.opType) && node.name !== '') names.push(node.name);
      for (const inner of subgraphs(node)) collect(inner);
    }
  };
  collect(model.graph);
  const named = (node: Node): Node => {
    if (!COARSE_ON_GPU.has(node.opType) || node.name !== '') return node;
    let name = `precise_${names.length}`;
    while (taken.has(name)) name += '_';
    taken.add(name);
    names.push(name);
    return { ...node, name };
  };
  const nodes = model.graph.nodes.map(named);
  return { model: { ...model, graph: { ...model.graph, nodes } }, names };
}
