import { BITS, isRange, type Graph, type Node } from '../../onnx/model.ts';
import { OPAQUE_ATTENTION } from '../operators.ts';
import { renamedNode } from '../../onnx/rename.ts';
import { subgraphs } from '../../onnx/walk.ts';
import { inputsOf, intOf, type Rule, type RuleContext } from './rule.ts';

/** Far more than the deepest model has layers. */
const MOST_TIMES = 256;

const NO_ATTENTION = 'nothing in its body looks like attention';

/**
 * Loop over a number of layers that is stored in the file: its body is written once for each, with the weights of that layer. A body that looks
 * no attention up stays as it is.
 */
export const loop: Rule = {
  opType: 'Loop',
  domain: '',
  rewrite(node, context) {
    const body = node.attributes.get('body')?.graph;
    if (!body) return 'its body is missing';
    if (!attends(body)) return NO_ATTENTION;
    const [count, condition, ...initial] = inputsOf(node);
    const times = count === undefined ? undefined : context.always(count);
    if (times === undefined || !Number.isFinite(times))
      return 'how often its body runs depends on what is fed';
    if (condition !== undefined && context.always(condition) !== 1)
      return 'whether its body runs depends on what is fed';
    if (!goesOn(body, context)) return 'its body may end the loop early';
    const states = initial.length;
    const room = noRoom(body, times, context);
    if (room !== undefined) return room;
    const rounds = new Rounds(node, body, context);
    let state = initial as string[];
    for (let i = 0; i < times; i++) {
      const given = [context.g.int(i), condition ?? truth(context), ...state];
      const results = rounds.write(given, i);
      state = results.slice(1, 1 + states);
      rounds.keep(results.slice(1 + states));
    }
    rounds.finish(
      state,
      rounds.kept.map(() => 0),
    );
    return undefined;
  },
};

/** Scan over weights that are stacked by layer: its body is written once for each layer. */
export const scan: Rule = {
  opType: 'Scan',
  domain: '',
  rewrite(node, context) {
    const body = node.attributes.get('body')?.graph;
    if (!body) return 'its body is missing';
    if (!attends(body)) return NO_ATTENTION;
    const inputs = inputsOf(node) as string[];
    const stacked = intOf(node, 'num_scan_inputs', 0);
    const states = inputs.length - stacked;
    const list = (name: string, i: number): number => node.attributes.get(name)?.ints?.[i] ?? 0;
    const scanned = inputs.slice(states).map((value, i) => ({
      value,
      axis: list('scan_input_axes', i),
      back: list('scan_input_directions', i) === 1,
    }));
    const times = scanned.length ? context.alwaysLong(scanned[0].value, scanned[0].axis) : undefined;
    if (times === undefined) return 'how often its body runs depends on the length of the prompt';
    const outputs = body.outputs.length - states;
    if (Array.from({ length: outputs }, (_, i) => list('scan_output_directions', i)).includes(1))
      return 'it stacks results from the last to the first';
    const room = noRoom(body, times, context);
    if (room !== undefined) return room;
    const rounds = new Rounds(node, body, context);
    let state = inputs.slice(0, states);
    for (let i = 0; i < times; i++) {
      const parts = scanned.map(({ value, axis, back }) =>
        part(context, value, axis, back ? times - 1 - i : i),
      );
      const results = rounds.write([...state, ...parts], i);
      state = results.slice(0, states);
      rounds.keep(results.slice(states));
    }
    rounds.finish(
      state,
      Array.from({ length: outputs }, (_, i) => list('scan_output_axes', i)),
    );
    return undefined;
  },
};

/** True when a body, or a graph in it, has a softmax, two products or an attention operator. */
function attends(body: Graph): boolean {
  let products = 0;
  const visit = ({ nodes }: Graph): boolean =>
    nodes.some((node) => {
      if (/^(MatMul|Einsum)$/.test(node.opType)) products++;
      const here = node.opType === 'Softmax' || OPAQUE_ATTENTION.test(node.opType) || products > 1;
      return here || subgraphs(node).some(visit);
    });
  return visit(body);
}

/** True when the condition that a Loop's body gives out is always true, or the one that it is given. */
function goesOn({ inputs, outputs, nodes, initializers }: Graph, context: RuleContext): boolean {
  let at = outputs[0]?.name;
  for (let step = 0; step < 8 && at !== undefined; step++) {
    if (at === inputs[1]?.name) return true;
    const node = nodes.find((each) => each.outputs[0] === at);
    const tensor = node?.opType === 'Constant' ? node.attributes.get('value')?.tensor : initializers.get(at);
    if (tensor) return !isRange(tensor.data) && tensor.data.length === 1 && tensor.data[0] === 1;
    if (!node) return context.always(at) === 1;
    if (node.opType !== 'Identity' && node.opType !== 'Cast') return false;
    at = node.inputs[0];
  }
  return false;
}

