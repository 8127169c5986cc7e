import type { Anatomy } from '../anatomy/anatomy.ts';
import { GraphIndex } from '../anatomy/graph-index.ts';
import { sortNodes } from '../onnx/check.ts';
import { GraphBuilder } from '../onnx/build.ts';
import { freePrefix } from '../onnx/free-prefix.ts';
import type { Graph, Model, Node } from '../onnx/model.ts';
import { captureLate, declareInputs, instrumentBlock, type LateTaps } from './block.ts';
import { instrumentEnd } from './end.ts';
import { Names } from './names.ts';
import { InBlocks, withoutUnused } from './query-blocks/in-blocks.ts';
import { HeadscopeError } from '../errors.ts';

/** A model with taps and edits built in. Everything is off until an input turns it on. */
export interface Instrumented {
  readonly model: Model;
  /** Set when attention is worked out in blocks of queries: which layers are, and why others are not. */
  readonly queryBlocks?: readonly (true | { readonly why: string })[];
  readonly names: Names;
  /** Output names of one layer's taps, by what they carry. */
  readonly taps: readonly Readonly<Record<string, string>>[];
  /** Output with the logits of each prompt's last token, where the model works all of them out. */
  readonly lastLogits?: string;
  /** Input that says at which positions logits are worked out, int64 [batch, n, 1]; then there is no `lastLogits`. */
  readonly logitRows?: string;
  /** Name of the output with max |x̂| per dimension of the final residual. */
  readonly finalMax?: string;
}

/**
 * Builds taps and edits for every block into a copy of the graph. Weights are not touched: the result refers to the same byte ranges.
 *
 * @param options.queryBlocks attention is worked out for a block of queries at a time, so that heads × T² numbers never exist at once.
 *   Such a graph gives logits and taps only: outputs of the model that hold patterns would be as large.
 * @throws HeadscopeError `no-heads` when there is no attention block to instrument
 */
export function instrument(
  model: Model,
  anatomy: Anatomy,
  options: { readonly queryBlocks?: boolean } = {},
): Instrumented {
  if (anatomy.blocks.length === 0) {
    const reasons = anatomy.unrecognised.map(({ what, where, why }) => `${what} (${where}): ${why}`);
    throw new HeadscopeError(
      'no-heads',
      `No attention head was found in this model. ${reasons.slice(0, 3).join('; ') || 'It has no softmax over keys'}.`,
    );
  }
  const names = new Names(freePrefix(model, 'headscope'));
  const builder = new GraphBuilder({ opset: model.opsets.get('') ?? 13, prefix: names.global('n/') });
  const renamed = new Map<string, string>();
  const taps: Readonly<Record<string, string>>[] = [];
  builder.input(names.global('switches'), 'bool', ['switches']);
  builder.input(names.global('captured_positions'), 'int64', ['tapped_positions']);
  builder.input(names.global('causal'), 'int64', ['layers']);
  builder.input(names.global('inverse_counts'), 'float32', [2, 'batch', 'tokens']);
  builder.input(names.global('valid'), 'float32', ['batch', 'tokens']);
  builder.input(names.global('features'), 'float32', ['batch', 'tokens_squared', 3]);
  builder.input(names.global('sinkable'), 'float32', ['batch', 'tokens']);
  builder.input(names.global('pool'), 'float32', ['pool_batch', 'pool_tokens', 'pool_cells']);
  builder.input(names.global('var_dims'), 'float32', ['var_batch', 'd_model']);
  builder.input(names.global('var_span'), 'float32', ['var_batch', 'var_tokens']);
  builder.input(names.global('var_queries'), 'float32', ['var_batch', 'var_tokens']);
  builder.input(names.global('var_settings'), 'float32', ['var_batch', 4]);
  const index = new GraphIndex(model);
  const { types } = anatomy;
  const replaced = new Set<Node>();
  const inBlocks = options.queryBlocks === true ? new InBlocks(builder, names, index, anatomy) : undefined;
  let late: LateTaps | undefined;
  for (const block of anatomy.blocks) {
    const mixing = index.producer(block.z.value) as Node;
    const inPlace =
      late && Object.values(late.values).every((value) => index.dependsOn(block.z.value, value));
    if (late && !inPlace) captureLate(builder, names, late, types);
    const context = {
      builder,
      names,
      block,
      types,
      mixing,
      patternShared: index.consumers(block.pattern.value).some((node) => node !== mixing),
      before: inPlace ? late : undefined,
    };
    declareInputs(context);
    const attention = inBlocks?.attention(context);
    const layer = instrumentBlock(context, attention?.made);
    for (const [own, edited] of attention?.renamed ?? []) renamed.set(own, edited);
    replaced.add(mixing);
    for (const [own, edited] of layer.renamed) renamed.set(own, edited);
    taps.push(layer.taps);
    late = layer.late;
  }
  if (late) captureLate(builder, names, late, types);
  const end = instrumentEnd(builder, names, anatomy, index);
  const outputs = inBlocks ? model.graph.outputs.filter(({ name }) => inBlocks.roots.has(name)) : undefined;
  const kept = model.graph.nodes.filter(
    (node) => !replaced.has(node) || model.graph.outputs.some(({ name }) => name === node.outputs[0]),
  );
  const own = kept.map((node) => {
    const rows = end.onRows.has(node) ? end.rows : undefined;
    const inputs = node.inputs.map((name) => (name === rows?.of ? rows.name : (renamed.get(name) ?? name)));
    return inputs.some((name, i) => name !== node.inputs[i]) ? { ...node, inputs } : node;
  });
  const joined = join(model.graph, own, builder.graph);
  const graph = outputs
    ? withoutUnused({ ...joined, outputs: [...outputs, ...builder.graph.outputs] })
    : joined;
  const { finalMax, lastLogits, logitRows } = end;
  return {
    model: { ...model, graph },
    names,
    taps,
    lastLogits,
    logitRows,
    finalMax,
    queryBlocks: inBlocks?.layers,
  };
}

/** The model's own nodes, rewired, together with what was added. */
function join(graph: Graph, own: readonly Node[], added: Graph): Graph {
  const joined: Graph = {
    ...graph,
    nodes: [...own, ...added.nodes],
    inputs: [...graph.inputs, ...added.inputs],
    outputs: [...graph.outputs, ...added.outputs],
    initializers: new Map([...graph.initializers, ...added.initializers]),
  };
  joined.nodes = sortNodes(joined, new Set());
  return joined;
}
