import { freePrefix } from '../onnx/free-prefix.ts';
import { GraphBuilder } from '../onnx/build.ts';
import { usedNames } from '../onnx/check.ts';
import type { Model, Node } from '../onnx/model.ts';
import { isFixed, sameAxis, Shapes } from './axes.ts';
import { GraphIndex } from './graph-index.ts';
import { readFixedSizes, readInputs } from './inputs.ts';
import { mayMix, pairOf, type Pair } from './linear-attention.ts';
import { otherInput } from './operators.ts';

/** What was worked out of linear attention, by the names of values. */
export interface Implicit {
  /** Patterns that the file does not have. */
  readonly patterns: ReadonlySet<string>;
  /** Products of keys with values that the patterns stand for; some are still used for sums. */
  readonly products: ReadonlySet<string>;
}

export interface ImplicitPatterns extends Implicit {
  /** The same model with linear attention written as queries × keys; the very model that was given when there is none. */
  readonly model: Model;
}

/**
 * Linear attention multiplies keys with values first: q·(kᵀ·v), divided for each query by q·Σk. It is written here as (q·kᵀ)·v, the division
 * before the values, so that scores, pattern and z are values of the graph. A running sum over positions becomes a mask of later keys. The
 * model given is not changed, and every value that other nodes or outputs use keeps its name.
 */
export function writeImplicitPatterns(model: Model): ImplicitPatterns {
  const index = new GraphIndex(model);
  const found = model.graph.nodes.filter((node) => mayMix(index, node));
  if (found.length === 0) return { model, patterns: new Set(), products: new Set() };
  const inputs = readInputs(index);
  const shapes = new Shapes(model, inputs, readFixedSizes(index, inputs));
  const writer = new Writer(model, index, shapes);
  for (const node of found) {
    const pair = pairOf(index, shapes, node);
    if (pair) writer.write(pair);
  }
  return writer.finish();
}

/** A node that may go from the mixed values to the pattern, and what it reads of them. */
type Step = { readonly node: Node; readonly onto: 'pattern' | 'values' | 'row' };

class Writer {
  private readonly g: GraphBuilder;
  /** What takes the place of nodes. */
  private readonly written = new Map<Node, readonly Node[]>();
  /** Nodes that go when nothing uses them any more. */
  private readonly spare = new Set<Node>();
  private readonly patterns = new Set<string>();
  private readonly products = new Set<string>();

  private readonly model: Model;
  private readonly index: GraphIndex;
  private readonly shapes: Shapes;

  constructor(model: Model, index: GraphIndex, shapes: Shapes) {
    this.model = model;
    this.index = index;
    this.shapes = shapes;
    const prefix = freePrefix(model, 'implicit');
    this.g = new GraphBuilder({ opset: model.opsets.get('') ?? 13, prefix });
  }

  write(pair: Pair): void {
    const { g, shapes } = this;
    const axes = shapes.axes(pair.mix.outputs[0]);
    if (!axes || !pair.between.every((node, i) => this.isScalar(node, pair.passed[i]))) return;
    const steps = this.after(pair);
    const last = steps.at(-1)?.node ?? pair.mix;
    const before = g.graph.nodes.length;
    let pattern = pair.pattern(g);
    let values = pair.values;
    const carry = (node: Node, from: string, to: string, other?: string): string => {
      const output = g.unique(node.opType);
      const own = (name: string): string => (name === from ? to : (other ?? name));
      g.graph.nodes.push({ ...node, name: g.unique('n'), inputs: node.inputs.map(own), outputs: [output] });
      return output;
    };
    pair.between.forEach((node, i) => (pattern = carry(node, pair.passed[i], pattern)));
    let at = pair.mix.outputs[0];
    for (const { node, onto } of steps) {
      if (onto === 'values') values = carry(node, at, values);
      else if (onto === 'pattern') pattern = carry(node, at, pattern);
      else {
        const factor = otherInput(node, at);
        const turned = pair.perm ? g.op('Transpose', [factor], { perm: pair.perm }) : factor;
        pattern = carry(node, at, pattern, turned);
      }
      at = node.outputs[0];
    }
    pair.mixed(g, pattern, values, last.outputs[0]);
    this.patterns.add(pattern);
    this.products.add(pair.spare[0].outputs[0]);
    this.written.set(last, g.graph.nodes.splice(before));
    for (const node of [...pair.spare, ...pair.between, pair.mix, ...steps.map(({ node }) => node)])
      this.spare.add(node);
  }

