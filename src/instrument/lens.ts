import type { Anatomy } from '../anatomy/anatomy.ts';
import { GraphIndex } from '../anatomy/graph-index.ts';
import { HeadscopeError } from '../errors.ts';
import { GraphBuilder, valueInfo } from '../onnx/build.ts';
import { expectedBytes } from '../onnx/external.ts';
import { DataType, type Graph, type Model } from '../onnx/model.ts';
import { dequantisedMatrix, type Quantised } from '../onnx/quantised.ts';
import { renamedGraph, renamedNode } from '../onnx/rename.ts';

const none = (): never => {
  throw new HeadscopeError(
    'no-logits',
    'This model has no unembedding that was recognised, so residual vectors cannot be turned into predictions.',
  );
};

/** The input of `lensModel` that takes residual rows, float32 [rows, dModel]. */
export const RESIDUAL = 'headscope/lens/residual';
const PLAIN = 'headscope/lens/logits';
const FROZEN = 'headscope/frozen/logits';

/** The end of a model in both ways that it can be asked for, with the names of their outputs or why one is not to be had. */
export interface Lens {
  readonly model: Model;
  readonly outputs: Readonly<Record<'plain' | 'frozen', string | HeadscopeError>>;
}

/**
 * The end of a model as a model of its own, so that its largest matrix is loaded once for both questions. Input `RESIDUAL` and output
 * `plain` are the end as it is; inputs `vectors`, `reference` [rows, dModel] and output `frozen` [rows, vocab] the linear map it is at `reference`.
 *
 * @throws HeadscopeError `no-logits` when neither way is to be had
 */
export function lensModel(model: Model, anatomy: Anatomy): Lens {
  const plain = orWhyNot(() => unembeddingModel(model, anatomy));
  const frozen = orWhyNot(() => frozenUnembeddingModel(model, anatomy));
  const outputs = {
    plain: plain instanceof HeadscopeError ? plain : PLAIN,
    frozen: frozen instanceof HeadscopeError ? frozen : FROZEN,
  };
  if (plain instanceof HeadscopeError) {
    if (frozen instanceof HeadscopeError) throw plain;
    return { model: frozen, outputs };
  }
  return { model: frozen instanceof HeadscopeError ? plain : joined(plain, frozen), outputs };
}

function orWhyNot(build: () => Model): Model | HeadscopeError {
  try {
    return build();
  } catch (error) {
    if (error instanceof HeadscopeError) return error;
    throw error;
  }
}

/** Stored values of more bytes than this are there once for both ways. */
const LARGE = 64 * 1024;

/** Two graphs side by side, which share what is large and nothing else: what is good for one may not be for the other's operators. */
function joined(first: Model, second: Model): Model {
  const large = (name: string): boolean => {
    const tensor = first.graph.initializers.get(name);
    return tensor !== undefined && (expectedBytes(tensor) ?? 0) > LARGE;
  };
  const own = new Set([...second.graph.inputs, ...second.graph.outputs].map(({ name }) => name));
  const name = (value: string): string =>
    value === '' || own.has(value) || large(value) ? value : `headscope/frozen/of/${value}`;
  const other = renamedGraph(second.graph, name, (node) => renamedNode(node, name));
  return {
    ...first,
    opsets: new Map([...second.opsets, ...first.opsets]),
    graph: {
      ...first.graph,
      nodes: [...first.graph.nodes, ...other.nodes],
      inputs: [...first.graph.inputs, ...other.inputs],
      outputs: [...first.graph.outputs, ...other.outputs],
      initializers: new Map([...first.graph.initializers, ...other.initializers]),
    },
  };
}

/**
 * Residual rows in, logits out. The nodes are the model's, so soft-caps and biases count too.
 * Input `RESIDUAL` is float32 [rows, dModel]; the output float32 [1, rows, vocab].
 *
 * @throws HeadscopeError `no-logits` when there is none, or when the end needs more than the residual stream
 */
