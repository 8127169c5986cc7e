import { ELEMENTWISE } from './infer/elementwise.ts';
import { isShape, isSmall, type InferTable, type Known } from './infer/known.ts';
import { MAKING } from './infer/making.ts';
import { MOVING } from './infer/moving.ts';
import { PRODUCTS } from './infer/products.ts';
import { WINDOWS } from './infer/windows.ts';
import { REDUCE } from './infer/reduce.ts';
import { SCATTER } from './infer/scatter.ts';
import { knownConstants } from './infer/stored.ts';
import { WHOLE } from './infer/whole.ts';
import type { Model, Node } from './model.ts';
import { sizeOf } from './ndarray.ts';

export type { Known } from './infer/known.ts';
export { knownConstants, knownTensor } from './infer/stored.ts';

const OPERATORS: InferTable = {
  ...ELEMENTWISE,
  ...REDUCE,
  ...MOVING,
  ...SCATTER,
  ...MAKING,
  ...PRODUCTS,
  ...WINDOWS,
  ...WHOLE,
};

/** Numbers worked out in one inference before only shapes are followed; a graph made to waste time ends here. */
const MAX_EFFORT = 1 << 23;

export interface InferOptions {
  /** What `knownConstants` gave, when it is at hand. */
  readonly constants?: ReadonlyMap<string, Known>;
  /** Values that are taken as given instead of being computed. */
  readonly fixed?: ReadonlyMap<string, Known>;
  /** When present, only these nodes are followed. */
  readonly only?: ReadonlySet<Node>;
}

/** Follows shapes and small numbers through nodes that come in the order in which they run. */
export class Inference {
  readonly known: Map<string, Known>;
  private readonly opset: number;
  private readonly fixed: ReadonlyMap<string, Known>;
  private effort = 0;

  /** @param fixed values to leave as they are */
  constructor(opset: number, known: Map<string, Known>, fixed: ReadonlyMap<string, Known> = new Map()) {
    this.opset = opset;
    this.known = known;
    this.fixed = fixed;
    for (const [name, value] of fixed) known.set(name, value);
  }

  /** Works out what one node gives and notes it; an operator that is not known leaves its outputs unknown. */
  follow(node: Node): void {
    const inputs = node.inputs.map((name) => (name === '' ? undefined : this.known.get(name)));
    // Reductions read much and give little; everything else costs about what it gives.
    if (node.opType.startsWith('Reduce')) this.effort += inputs[0]?.values?.length ?? 0;
    const given = this.effort > MAX_EFFORT ? inputs.map(withoutValues) : inputs;
    results(node, given, this.opset).forEach((result, i) => {
      const output = node.outputs[i];
      if (!result || !output || this.fixed.has(output)) return;
      const { type, values } = result;
      const dims = result.dims && isShape(result.dims) ? result.dims : undefined;
      if (values !== inputs[0]?.values) this.effort += values?.length ?? 0;
      const keep =
        dims && values && isSmall(dims) && values.length === sizeOf(dims) && this.effort <= MAX_EFFORT;
      this.known.set(output, { type, dims, values: keep ? values : undefined });
    });
  }
}

const withoutValues = (known: Known | undefined): Known | undefined =>
  known && { type: known.type, dims: known.dims };

/** A node that makes no sense (an input too few, an attribute of another kind) is ONNX Runtime's to report; here it is unknown. */
function results(
  node: Node,
  inputs: readonly (Known | undefined)[],
  opset: number,
): readonly (Known | undefined)[] {
  const infer = Object.hasOwn(OPERATORS, node.opType) ? OPERATORS[node.opType] : undefined;
  try {
    return infer?.(node, inputs, opset) ?? [];
  } catch {
    return [];
  }
}

/**
 * Follows concrete input shapes through the top-level graph. Operators it does not know leave their outputs unknown, and the rest goes on.
 *
 * @param inputs what is fed to each graph input, and whatever else is known beforehand
 */
export function inferShapes(
  model: Model,
  inputs: ReadonlyMap<string, Known>,
  options: InferOptions = {},
): Map<string, Known> {
  const start = new Map<string, Known>(options.constants ?? knownConstants(model));
  for (const [name, value] of inputs) start.set(name, value);
  const inference = new Inference(model.opsets.get('') ?? 1, start, options.fixed);
  for (const node of model.graph.nodes) if (!options.only || options.only.has(node)) inference.follow(node);
  return inference.known;
}