/** Every name that a graph or a graph in it gives to a value. */
function ownNames(graph: Graph): string[] {
  return [
    ...graph.inputs.map(({ name }) => name),
    ...graph.initializers.keys(),
    ...graph.nodes.flatMap((node) => [...node.outputs, ...subgraphs(node).flatMap(ownNames)]),
  ];
}

/** Why a body is not written so many times; undefined when it may be. */
function noRoom(body: Graph, times: number, { budget }: RuleContext): string | undefined {
  if (body.sparseInitializers.length) return 'its body has sparse weights';
  if (times < 1) return 'its body never runs';
  if (times > MOST_TIMES) return `its body runs ${times} times, more often than a model has layers`;
  const values = ownNames(body).length * times;
  if (values > budget.values) return `its body is too large to be written ${times} times`;
  budget.values -= values;
  return undefined;
}

const truth = ({ g }: RuleContext): string => g.constant(Uint8Array.of(1), [], 'bool');

/** One layer of a stack: a stored one stays where it is in its file. */
function part(context: RuleContext, value: string, axis: number, i: number): string {
  const { g } = context;
  const tensor = axis === 0 ? context.stored(value) : undefined;
  const [count, ...dims] = tensor?.dims ?? [];
  const bits = BITS[tensor?.dataType ?? 0] ?? NaN;
  const bytes = dims.reduce((product, dim) => product * dim, bits) / 8;
  if (!tensor || tensor.strings || !Number.isInteger(bytes) || !(i < count))
    return g.op('Gather', [value, g.int(i)], { axis });
  const { data, dataType } = tensor;
  const from = i * bytes;
  const own = isRange(data)
    ? { ...data, offset: data.offset + from, length: bytes }
    : data.subarray(from, from + bytes);
  const name = g.unique('layer');
  g.graph.initializers.set(name, { name, dims, dataType, data: own });
  return name;
}

/** Writes a body several times, each with names of its own. */
class Rounds {
  /** What each stacked result is made of. */
  readonly kept: string[][] = [];
  private readonly own: ReadonlySet<string>;
  private readonly prefix: string;
  private readonly node: Node;
  private readonly body: Graph;
  private readonly context: RuleContext;

  constructor(node: Node, body: Graph, context: RuleContext) {
    this.node = node;
    this.body = body;
    this.context = context;
    this.own = new Set(ownNames(body));
    this.prefix = context.g.unique('round');
    for (const [name, tensor] of body.initializers) {
      const shared = `${this.prefix}/${name}`;
      context.g.graph.initializers.set(shared, { ...tensor, name: shared });
    }
  }

  /** @returns the body's results */
  write(given: readonly string[], i: number): string[] {
    const { body, context, own, prefix, node } = this;
    const names = new Map(body.inputs.map(({ name }, at) => [name, given[at]]));
    const name = (value: string): string => {
      if (value === '') return value;
      const known = names.get(value);
      if (known !== undefined) return known;
      if (body.initializers.has(value)) return `${prefix}/${value}`;
      return own.has(value) ? `${prefix}/${i}/${value}` : value;
    };
    const where = node.name || node.outputs.find((output) => output !== '') || node.opType;
    for (const each of body.nodes) {
      const [table, at] = each.inputs.map(name);
      const layer = each.opType === 'Gather' && each.domain === '' && at === context.g.int(i);
      const axis = intOf(each, 'axis', 0);
      if (layer && axis === 0 && context.stored(table)) {
        names.set(each.outputs[0], part(context, table, 0, i));
        continue;
      }
      const written = renamedNode(each, name);
      if (each.name) written.name = `${where}/${i}/${each.name}`;
      for (const output of written.outputs) context.taken.add(output);
      context.g.graph.nodes.push(written);
    }
    return body.outputs.map((output) => name(output.name));
  }

  /** Notes what a round adds to the stacked results. */
  keep(results: readonly string[]): void {
    results.forEach((result, i) => (this.kept[i] ??= []).push(result));
  }

  /** Gives the last states, and the stacked results along their axes, the names that the model reads. */
  finish(states: readonly string[], axes: readonly number[]): void {
    const { g } = this.context;
    const { outputs } = this.node;
    states.forEach((state, i) => {
      if (outputs[i]) g.op('Identity', [state], {}, outputs[i]);
    });
    this.kept.forEach((results, i) => {
      const output = outputs[states.length + i];
      if (!output) return;
      const parts = results.map((result) => g.axes('Unsqueeze', result, [axes[i]]));
      g.op('Concat', parts, { axis: axes[i] }, output);
    });
  }
}