function unembeddingModel(model: Model, anatomy: Anatomy): Model {
  const end = anatomy.unembedding ?? none();
  const index = new GraphIndex(model);
  const needed = index.ancestors(end.logits, new Set([end.residual]));
  const nodes = model.graph.nodes.filter((node) =>
    node.outputs.some((name) => needed.has(name) && name !== end.residual),
  );
  const used = new Set(nodes.flatMap((node) => node.inputs));
  const foreign = model.graph.inputs.find(
    (input) => used.has(input.name) && !model.graph.initializers.has(input.name),
  );
  if (foreign)
    throw new HeadscopeError(
      'no-logits',
      `The unembedding also uses the input ${JSON.stringify(foreign.name)}, so it cannot be applied to single residual vectors.`,
    );
  const builder = new GraphBuilder({ opset: model.opsets.get('') ?? 13, prefix: 'headscope/lens/' });
  const type = anatomy.types.get(end.residual) ?? DataType.float;
  const rows = builder.input(RESIDUAL, 'float32', ['rows', 'd_model']);
  const residual = type === DataType.float ? rows : builder.op('Cast', [rows], { to: type });
  // between a Cast and a norm in parts: the runtime would make one norm of all three, with two types
  builder.axes('Unsqueeze', residual, [0], end.residual);
  const cast = new GraphBuilder({ opset: model.opsets.get('') ?? 13, prefix: 'headscope/lens/end/' });
  cast.op('Cast', [end.logits], { to: DataType.float }, PLAIN);
  const initializers = new Map([
    ...[...model.graph.initializers].filter(([name]) => used.has(name)),
    ...builder.graph.initializers,
  ]);
  const graph: Graph = {
    name: 'unembedding',
    nodes: [...builder.graph.nodes, ...nodes, ...cast.graph.nodes],
    inputs: builder.graph.inputs,
    outputs: [valueInfo(PLAIN, 'float32')],
    initializers,
    sparseInitializers: [],
  };
  return { ...model, graph };
}

/**
 * Final norm with statistics taken from other rows, then the unembedding, without additive terms: the linear map that direct logit
 * attribution needs (Elhage et al. 2021, frozen LayerNorm). Inputs `vectors`, `reference` [rows, dModel]; the output [rows, vocab].
 *
 * @throws HeadscopeError `no-logits`
 */
function frozenUnembeddingModel(model: Model, anatomy: Anatomy): Model {
  const end = anatomy.unembedding ?? none();
  const weight = end.weight ?? none();
  const g = new GraphBuilder({ opset: model.opsets.get('') ?? 13, prefix: 'headscope/frozen/' });
  const vectors = g.input('vectors', 'float32', ['lines', 'd_model']);
  const reference = g.input('reference', 'float32', ['lines', 'd_model']);
  const index = new GraphIndex(model);
  const stored = (name: string): string => {
    copyConstant(index, g.graph, name);
    const type = anatomy.types.get(name) ?? model.graph.initializers.get(name)?.dataType;
    return type === DataType.float ? name : g.op('Cast', [name], { to: DataType.float });
  };
  const unpacked = (name: string, quantised: Quantised): string => {
    const { scale, zero, groups } = quantised;
    const zeros = typeof zero === 'number' ? undefined : zero.name;
    for (const part of [name, scale, zeros, groups])
      if (part !== undefined) copyConstant(index, g.graph, part);
    return dequantisedMatrix(g, name, quantised);
  };
  let x = vectors;
  const norm = end.finalNorm;
  if (norm) {
    const centre = (value: string): string =>
      norm.kind === 'rmsnorm' ? value : g.op('Sub', [value, g.reduce('ReduceMean', value, [-1])]);
    const centred = centre(reference);
    const variance = g.reduce('ReduceMean', g.op('Mul', [centred, centred]), [-1]);
    x = g.op('Div', [centre(vectors), g.op('Sqrt', [g.op('Add', [variance, g.float(norm.epsilon)])])]);
    if (norm.scale) x = g.op('Mul', [x, stored(norm.scale)]);
  }
  const matrix = weight.quantised ? unpacked(weight.name, weight.quantised) : stored(weight.name);
  const logits = g.op('MatMul', [
    x,
    weight.transposed ? g.op('Transpose', [matrix], { perm: [1, 0] }) : matrix,
  ]);
  const scaled = end.factor === undefined ? logits : g.op('Mul', [logits, g.float(end.factor)]);
  g.output(scaled, 'float32', ['lines', 'vocab'], FROZEN);
  return { ...g.model(), irVersion: model.irVersion };
}

/** Copies a stored value into a graph, with the nodes that compute it from stored ones (1 + w). */
function copyConstant(index: GraphIndex, graph: Graph, name: string): void {
  const { initializers } = index.model.graph;
  if (!index.isConstant(name)) none();
  const needed = index.ancestors(name);
  for (const value of needed) {
    const tensor = initializers.get(value);
    if (tensor) graph.initializers.set(value, tensor);
  }
  const present = new Set(graph.nodes.flatMap((node) => node.outputs));
  for (const node of index.model.graph.nodes)
    if (node.outputs.some((output) => needed.has(output) && !present.has(output))) graph.nodes.push(node);
}
