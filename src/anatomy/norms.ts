import type { Node } from '../onnx/model.ts';
import type { NormRef } from './anatomy.ts';
import type { Shapes } from './axes.ts';
import type { GraphIndex } from './graph-index.ts';
import { otherInput } from './operators.ts';

const NORM_OPS: ReadonlyMap<string, NormRef['kind']> = new Map([
  ['LayerNormalization', 'layernorm'],
  ['SimplifiedLayerNormalization', 'rmsnorm'],
  ['RMSNormalization', 'rmsnorm'],
]);

interface Core {
  readonly kind: NormRef['kind'];
  readonly input: string;
  readonly epsilon: number;
}

/** Goes back from 1/√(mean(x²) + ε) or its inverse: the value whose squares are averaged, and ε. */
function meanSquareOf(
  index: GraphIndex,
  shapes: Shapes,
  value: string,
): { of: string; epsilon: number } | undefined {
  let at = value;
  let epsilon = 0;
  for (let step = 0; step < 12; step++) {
    const node = index.producer(at);
    if (!node) return undefined;
    const numbers = node.inputs.map((input) => shapes.scalar(input));
    switch (node.opType) {
      case 'Sqrt':
      case 'Reciprocal':
      case 'Cast':
      case 'Identity':
      case 'Pow':
        at = node.inputs[0];
        break;
      case 'Div':
        if (numbers[0] === undefined) return undefined;
        at = node.inputs[1];
        break;
      case 'Add':
      case 'Max':
      case 'Clip': {
        const constant = numbers.findIndex((number) => number !== undefined);
        if (constant < 0 || constant > 1) return undefined;
        epsilon += numbers[constant] as number;
        at = node.inputs[constant === 0 ? 1 : 0];
        break;
      }
      case 'ReduceMean': {
        const square = index.producer(index.source(node.inputs[0]));
        const isSquare =
          (square?.opType === 'Pow' && shapes.scalar(square.inputs[1]) === 2) ||
          (square?.opType === 'Mul' && square.inputs[0] === square.inputs[1]);
        return isSquare ? { of: index.source(square.inputs[0]), epsilon } : undefined;
      }
      default:
        return undefined;
    }
  }
  return undefined;
}

/** x when `value` is x − mean(x). */
function centred(index: GraphIndex, value: string): string | undefined {
  const node = index.producer(index.source(value));
  if (node?.opType !== 'Sub') return undefined;
  const mean = index.producer(index.source(node.inputs[1]));
  const input = index.source(node.inputs[0]);
  return mean?.opType === 'ReduceMean' && index.source(mean.inputs[0]) === input ? input : undefined;
}

/** x / √(mean(x²) + ε) or its centred form, as a division or as a product with the inverse. */
function normCore(index: GraphIndex, shapes: Shapes, node: Node): Core | undefined {
  const [left, right] = node.inputs;
  const pairs =
    node.opType === 'Div'
      ? [[left, right]]
      : [
          [left, right],
          [right, left],
        ];
  for (const [numerator, scale] of pairs) {
    const mean = meanSquareOf(index, shapes, scale);
    if (!mean) continue;
    const base = centred(index, numerator);
    if (base !== undefined && (mean.of === index.source(numerator) || centred(index, mean.of) === base))
      return { kind: 'layernorm', input: base, epsilon: mean.epsilon };
    if (mean.of === index.source(numerator))
      return { kind: 'rmsnorm', input: mean.of, epsilon: mean.epsilon };
  }
  return undefined;
}

/**
 * LayerNorm as TensorFlow's batch_normalization writes it: x·i + (β − mean(x)·i) with i = γ/√(var(x) + ε). The node is the last addition.
 */
function spreadCore(
  index: GraphIndex,
  shapes: Shapes,
  node: Node,
): (Core & { scale?: string; bias: string }) | undefined {
  const [left, right] = node.inputs.map((input) => index.producer(input));
  const [product, rest] = left?.opType === 'Sub' ? [right, left] : [left, right];
  if (product?.opType !== 'Mul' || rest?.opType !== 'Sub' || !index.isConstant(rest.inputs[0]))
    return undefined;
  const shift = index.producer(rest.inputs[1]);
  const inverse =
    shift?.opType === 'Mul' ? shift.inputs.find((input) => product.inputs.includes(input)) : undefined;
  if (shift === undefined || inverse === undefined) return undefined;
  const input = index.source(otherInput(product, inverse));
  const mean = index.producer(index.source(otherInput(shift, inverse)));
  if (mean?.opType !== 'ReduceMean' || index.source(mean.inputs[0]) !== input) return undefined;
  const scaled = index.producer(inverse);
  const scale = scaled?.opType === 'Mul' ? scaled.inputs.find((value) => index.isConstant(value)) : undefined;
  const deviation = scaled && scale !== undefined ? otherInput(scaled, scale) : inverse;
  const square = meanSquareOf(index, shapes, deviation);
  if (!square || centred(index, square.of) !== input) return undefined;
  return { kind: 'layernorm', input, epsilon: square.epsilon, scale, bias: rest.inputs[0] };
}

/** Every norm of a graph, as one operator or in parts, with its scale and bias. */
export class Norms {
  private readonly byOutput = new Map<string, NormRef>();
  private readonly byInput = new Map<string, NormRef[]>();

  constructor(index: GraphIndex, shapes: Shapes) {
    for (const node of index.model.graph.nodes) {
      const kind = NORM_OPS.get(node.opType);
      const core: Core | undefined = kind
        ? {
            kind,
            input: index.source(node.inputs[0]),
            epsilon: node.attributes.get('epsilon')?.float ?? 1e-5,
          }
        : /^(Div|Mul)$/.test(node.opType)
          ? normCore(index, shapes, node)
          : undefined;
      const spread = node.opType === 'Add' ? spreadCore(index, shapes, node) : undefined;
      if (spread) this.note({ ...spread, output: node.outputs[0] });
      if (!core) continue;
      this.note(withScale(index, shapes, core, node, kind !== undefined));
    }
  }

  private note(norm: NormRef): void {
    this.byOutput.set(norm.output, norm);
    const list = this.byInput.get(norm.input);
    if (list) list.push(norm);
    else this.byInput.set(norm.input, [norm]);
  }

  /** The norm whose result `value` is. */
  ending(value: string): NormRef | undefined {
    return this.byOutput.get(value);
  }

  /** The norms that read `value`. */
  of(value: string): readonly NormRef[] {
    return this.byInput.get(value) ?? [];
  }
}

/** Follows a norm's core through its scale and bias, stored or computed from stored values (1 + w). */
function withScale(index: GraphIndex, shapes: Shapes, core: Core, node: Node, fused: boolean): NormRef {
  let scale = fused ? node.inputs[1] || undefined : undefined;
  let bias = fused ? node.inputs[2] || undefined : undefined;
  let output = node.outputs[0];
  let at = output;
  for (let step = 0; step < 6; step++) {
    const users = index.consumers(at);
    if (users.length !== 1) break;
    const [user] = users;
    const other = /^(Mul|Add)$/.test(user.opType) ? otherInput(user, at) : undefined;
    const parameter = other !== undefined && index.isConstant(other) && shapes.elements(other) > 1;
    if (parameter && user.opType === 'Mul' && scale === undefined && bias === undefined) scale = other;
    else if (parameter && user.opType === 'Add' && bias === undefined) bias = other;
    else if (!/^(Cast|Identity)$/.test(user.opType)) break;
    at = user.outputs[0];
    if (parameter) output = at;
  }
  return { ...core, output, scale, bias };
}