  /** What follows the mixed values and belongs to the pattern: factors, and the division of each row. */
  private after(pair: Pair): Step[] {
    const { mix, feature } = pair;
    const steps: Step[] = [];
    let at = mix.outputs[0];
    for (let i = 0; i < 6; i++) {
      const users = this.index.consumers(at);
      const part = users.find((node) => this.isPart(node, at, feature));
      if (this.isOutput(at)) break;
      if (part && pair.valuesAlike && users.length <= 2) steps.push({ node: part, onto: 'values' });
      else if (users.length !== 1) break;
      else if (this.isScalar(users[0], at)) steps.push({ node: users[0], onto: 'pattern' });
      else if (this.isRowFactor(users[0], at, feature)) return [...steps, { node: users[0], onto: 'row' }];
      else break;
      at = steps[steps.length - 1].node.outputs[0];
    }
    // a factor alone may as well stay where it is
    return [];
  }

  private isOutput(value: string): boolean {
    return this.model.graph.outputs.some(({ name }) => name === value);
  }

  private isScalar(node: Node, value: string): boolean {
    if (node.opType === 'Identity') return true;
    if (node.opType !== 'Mul' && !(node.opType === 'Div' && node.inputs[0] === value)) return false;
    return this.shapes.elements(otherInput(node, value)) === 1;
  }

  /** One number for each query. */
  private isRowFactor(node: Node, value: string, feature: number): boolean {
    if (node.opType !== 'Mul' && !(node.opType === 'Div' && node.inputs[0] === value)) return false;
    const [factor, whole] = [otherInput(node, value), value].map((name) => this.shapes.axes(name));
    if (!factor || !whole || factor.length !== whole.length) return false;
    return factor.every((axis, i) => {
      if (i === whole.length + feature) return isFixed(axis) && axis.size === 1;
      return !!whole[i] && sameAxis(axis, whole[i]);
    });
  }

  /** Takes some of the columns: values that were given a column of ones for the sum of each row. */
  private isPart(node: Node, value: string, feature: number): boolean {
    if (node.opType !== 'Slice' || node.inputs[0] !== value) return false;
    const [from, to] = [value, node.outputs[0]].map((name) => this.shapes.axes(name));
    if (!from || to?.length !== from.length) return false;
    const columns = to[to.length + feature];
    return (
      isFixed(columns) &&
      columns.size > 1 &&
      from.every((axis, i) => i === from.length + feature || (!!axis && sameAxis(to[i], axis)))
    );
  }

  finish(): ImplicitPatterns {
    const { model, g, patterns, products } = this;
    if (patterns.size === 0) return { model, patterns, products };
    const nodes = model.graph.nodes.flatMap((node) => this.written.get(node) ?? [node]);
    const initializers = new Map([...model.graph.initializers, ...g.graph.initializers]);
    const graph = { ...model.graph, nodes: this.withoutSpare(nodes), initializers };
    return { model: { ...model, graph }, patterns, products };
  }

  /** Leaves out what only served the products that were replaced. */
  private withoutSpare(nodes: readonly Node[]): Node[] {
    const used = new Set(this.model.graph.outputs.map(({ name }) => name));
    const kept: Node[] = [];
    for (const node of [...nodes].reverse()) {
      if (this.spare.has(node) && !node.outputs.some((name) => used.has(name))) continue;
      for (const name of usedNames(node)) used.add(name);
      kept.push(node);
    }
    return kept.reverse();
  }
}
