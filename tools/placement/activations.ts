import { eachNode } from '../../src/onnx/gpu/host-values.ts';
import { DataType, type Model, type Node } from '../../src/onnx/model.ts';
import { subgraphs } from '../../src/onnx/walk.ts';

/** Operators that read no numbers of their inputs. */
const SIZES = /^(Shape|Size)$/;

const FLOATS = new Set<number>([DataType.float, DataType.float16, DataType.bfloat16]);

/**
 * Names of the nodes that compute with the model's activations, in its branches too: with what embeddings are looked up or given as inputs become. All
 * others work on token ids, positions, masks, sizes and switches.
 */
export function nodesOnActivations(model: Model): Set<string> {
  const flowing = new Set<string>();
  const own = new Set(
    model.graph.inputs.map(({ name }) => name).filter((name) => name.startsWith('headscope/')),
  );
  for (const { name, elemType } of model.graph.inputs)
    if (FLOATS.has(elemType) && !own.has(name)) flowing.add(name);
  const looksUp = ({ opType, inputs }: Node): boolean => {
    const table = /^Gather/.test(opType) ? model.graph.initializers.get(inputs[0]) : undefined;
    return table !== undefined && table.dims.length === 2 && FLOATS.has(table.dataType);
  };
  const found = new Set<string>();
  let before = -1;
  while (flowing.size > before) {
    before = flowing.size;
    eachNode(model.graph, (node) => {
      const inner = subgraphs(node).flatMap((graph) => graph.outputs.map(({ name }) => name));
      const flows =
        inner.some((name) => flowing.has(name)) ||
        (node.inputs.some((name) => flowing.has(name)) && !SIZES.test(node.opType));
      if (flows) found.add(node.name);
      if (flows || looksUp(node)) for (const name of node.outputs) flowing.add(name);
    });
  }
  return found;
}
