import { usedNames } from './check.ts';
import type { Graph, Model, Node } from './model.ts';

/** ONNX Runtime's operators that write a text: each holds a language model and runs it again and again. */
const GENERATION = /^(BeamSearch|WhisperBeamSearch|GreedySearch|Sampling)$/;

/**
 * The language model inside a file made to generate text: the graph that reads the prompt, as a model of its own. Weights that it takes from the
 * graph around it come along.
 *
 * @returns undefined when the file does not generate, or when the decoder needs what other nodes compute
 */
export function generatingDecoder(model: Model): { readonly model: Model; readonly node: Node } | undefined {
  const found = model.graph.nodes.filter(
    ({ opType, domain }) => domain === 'com.microsoft' && GENERATION.test(opType),
  );
  if (found.length !== 1) return undefined;
  const [node] = found;
  // where there are two, the first reads the prompt and the other goes on from its cache
  const decoder = (node.attributes.get('init_decoder') ?? node.attributes.get('decoder'))?.graph;
  if (!decoder) return undefined;
  const { initializers } = model.graph;
  const missing = new Set<string>();
  const own = ownNames(decoder);
  const use = (name: string): void => {
    if (!own.has(name)) missing.add(name);
  };
  for (const each of decoder.nodes) usedNames(each).forEach(use);
  for (const { name } of decoder.outputs) use(name);
  if ([...missing].some((name) => !initializers.has(name))) return undefined;
  const brought = [...missing].map((name) => [name, initializers.get(name)!] as const);
  const graph: Graph = { ...decoder, initializers: new Map([...brought, ...decoder.initializers]) };
  return { model: { ...model, graph }, node };
}

const ownNames = (graph: Graph): Set<string> =>
  new Set([
    ...graph.inputs.map(({ name }) => name),
    ...graph.initializers.keys(),
    ...graph.sparseInitializers.flatMap(({ values }) => (values ? [values.name] : [])),
    ...graph.nodes.flatMap(({ outputs }) => outputs),
  ]);
