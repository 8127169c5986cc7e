import type { Anatomy, Block, HeadValue } from '../anatomy/anatomy.ts';
import { sortNodes } from '../onnx/check.ts';
import { GraphBuilder } from '../onnx/build.ts';
import { DataType, type Graph, type Model, type Node } from '../onnx/model.ts';
import { editPattern } from './edit-pattern.ts';
import { Names, type Switch } from './names.ts';
import { summarise } from './summaries.ts';
import { HeadscopeError } from '../errors.ts';

/** A model with taps and edits built in. Everything is off until an input turns it on. */
export interface Instrumented {
  readonly model: Model;
  readonly names: Names;
  /** Output names of one layer's taps, by what they carry. */
  readonly taps: readonly Readonly<Record<string, string>>[];
  /** Switches that exist in each layer. */
  readonly switches: readonly ReadonlySet<Switch>[];
  readonly lastLogits?: string;
  /** Name of the output with max |x̂| per dimension of the final residual. */
  readonly finalMax?: string;
}

/** What building one layer needs. */
export interface LayerContext {
  readonly builder: GraphBuilder;
  readonly names: Names;
  readonly block: Block;
  readonly types: ReadonlyMap<string, number>;
}

function freePrefix(graph: Graph): string {
  const taken = (prefix: string): boolean =>
    graph.nodes.some((node) => node.outputs.some((name) => name.startsWith(prefix))) ||
    graph.inputs.some((input) => input.name.startsWith(prefix)) ||
    [...graph.initializers.keys()].some((name) => name.startsWith(prefix));
  let prefix = 'headscope/';
  for (let i = 1; taken(prefix); i++) prefix = `headscope${i}/`;
  return prefix;
}

/** A value per head as float32 [batch, head, ·, ·], computed with `builder`. */
export function canonical(
  builder: GraphBuilder,
  value: HeadValue,
  types: ReadonlyMap<string, number>,
  name = value.value,
): string {
  let out = name;
  if ((types.get(value.value) ?? DataType.float) !== DataType.float)
    out = builder.op('Cast', [out], { to: DataType.float });
  if (value.layout === 'flat') out = builder.op('Reshape', [out, builder.ints(0, 0, value.heads, -1)]);
  if (value.layout === 'rows') {
    const width = builder.op('Slice', [builder.op('Shape', [out]), builder.ints(-1), builder.ints(1 << 20)]);
    const shape = builder.op('Concat', [builder.ints(0, -1, value.heads), width], { axis: 0 });
    out = builder.op('Reshape', [out, shape]);
  }
  if (/^(bth|flat|rows)$/.test(value.layout)) return builder.op('Transpose', [out], { perm: [0, 2, 1, 3] });
  if (value.layout.startsWith('merged') || value.layout.startsWith('grouped')) {
    const tail = builder.op('Slice', [builder.op('Shape', [out]), builder.ints(-2), builder.ints(1 << 20)]);
    out = builder.op('Reshape', [
      out,
      builder.op('Concat', [builder.ints(-1, value.heads), tail], { axis: 0 }),
    ]);
  }
  return value.layout.endsWith('T') ? builder.op('Transpose', [out], { perm: [0, 1, 3, 2] }) : out;
}

/** Puts an edited float32 [batch, head, ·, ·] value back into the shape and type the model works with. */
export function restore(
  builder: GraphBuilder,
  edited: string,
  original: HeadValue,
  types: ReadonlyMap<string, number>,
): string {
  let out = edited;
  if (/^(bth|flat|rows)$/.test(original.layout)) out = builder.op('Transpose', [out], { perm: [0, 2, 1, 3] });
  else if (original.layout.endsWith('T')) out = builder.op('Transpose', [out], { perm: [0, 1, 3, 2] });
  if (original.layout !== 'bh') out = builder.op('Reshape', [out, builder.op('Shape', [original.value])]);
  const type = types.get(original.value) ?? DataType.float;
  return type === DataType.float ? out : builder.op('Cast', [out], { to: type });
}

/** `then` when the switch is on, else `otherwise`; both fill the same number of outputs. */
export function gated(
  builder: GraphBuilder,
  condition: string,
  outputs: readonly string[],
  then: (body: GraphBuilder) => readonly string[],
  otherwise: (body: GraphBuilder) => readonly string[],
): void {
  const branch = (name: string, make: (body: GraphBuilder) => readonly string[]): GraphBuilder => {
    const body = builder.subgraph(name);
    for (const value of make(body)) {
      const own = body.graph.nodes.some((node) => node.outputs.includes(value));
      body.output(value, 'float32', undefined, own ? undefined : body.unique('out')); // outer values go through an Identity
    }
    return body;
  };
  builder.ops(
    'If',
    [condition],
    { then_branch: branch('on', then), else_branch: branch('off', otherwise) },
    outputs,
  );
}

