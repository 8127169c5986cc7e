import { subgraphs } from '../onnx/walk.ts';
import { usedNames } from '../onnx/check.ts';
import type { Model, Node, TensorProto } from '../onnx/model.ts';

/** Operators that hand their first input on, changed at most in type or by dropout. */
const PASSING = new Set(['Identity', 'Cast', 'Dropout', 'CastLike']);

/** Operators that read only the shape of a value: nothing flows through them. */
const SHAPE_ONLY = new Set(['Shape', 'Size', 'ConstantOfShape']);

/** Who makes and who uses each value of the top-level graph. */
export class GraphIndex {
  readonly model: Model;
  private readonly producers = new Map<string, Node>();
  private readonly users = new Map<string, Node[]>();
  private readonly order = new Map<Node, number>();

  constructor(model: Model) {
    this.model = model;
    model.graph.nodes.forEach((node, i) => {
      this.order.set(node, i);
      for (const output of node.outputs) if (output) this.producers.set(output, node);
      for (const input of new Set(usedNames(node))) {
        const list = this.users.get(input);
        if (list) list.push(node);
        else this.users.set(input, [node]);
      }
    });
  }

  producer(value: string): Node | undefined {
    return this.producers.get(value);
  }

  consumers(value: string): readonly Node[] {
    return this.users.get(value) ?? [];
  }

  /** Position of a node in the order of execution. */
  position(node: Node): number {
    return this.order.get(node) ?? -1;
  }

  /**
   * The stored tensor behind a value, seen through Cast, Identity and Transpose (a tied or untransposed weight).
   * `transposed` says whether the value is the stored matrix transposed.
   */
  weight(value: string): { tensor: TensorProto; transposed: boolean } | undefined {
    let transposed = false;
    let at = value;
    for (let step = 0; step < 8; step++) {
      const tensor = this.model.graph.initializers.get(at);
      if (tensor) return { tensor, transposed };
      const node = this.producers.get(at);
      if (!node) return undefined;
      if (node.opType === 'Constant') {
        const inline = node.attributes.get('value')?.tensor;
        return inline && { tensor: inline, transposed };
      }
      if (node.opType === 'Transpose') {
        const perm = node.attributes.get('perm')?.ints;
        if (perm && !(perm.length === 2 && perm[0] === 1)) return undefined;
        transposed = !transposed;
      } else if (!PASSING.has(node.opType)) return undefined;
      at = node.inputs[0];
    }
    return undefined;
  }

  isWeight(value: string): boolean {
    return this.weight(value) !== undefined;
  }

  /** Goes back through operators that hand their input on. */
  source(value: string): string {
    let at = value;
    for (;;) {
      const node = this.producers.get(at);
      if (!node || !PASSING.has(node.opType) || node.outputs[0] !== at) return at;
      at = node.inputs[0];
    }
  }

  /** All values that `value` is computed from, itself included. `stop` values are included but not looked behind. */
  ancestors(value: string, stop: ReadonlySet<string> = new Set()): Set<string> {
    const seen = new Set<string>([value]);
    const stack = [value];
    while (stack.length) {
      const at = stack.pop() as string;
      if (stop.has(at)) continue;
      const node = this.producers.get(at);
      if (!node || SHAPE_ONLY.has(node.opType)) continue;
      const inputs = subgraphs(node).length ? usedNames(node) : node.inputs;
      for (const input of inputs) {
        if (input === '' || seen.has(input)) continue;
        seen.add(input);
        stack.push(input);
      }
    }
    return seen;
  }

  /** True when `of` is computed from `value`. Searches back from `of`, never further than `value` was made. */
  dependsOn(of: string, value: string): boolean {
    if (of === value) return true;
    const maker = this.producers.get(value);
    const limit = maker ? this.position(maker) : -1;
    const seen = new Set<string>([of]);
    const stack = [of];
    while (stack.length) {
      const node = this.producers.get(stack.pop() as string);
      if (!node || this.position(node) <= limit || SHAPE_ONLY.has(node.opType)) continue;
      for (const input of usedNames(node)) {
        if (input === value) return true;
        if (seen.has(input)) continue;
        seen.add(input);
        stack.push(input);
      }
    }
    return false;
  }
}
