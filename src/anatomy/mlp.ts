import type { Node } from '../onnx/model.ts';
import type { Shapes } from './axes.ts';
import type { GraphIndex } from './graph-index.ts';
import { isShaping } from './operators.ts';

/** Goes back through constant factors, summands and casts to what a branch is really made of. */
function rootOf(index: GraphIndex, value: string): string {
  let at = value;
  for (let step = 0; step < 12; step++) {
    const node = index.producer(at);
    if (!node) return at;
    if (/^(Mul|Div|Add)$/.test(node.opType)) {
      const varying = node.inputs.filter((input) => !index.isConstant(input));
      if (varying.length !== 1) return at;
      at = varying[0];
    } else if (isShaping(node, node.inputs[0])) at = node.inputs[0];
    else return at;
  }
  return at;
}

/** True for the product of the activation's branch with a second one (GLU), false for x·σ(x) and the like. */
function isGate(index: GraphIndex, shapes: Shapes, node: Node, activation: string): boolean {
  if (node.opType !== 'Mul' || shapes.elements(node.inputs[0]) !== shapes.elements(node.inputs[1]))
    return false;
  const branches = node.inputs.map((input) => ({ input, activated: index.dependsOn(input, activation) }));
  const plain = branches.find((branch) => !branch.activated);
  if (!plain || branches.every((branch) => !branch.activated) || index.isConstant(plain.input)) return false;
  return !index.dependsOn(activation, rootOf(index, plain.input));
}

/** Operators, the activation's name, and its name when a second branch is multiplied in; earlier ones win. */
const NAMES: readonly (readonly [RegExp, string, string])[] = [
  [/^(Erf|Gelu|BiasGelu)$/, 'gelu', 'geglu'],
  [/^FastGelu$/, 'gelu_new', 'geglu_tanh'],
  [/^QuickGelu$/, 'quick_gelu', 'geglu_quick'],
  [/^(Swish|Silu)$/, 'silu', 'swiglu'],
  [/^Tanh$/, 'gelu_new', 'geglu_tanh'],
  [/^Relu$/, 'relu', 'reglu'],
  [/^(HardSwish|Mish|Elu|Selu|LeakyRelu|PRelu|Softplus)$/, '', ''],
  [/^Sigmoid$/, 'silu', 'swiglu'],
];

/** What an MLP does between the stream and its output, named after the operators that are neither linear nor norms. */
export function activationOf(index: GraphIndex, shapes: Shapes, nodes: ReadonlySet<Node>): string {
  const list = [...nodes];
  for (const [ops, plain, gated] of NAMES) {
    const node = list.find((candidate) => ops.test(activates(candidate)));
    if (!node) continue;
    const output = node.outputs[0];
    const isGated = list.some((other) => isGate(index, shapes, other, output));
    if (node.opType === 'Gelu' && node.attributes.get('approximate')?.string === 'tanh')
      return isGated ? 'geglu_tanh' : 'gelu_new';
    if (node.opType === 'Sigmoid' && isQuick(index, shapes, node))
      return isGated ? 'geglu_quick' : 'quick_gelu';
    if (node.opType === 'Relu' && !isGated && index.consumers(output).some(squares)) return 'relu2';
    return (isGated ? gated : plain) || node.opType.toLowerCase();
  }
  return 'unknown';
}

/** The activation that a node computes: that of its name, or one fused into a product. */
function activates(node: Node): string {
  if (node.opType === 'FusedGemm') return node.attributes.get('activation')?.string ?? '';
  if (node.opType === 'QuickGelu' && node.attributes.get('alpha')?.float === 1) return 'Swish';
  return node.opType;
}

/** x·σ(1.702 x) */
function isQuick(index: GraphIndex, shapes: Shapes, sigmoid: Node): boolean {
  const before = index.producer(sigmoid.inputs[0]);
  if (before?.opType !== 'Mul') return false;
  return before.inputs.some((input) => Math.abs((shapes.scalar(input) ?? 0) - 1.702) < 1e-3);
}

const squares = (node: Node): boolean =>
  node.opType === 'Pow' || (node.opType === 'Mul' && node.inputs[0] === node.inputs[1]);