/** A float32 tensor with no elements: what a tap gives while it is off. */
const nothing = (body: GraphBuilder): string => body.constant(new Float32Array(0), [0]);

/**
 * Builds taps and edits for every block into a copy of the graph. Weights are not touched: the result refers to the same byte ranges.
 *
 * @throws HeadscopeError `no-heads` when there is no attention block to instrument
 */
export function instrument(model: Model, anatomy: Anatomy): Instrumented {
  if (anatomy.blocks.length === 0) {
    const reasons = anatomy.unrecognised.map(({ what, where, why }) => `${what} (${where}): ${why}`);
    throw new HeadscopeError(
      'no-heads',
      `No attention head was found in this model. ${reasons.slice(0, 3).join('; ') || 'It has no softmax over keys'}.`,
    );
  }
  const names = new Names(freePrefix(model.graph));
  const builder = new GraphBuilder({ opset: model.opsets.get('') ?? 13, prefix: names.global('n/') });
  const renamed = new Map<string, string>();
  const taps: Record<string, string>[] = [];
  const switches: Set<Switch>[] = [];
  builder.input(names.global('valid'), 'float32', ['batch', 'tokens']);
  builder.input(names.global('features'), 'float32', ['batch', 'tokens_squared', 3]);
  builder.input(names.global('sinkable'), 'float32', ['batch', 'tokens']);
  builder.input(names.global('var_dims'), 'float32', ['var_batch', 'd_model']);
  builder.input(names.global('var_span'), 'float32', ['var_batch', 'var_tokens']);
  builder.input(names.global('var_queries'), 'float32', ['var_batch', 'var_tokens']);
  builder.input(names.global('var_settings'), 'float32', ['var_batch', 4]);
  for (const block of anatomy.blocks) {
    const layer = instrumentBlock({ builder, names, block, types: anatomy.types }, renamed);
    taps.push(layer.taps);
    switches.push(layer.switches);
  }
  const { finalMax, lastLogits } = instrumentEnd(builder, names, anatomy, model.opsets.get('') ?? 13);
  const graph = join(model.graph, builder.graph, renamed);
  return { model: { ...model, graph }, names, taps, switches, lastLogits, finalMax };
}

function instrumentBlock(
  context: LayerContext,
  renamed: Map<string, string>,
): { taps: Record<string, string>; switches: Set<Switch> } {
  const { builder: g, names, block, types } = context;
  const at = (what: string): string => names.layer(block.layer, what);
  const taps: Record<string, string> = {};
  const switches = new Set<Switch>();
  const condition = (name: Switch): string => {
    switches.add(name);
    return g.input(at(name), 'bool', []);
  };
  const output = (value: string): string => {
    g.output(value, 'float32');
    return value;
  };

  g.input(at('inverse_count'), 'float32', ['batch', 'tokens']);
  renamed.set(block.pattern.value, editPattern(context, condition));
  taps.pattern_change = output(at('pattern_change'));

  // z' = scale · z + add
  g.input(at('z_scale'), 'float32', ['zs_b', 'zs_h', 'zs_t', 1]);
  g.input(at('z_add'), 'float32', ['za_b', 'za_h', 'za_t', 'za_d']);
  gated(
    g,
    condition('edit_z'),
    [at('z_edited'), at('z_change')],
    (body) => {
      const z = canonical(body, block.z, types);
      const edited = body.op('Add', [body.op('Mul', [z, at('z_scale')]), at('z_add')]);
      const change = body.reduce('ReduceMax', body.op('Abs', [body.op('Sub', [edited, z])]), [2, 3], false);
      return [edited, change];
    },
    (body) => [canonical(body, block.z, types), body.constant(new Float32Array(1), [1, 1])],
  );
  renamed.set(block.z.value, restore(g, at('z_edited'), block.z, types));
  taps.z_change = output(at('z_change'));

  const tap = (name: Switch, values: Record<string, (body: GraphBuilder) => string>): void => {
    const keys = Object.keys(values);
    if (keys.length === 0) return;
    gated(
      g,
      condition(name),
      keys.map((key) => at(`captured_${key}`)),
      (body) => keys.map((key) => values[key](body)),
      (body) => keys.map(() => nothing(body)),
    );
    for (const key of keys) taps[key] = output(at(`captured_${key}`));
  };
  const head =
    (value: HeadValue) =>
    (body: GraphBuilder): string =>
      canonical(body, value, types);
  const plain =
    (value: string) =>
    (body: GraphBuilder): string =>
      (types.get(value) ?? DataType.float) === DataType.float
        ? value
        : body.op('Cast', [value], { to: DataType.float });
  tap('tap_pattern', { pattern: () => at('pattern_canonical') });
  tap('tap_scores', { scores: head(block.scores) });
  tap('tap_qkv', {
    ...(block.q ? { q: head(block.q) } : {}),
    ...(block.k ? { k: head(block.k) } : {}),
    ...(block.v ? { v: head(block.v) } : {}),
  });
  tap('tap_z', { z: () => at('z_edited') });
  const projection = block.outputProjection;
  if (projection)
    tap('tap_result', { result: (body) => headResults(body, at('z_edited'), projection, types) });
  tap('tap_resid', {
    ...(block.residPre ? { resid_pre: plain(block.residPre) } : {}),
    ...(block.residMid ? { resid_mid: plain(block.residMid) } : {}),
    ...(block.residPost ? { resid_post: plain(block.residPost) } : {}),
  });
  if (block.kind === 'self') {
    const outputs = summarise(context, condition('summaries'));
    for (const [key, value] of Object.entries(outputs)) taps[key] = output(value);
  }
  return { taps, switches };
}

