import { HeadscopeError } from '../errors.ts';
import { usedNames } from '../onnx/check.ts';
import { DataType, type Model, type Node, type TensorProto } from '../onnx/model.ts';
import type { Quantised } from '../onnx/quantised.ts';
import { linearQuantised } from './stored-matrix.ts';

const FLOAT = new Set<number>([DataType.float, DataType.float16, DataType.double, DataType.bfloat16]);

/** Operators that hand their first input on, changed at most in type or by dropout. */
const PASSING = new Set(['Identity', 'Cast', 'Dropout', 'CastLike']);

/** The same for values that are rounded to few bits on the way. */
const ROUNDING = new Set(['QuantizeLinear', 'DynamicQuantizeLinear', 'DequantizeLinear']);

/** Operators that read only the shape of a value: nothing flows through them. */
const SHAPE_ONLY = new Set(['Shape', 'Size', 'ConstantOfShape']);

/** A stored tensor, and whether the graph uses it transposed. */
export interface StoredWeight {
  readonly tensor: TensorProto;
  readonly transposed: boolean;
  /** How its numbers are read, when a DequantizeLinear stands behind them. */
  readonly quantised?: Quantised;
}

/** Looks at a value's maker or users that reading one graph may take; the samples take 4 a node. */
const MAX_STEPS = 5_000_000;

/**
 * Who makes and who uses each value of the top-level graph. Nodes must be in the order in which they run.
 *
 * Every search throws HeadscopeError `too-complex` when a graph is so entangled that reading it would not end.
 */
export class GraphIndex {
  readonly model: Model;
  private readonly producers = new Map<string, Node>();
  private readonly users = new Map<string, Node[]>();
  private readonly order = new Map<Node, number>();
  private readonly reads = new Map<Node, ReadonlySet<string>>();
  private steps = 0;
  private readonly fixed = new Set<string>();
  private readonly text = new Set<string>();

  constructor(model: Model) {
    this.model = model;
    for (const name of model.graph.initializers.keys()) this.fixed.add(name);
    for (const { name, elemType, dims } of model.graph.inputs)
      if (FLOAT.has(elemType) && dims?.length === 3) this.text.add(name);
    model.graph.nodes.forEach((node, i) => {
      this.order.set(node, i);
      const used = new Set(usedNames(node));
      this.reads.set(node, used);
      const isFixed = [...used].every((name) => this.fixed.has(name)) && !node.opType.startsWith('Random');
      const lookup =
        /^Gather(BlockQuantized)?$/.test(node.opType) &&
        this.fixed.has(node.inputs[0]) &&
        !this.fixed.has(node.inputs[1]);
      const seen = node.opType === 'Conv' && !this.fixed.has(node.inputs[0]); // of a picture or sound
      const isText =
        lookup || seen || (!SHAPE_ONLY.has(node.opType) && [...used].some((name) => this.text.has(name)));
      for (const output of node.outputs) {
        if (!output) continue;
        this.producers.set(output, node);
        if (isFixed) this.fixed.add(output);
        if (isText) this.text.add(output);
      }
      for (const input of used) {
        const list = this.users.get(input);
        if (list) list.push(node);
        else this.users.set(input, [node]);
      }
    });
  }

  private spend(steps: number): void {
    this.steps += steps;
    if (this.steps > MAX_STEPS)
      throw new HeadscopeError(
        'too-complex',
        'The graph is too entangled to be read: its values depend on one another in too many ways. Export the model again.',
      );
  }

  producer(value: string): Node | undefined {
    this.spend(1);
    return this.producers.get(value);
  }

  consumers(value: string): readonly Node[] {
    const users = this.users.get(value) ?? [];
    this.spend(users.length);
    return users;
  }

  /** Position of a node in the order of execution. */
  position(node: Node): number {
    return this.order.get(node) ?? -1;
  }

  /** When a value comes to be; stored values and inputs are there from the start. */
  madeAt(value: string): number {
    const node = this.producers.get(value);
    return node ? this.position(node) : -1;
  }

