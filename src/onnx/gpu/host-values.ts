import type { Graph, Model, Node } from '../model.ts';
import { subgraphs } from '../walk.ts';

/** Inputs that ONNX Runtime's GPU kernels read on the CPU: shapes, axes, bounds, conditions. */
const READ_ON_CPU: Readonly<Record<string, readonly number[]>> = {
  Reshape: [1],
  Expand: [1],
  Tile: [1],
  Slice: [1, 2, 3, 4],
  Squeeze: [1],
  Unsqueeze: [1],
  Split: [1],
  Pad: [1, 3],
  TopK: [1],
  CumSum: [1],
  OneHot: [1],
  Trilu: [1],
  Range: [0, 1, 2],
  ConstantOfShape: [0],
  Resize: [1, 2, 3],
  If: [0],
  Loop: [0, 1],
  GroupQueryAttention: [6],
};

/** Every node of a graph and its branches that makes a value, by the value's name. */
export function producersOf(model: Model): Map<string, Node> {
  const producers = new Map<string, Node>();
  eachNode(model.graph, (node) => {
    for (const name of node.outputs) if (name) producers.set(name, node);
  });
  return producers;
}

/** Calls `visit` with every node of a graph and of the graphs inside it. */
export function eachNode(graph: Graph, visit: (node: Node) => void): void {
  for (const node of graph.nodes) {
    visit(node);
    for (const inner of subgraphs(node)) eachNode(inner, visit);
  }
}

/** Values that the CPU needs while a graph runs on a GPU: what is read there, and what that is computed from. */
export function hostValues(model: Model, producers: ReadonlyMap<string, Node>): Set<string> {
  const needed = new Set<string>();
  const open: string[] = [];
  const need = (name: string | undefined): void => {
    if (name && !needed.has(name)) {
      needed.add(name);
      open.push(name);
    }
  };
  eachNode(model.graph, ({ opType, inputs }) => {
    for (const i of READ_ON_CPU[opType] ?? (opType.startsWith('Reduce') ? [1] : [])) need(inputs[i]);
  });
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const node = producers.get(name);
    if (!node || node.opType === 'Shape' || node.opType === 'Size') continue; // no numbers are looked at
    node.inputs.forEach(need);
    const at = node.outputs.indexOf(name);
    for (const inner of subgraphs(node)) need(inner.outputs[at]?.name);
  }
  return needed;
}