/** result[h] = z[h] · W_O[h] for all heads, [batch, head, position, dModel]. */
function headResults(
  body: GraphBuilder,
  z: string,
  projection: NonNullable<Block['outputProjection']>,
  types: ReadonlyMap<string, number>,
): string {
  let weight = projection.name;
  if ((types.get(weight) ?? DataType.float) !== DataType.float)
    weight = body.op('Cast', [weight], { to: DataType.float });
  if (projection.transposed) weight = body.op('Transpose', [weight], { perm: [1, 0] });
  // The shape comes from z, so that the runtime cannot fold a second copy of the weight when it loads the model.
  const shape = body.op('Shape', [z]);
  const heads = body.op('Slice', [shape, body.ints(1), body.ints(2)]);
  const width = body.op('Slice', [shape, body.ints(3), body.ints(4)]);
  const perHead = body.op('Reshape', [
    weight,
    body.op('Concat', [body.ints(1), heads, width, body.ints(-1)], { axis: 0 }),
  ]);
  return body.op('MatMul', [z, perHead]);
}

function instrumentEnd(
  g: GraphBuilder,
  names: Names,
  anatomy: Anatomy,
  opset: number,
): { finalMax?: string; lastLogits?: string } {
  const { unembedding, blocks } = anatomy;
  let finalMax: string | undefined;
  const residual = unembedding?.residual ?? blocks[blocks.length - 1].residPost;
  if (residual !== undefined) {
    finalMax = names.global('final_max');
    const condition = g.input(names.global('final_summaries'), 'bool', []);
    gated(
      g,
      condition,
      [finalMax],
      (body) => [maxNormalised(body, residual, names.global('valid'), anatomy.types)],
      (body) => [nothing(body)],
    );
    g.output(finalMax, 'float32');
  }
  let lastLogits: string | undefined;
  if (unembedding && opset >= 12) {
    // [batch, position, vocab] → the row of each prompt's last token
    lastLogits = names.global('last_logits');
    const at = g.axes('Unsqueeze', g.input(names.global('last'), 'int64', ['batch']), [1]);
    const rows = g.op('GatherND', [unembedding.logits, at], { batch_dims: 1 });
    const type = anatomy.types.get(unembedding.logits) ?? DataType.float;
    g.op(
      type === DataType.float ? 'Identity' : 'Cast',
      [rows],
      type === DataType.float ? {} : { to: DataType.float },
      lastLogits,
    );
    g.output(lastLogits, 'float32');
  }
  return { finalMax, lastLogits };
}

/** x̂ = x / RMS(x) as float32 [batch, position, dModel]. */
export function normalised(body: GraphBuilder, residual: string, types: ReadonlyMap<string, number>): string {
  const x =
    (types.get(residual) ?? DataType.float) === DataType.float
      ? residual
      : body.op('Cast', [residual], { to: DataType.float });
  const meanSquare = body.reduce('ReduceMean', body.op('Mul', [x, x]), [-1]);
  return body.op('Div', [x, body.op('Sqrt', [body.op('Add', [meanSquare, body.float(1e-30)])])]);
}

/** max over real positions of |x̂|, per dimension: [batch, dModel]. */
export function maxNormalised(
  body: GraphBuilder,
  residual: string,
  valid: string,
  types: ReadonlyMap<string, number>,
): string {
  const size = body.op('Abs', [normalised(body, residual, types)]);
  return body.reduce('ReduceMax', body.op('Mul', [size, body.axes('Unsqueeze', valid, [2])]), [1], false);
}

/** The model's graph with the added nodes, its uses of edited values turned to the edited ones. */
function join(graph: Graph, added: Graph, renamed: ReadonlyMap<string, string>): Graph {
  const own: Node[] = graph.nodes.map((node) => {
    if (!node.inputs.some((name) => renamed.has(name))) return node;
    return { ...node, inputs: node.inputs.map((name) => renamed.get(name) ?? name) };
  });
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
