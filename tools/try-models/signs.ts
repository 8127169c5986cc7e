import { OPAQUE_ATTENTION } from '../../src/anatomy/operators.ts';
import type { Model, Node } from '../../src/onnx/model.ts';
import { subgraphs } from '../../src/onnx/walk.ts';

/** Steps to look before and after a softmax. */
const REACH = 12;

const PRODUCT = /^(MatMul|FusedMatMul|TransposeMatMul|Einsum|QLinearMatMul|MatMulInteger\w*)$/;
const ON_THE_WAY =
  /^(Add|Sub|Mul|Div|Where|Cast|CastLike|Reshape|Transpose|Squeeze|Unsqueeze|Identity|Dropout|Min|Max|Clip|Slice|Concat|Tanh|QuantizeLinear|DequantizeLinear|Flatten|Expand)$/;

/**
 * Counts what looks like attention by the operators alone, wherever it is: fused operators, and softmaxes between two products. Coarser than
 * the anatomy and independent of it, so that a silent miss shows.
 */
export function attentionSigns(model: Model): number {
  const inFunctions = model.functions.map(({ nodes }) => signsIn(nodes, new Set()));
  return inFunctions.reduce((sum, count) => sum + count, signsIn(model.graph.nodes, stored(model)));
}

const stored = (model: Model): Set<string> => new Set(model.graph.initializers.keys());

function signsIn(nodes: readonly Node[], weights: ReadonlySet<string>): number {
  const producers = new Map<string, Node>();
  const consumers = new Map<string, Node[]>();
  const constants = new Set(weights);
  for (const node of nodes) {
    for (const output of node.outputs) producers.set(output, node);
    for (const input of node.inputs) consumers.set(input, [...(consumers.get(input) ?? []), node]);
    const fixed = node.inputs.every((input) => input === '' || constants.has(input));
    if (fixed && node.opType !== 'If') for (const output of node.outputs) constants.add(output);
  }
  const isProduct = (node: Node): boolean =>
    PRODUCT.test(node.opType) && node.inputs.filter((input) => !constants.has(input)).length >= 2;
  const reaches = (start: Node, next: (node: Node) => (Node | undefined)[]): boolean => {
    let frontier = next(start);
    const seen = new Set<Node>();
    for (let step = 0; step < REACH; step++) {
      const found = frontier.filter((node) => node !== undefined && !seen.has(node)) as Node[];
      if (found.some(isProduct)) return true;
      for (const node of found) seen.add(node);
      frontier = found.filter((node) => ON_THE_WAY.test(node.opType)).flatMap(next);
    }
    return false;
  };
  const back = (node: Node): (Node | undefined)[] => node.inputs.map((input) => producers.get(input));
  const forth = (node: Node): Node[] => node.outputs.flatMap((output) => consumers.get(output) ?? []);
  let count = 0;
  for (const node of nodes) {
    if (OPAQUE_ATTENTION.test(node.opType) && !/Bias$/.test(node.opType)) count++;
    else if (node.opType === 'Softmax' && reaches(node, back) && reaches(node, forth)) count++;
    for (const graph of subgraphs(node)) count += signsIn(graph.nodes, new Set(graph.initializers.keys()));
  }
  return count;
}
