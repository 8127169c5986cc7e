import type { Anatomy, Block } from '../anatomy/anatomy.ts';
import { HeadscopeError } from '../errors.ts';
import { sortNodes } from '../onnx/check.ts';
import { GraphBuilder } from '../onnx/build.ts';
import { DataType, type Graph, type Model } from '../onnx/model.ts';
import { applyAct } from './edit-pattern.ts';
import { canonical, restore } from './values.ts';
import type { HeadRef } from './runner.ts';

export interface ActRule {
  readonly heads: readonly HeadRef[];
  readonly alpha?: number;
  readonly absolute?: number;
  readonly beta: number;
}

/**
 * A model that calibrates its own attention: ACT for the chosen heads written into the graph, to be run anywhere without Headscope.
 * The sinks of each prompt are found inside the graph, at every run. Inputs and outputs are the model's own.
 *
 * @throws HeadscopeError `bad-calibration` for heads that do not exist, `not-supported` when a chosen block is not causal self-attention
 * or the model has no token input
 */
export function bakeAct(model: Model, anatomy: Anatomy, rule: ActRule): Model {
  const tokens = anatomy.inputs.find((input) => input.role === 'tokens');
  if (!tokens)
    throw new HeadscopeError(
      'not-supported',
      'The model has no input for token ids, so ACT cannot be written into it.',
    );
  const mask = anatomy.inputs.find((input) => input.role === 'mask');
  const g = new GraphBuilder({ opset: model.opsets.get('') ?? 13, prefix: 'headscope/act/' });
  // [batch, tokens]: 1 for real tokens. Without a mask input, every token is.
  const valid = mask
    ? g.op('Cast', [mask.name], { to: DataType.float })
    : g.op('Expand', [g.float(1), g.op('Shape', [tokens.name])]);
  const count = g.reduce('ReduceSum', valid, [1]);
  const width = g.op('Squeeze', [g.op('Slice', [g.op('Shape', [tokens.name]), g.ints(1), g.ints(2)])]);
  const positions = g.op('Cast', [g.op('Range', [g.int(0), width, g.int(1)])], { to: DataType.float });
  const seeing = g.op('Max', [g.op('Sub', [count, positions]), g.float(1)]);
  const overKeys = (value: string): string => g.axes('Unsqueeze', value, [1, 2]);
  const weights = overKeys(valid);
  const inverseCount = overKeys(g.op('Div', [g.float(1), seeing]));
  const sinkable = overKeys(
    g.op('Mul', [g.op('Cast', [g.op('Greater', [positions, g.float(0)])], { to: DataType.float }), valid]),
  );
  const threshold =
    rule.absolute === undefined
      ? g.axes('Unsqueeze', g.op('Div', [g.float(rule.alpha ?? 5), count]), [2, 3])
      : g.float(rule.absolute);
  const renamed = new Map<string, string>();
  for (const block of anatomy.blocks) {
    const heads = rule.heads.filter((head) => head.layer === block.layer);
    if (heads.length === 0) continue;
    checkHeads(block, heads);
    const on = new Float32Array(block.heads);
    for (const { head } of heads) on[head] = 1;
    const pattern = canonical(g, block.pattern, anatomy.types);
    const calibrated = applyAct(g, pattern, {
      on: g.constant(on, [1, block.heads, 1, 1]),
      threshold,
      beta: g.float(rule.beta),
      received: g.op('Mul', [g.op('MatMul', [weights, pattern]), inverseCount]),
      sinkable,
    });
    renamed.set(block.pattern.value, restore(g, calibrated, block.pattern, anatomy.types));
  }
  const missing = rule.heads.find((head) => !anatomy.blocks[head.layer]);
  if (missing)
    throw new HeadscopeError(
      'bad-calibration',
      `The calibration names layer ${missing.layer}, but the model has ${anatomy.blocks.length} layers.`,
    );
  const own = model.graph.nodes.map((node) =>
    node.inputs.some((name) => renamed.has(name))
      ? { ...node, inputs: node.inputs.map((name) => renamed.get(name) ?? name) }
      : node,
  );
  const graph: Graph = {
    ...model.graph,
    nodes: [...own, ...g.graph.nodes],
    initializers: new Map([...model.graph.initializers, ...g.graph.initializers]),
  };
  graph.nodes = sortNodes(graph, new Set());
  return { ...model, graph };
}

function checkHeads(block: Block, heads: readonly HeadRef[]): void {
  const wrong = heads.find(({ head }) => head < 0 || head >= block.heads);
  if (wrong)
    throw new HeadscopeError(
      'bad-calibration',
      `The calibration names head ${wrong.head} of layer ${block.layer}, which has ${block.heads} heads.`,
    );
  if (block.causal !== true || block.kind !== 'self')
    throw new HeadscopeError(
      'not-supported',
      `Layer ${block.layer} is not causal self-attention; ACT can only be exported for that.`,
    );
}