  /** True when the value is stored or computed from stored values alone: no input of the graph changes it. */
  isConstant(value: string): boolean {
    return this.fixed.has(value);
  }

  /** True when the value depends on rows looked up in a stored table or on hidden states that are fed: on what the prompt says. */
  readsText(value: string): boolean {
    return this.text.has(value);
  }

  /** The stored tensor behind a value, seen through Cast, Identity, Transpose and DequantizeLinear (a tied or untransposed weight). */
  weight(value: string): StoredWeight | undefined {
    let transposed = false;
    let at = value;
    let scaled: Node | undefined;
    for (let step = 0; step < 8; step++) {
      const tensor = this.model.graph.initializers.get(at);
      if (tensor && !scaled) return { tensor, transposed };
      if (tensor && scaled) {
        const [, scale, zero] = scaled.inputs;
        const attribute = (name: string, fallback: number): number =>
          scaled?.attributes.get(name)?.int ?? fallback;
        const block = attribute('block_size', 0);
        const quantised = linearQuantised(
          this,
          tensor,
          scale,
          zero || undefined,
          attribute('axis', 1),
          block,
        );
        return quantised && { tensor, transposed, quantised };
      }
      const node = this.producers.get(at);
      if (!node) return undefined;
      if (node.opType === 'Constant') {
        const inline = node.attributes.get('value')?.tensor;
        return inline && !scaled ? { tensor: inline, transposed } : undefined;
      }
      if (scaled) return undefined;
      if (node.opType === 'Transpose') {
        const perm = node.attributes.get('perm')?.ints;
        if (perm && !(perm.length === 2 && perm[0] === 1)) return undefined;
        transposed = !transposed;
      } else if (node.opType === 'DequantizeLinear') scaled = node;
      else if (!PASSING.has(node.opType)) return undefined;
      at = node.inputs[0];
    }
    return undefined;
  }

  /** Goes back through operators that hand their input on, rounded at most. */
  source(value: string): string {
    let at = value;
    for (;;) {
      const node = this.producer(at);
      if (!node || node.outputs[0] !== at) return at;
      if (!PASSING.has(node.opType) && !ROUNDING.has(node.opType)) return at;
      at = node.inputs[0];
    }
  }

  /** All values that `value` is computed from, itself included. `stop` values are included but not looked behind. */
  ancestors(value: string, stop: ReadonlySet<string> = new Set()): Set<string> {
    return this.search(value, (at) => stop.has(at), -1).seen;
  }

  /** True when `of` is computed from `value`. Searches back from `of`, never further than `value` was made. */
  dependsOn(of: string, value: string): boolean {
    return of === value || this.search(of, () => false, this.madeAt(value)).seen.has(value);
  }

  /** What `value` is computed with, going back no further than the values of `stop` and what was made before all of them. */
  since(value: string, stop: ReadonlySet<string>): { readonly seen: Set<string>; readonly nodes: Set<Node> } {
    let earliest = Infinity;
    for (const name of stop) earliest = Math.min(earliest, this.madeAt(name));
    return this.search(value, (at) => stop.has(at), earliest);
  }

  /** Goes back from a value to values made after position `after`. */
  private search(
    value: string,
    stop: (value: string) => boolean,
    after: number,
  ): { seen: Set<string>; nodes: Set<Node> } {
    const seen = new Set<string>([value]);
    const nodes = new Set<Node>();
    const stack = [value];
    while (stack.length) {
      const at = stack.pop() as string;
      if (stop(at)) continue;
      const node = this.producers.get(at);
      if (!node || nodes.has(node) || this.position(node) <= after || SHAPE_ONLY.has(node.opType)) continue;
      nodes.add(node);
      const used = this.reads.get(node) ?? [];
      this.spend(1 + (this.reads.get(node)?.size ?? 0));
      for (const input of used) {
        if (seen.has(input)) continue;
        seen.add(input);
        stack.push(input);
      }
    }
    return { seen, nodes };
  }
}
