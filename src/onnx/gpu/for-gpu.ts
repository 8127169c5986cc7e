import { usedNames } from '../check.ts';
import { GraphBuilder } from '../build.ts';
import type { Graph, Model, Node } from '../model.ts';
import { elementTypes } from './element-types.ts';
import { hostNodes, type HostNodes } from './host-nodes.ts';
import { eachNode, hostValues, producersOf } from './host-values.ts';
import { olderOpset } from './opset.ts';
import { replace, type Replacing } from './replacements.ts';
import { freePrefix } from '../free-prefix.ts';
import { mapNodes } from './rewrite.ts';
import { productWithTransposed } from './transposed-weights.ts';
import { WholeNumbers, type GraphView } from './whole-numbers.ts';

/**
 * The same model in operators that ONNX Runtime has on the GPU, as far as possible, and the nodes to leave to the CPU. Inputs and outputs are the
 * same, weights are referred to and not copied, and the model given is not changed.
 */
export function forGpu(model: Model): HostNodes {
  return hostNodes(withKernels(olderOpset(model)));
}

/** Operators without a GPU kernel between the model's activations are written in others. */
function withKernels(model: Model): Model {
  if (model.functions.length) return model;
  const g = new GraphBuilder({ opset: model.opsets.get('') ?? 13, prefix: freePrefix(model, 'gpu') });
  const producers = producersOf(model);
  const view: GraphView = {
    g,
    types: elementTypes(model),
    producers,
    host: hostValues(model, producers),
    stored: model.graph.initializers,
    inputs: new Set(model.graph.inputs.map(({ name }) => name)),
  };
  const consumers = new Map<string, Node[]>();
  eachNode(model.graph, (node) => {
    for (const name of node.inputs) consumers.set(name, [...(consumers.get(name) ?? []), node]);
  });
  const context: Replacing = { ...view, whole: new WholeNumbers(view), consumers, sizes: new Map() };
  const taken = (node: Node): readonly Node[] =>
    replace(node, context) || productWithTransposed(node, view) ? g.graph.nodes.splice(0) : [node];
  const replaced = mapNodes(model.graph, taken)!;
  const graph = mapNodes(replaced, (node) => [node, ...context.whole.following(node)])!;
  const initializers = new Map([...graph.initializers, ...g.graph.initializers]);
  return {
    ...model,
    graph: used({ ...graph, initializers, nodes: [...context.whole.first, ...graph.nodes] }),
  };
}

/** A graph without the nodes that nothing needs any more. */
function used(graph: Graph): Graph {
  const needed = new Set(graph.outputs.map(({ name }) => name));
  const nodes: Node[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (!node.outputs.some((name) => needed.has(name))) continue;
    for (const name of usedNames(node)) needed.add(name);
    nodes.push(node);
  }
  return { ...graph, nodes: nodes.reverse() };
}
