import { HeadscopeError } from '../../errors.ts';
import { GraphBuilder } from '../../onnx/build.ts';
import { Inference, knownConstants, knownTensor, type Known } from '../../onnx/infer.ts';
import type { Model, Node } from '../../onnx/model.ts';
import { GraphIndex } from '../graph-index.ts';
import { readFixedSizes, readInputs } from '../inputs.ts';
import { nodeName } from '../operators.ts';
import { sampleInputs } from '../sample-inputs.ts';
import { RULES } from './rules.ts';
import type { Rule, RuleContext } from './rule.ts';

/** One fused operator of a model, and what became of it. */
export interface FusedNode {
  readonly opType: string;
  readonly where: string;
  /** Why it stayed as it was; absent when it was rewritten. */
  readonly why?: string;
}

export interface Unfused {
  /** The same model with fused operators in their parts; the very model that was given when there was nothing to do. */
  readonly model: Model;
  readonly nodes: readonly FusedNode[];
}

/** Prompts for which shapes are worked out, an ordinary one and the smallest: what is the same for both is taken to be so for all. */
const SIZES = [
  { batch: 2, tokens: 5, source: 4 },
  { batch: 1, tokens: 1, source: 1 },
];

/** Values that bodies of loops may add to a graph. */
const MOST_ADDED = 30_000;

/** Names of values in the top-level graph. */
function valueNames(model: Model): Set<string> {
  const { nodes, inputs, initializers } = model.graph;
  return new Set([
    ...nodes.flatMap((node) => node.outputs),
    ...inputs.map(({ name }) => name),
    ...initializers.keys(),
  ]);
}

/**
 * Rewrites operators that hide attention inside themselves into ordinary operators that show it. The model given is not changed, its weights are
 * referred to and not copied, and every value that other nodes or outputs use keeps its name.
 *
 * @param rules operators to rewrite
 */
export function unfuse(model: Model, rules: readonly Rule[] = RULES): Unfused {
  const byName = new Map(rules.map((rule) => [`${rule.domain}/${rule.opType}`, rule]));
  const ruleOf = (node: Node): Rule | undefined => byName.get(`${node.domain}/${node.opType}`);
  if (!model.graph.nodes.some(ruleOf)) return { model, nodes: [] };

  const opset = model.opsets.get('') ?? 1;
  const index = new GraphIndex(model);
  const inputs = readInputs(index);
  const fixed = readFixedSizes(index, inputs);
  const constants = knownConstants(model);
  const runs = SIZES.map(
    (sizes) => new Inference(opset, new Map([...constants, ...sampleInputs(inputs, { ...sizes, ...fixed })])),
  );
  const known = runs.map((run) => run.known);
  const taken = valueNames(model);
  const prefixes = new Set([...taken].map((name) => name.slice(0, name.indexOf('/') + 1)));
  let prefix = 'unfused/';
  for (let i = 1; prefixes.has(prefix); i++) prefix = `unfused${i}/`;
  const g = new GraphBuilder({ opset, prefix });
  const context: RuleContext = {
    g,
    known: known[0],
    opset,
    taken,
    always: (value) => sameNumber(known, value),
    budget: { values: MOST_ADDED },
    alwaysLong: (value, axis) => sameLength(known, value, axis),
    stored: (name) => g.graph.initializers.get(name) ?? model.graph.initializers.get(name),
  };

  const nodes: Node[] = [];
  const found: FusedNode[] = [];
  const pending = [...model.graph.nodes].reverse();
  while (pending.length) {
    const node = pending.pop() as Node;
    const rule = ruleOf(node);
    const made = rule && rewrite(rule, node, context, known);
    if (made)
      found.push({ opType: node.opType, where: nodeName(node), ...(made.why ? { why: made.why } : {}) });
    if (made?.nodes) {
      for (const each of made.nodes.reverse()) pending.push(each); // a branch may hold fused operators in its turn
      continue;
    }
    nodes.push(node);
    for (const run of runs) run.follow(node);
  }
  const initializers = new Map([...model.graph.initializers, ...g.graph.initializers]);
  return { model: { ...model, graph: { ...model.graph, nodes, initializers } }, nodes: found };
}

/** The nodes that take a fused one's place, or why it has to stay. */
function rewrite(
  rule: Rule,
  node: Node,
  context: RuleContext,
  known: readonly Map<string, Known>[],
): { nodes?: Node[]; why?: string } {
  const { graph } = context.g;
  const before = graph.nodes.length;
  const stored = new Set(graph.initializers.keys());
  const refused = attempt(() => rule.rewrite(node, context));
  const nodes = graph.nodes.splice(before);
  const lacks = nodes.some(({ inputs }) => (inputs as (string | undefined)[]).includes(undefined));
  const why = refused ?? (lacks ? 'one of its inputs is missing' : undefined);
  for (const [name, tensor] of graph.initializers)
    if (!stored.has(name)) for (const each of known) each.set(name, knownTensor(tensor));
  return why === undefined ? { nodes } : { why };
}

/** Sizes that do not fit together in one operator are no reason to refuse the whole model here. */
function attempt(rewriting: () => string | undefined): string | undefined {
  try {
    return rewriting();
  } catch (error) {
    if (error instanceof HeadscopeError) return error.message;
    throw error;
  }
}

function sameNumber(known: readonly ReadonlyMap<string, Known>[], value: string): number | undefined {
  const numbers = known.map((each) => each.get(value)?.values);
  const first = numbers[0]?.length === 1 ? numbers[0][0] : undefined;
  return numbers.every((values) => values?.length === 1 && values[0] === first) ? first : undefined;
}

function sameLength(
  known: readonly ReadonlyMap<string, Known>[],
  value: string,
  axis: number,
): number | undefined {
  const lengths = known.map((each) => each.get(value)?.dims?.at(axis));
  return lengths.every((length) => length === lengths[0]) ? lengths[0] : undefined;
}
