import type { AttributeInput, GraphBuilder } from '../../onnx/build.ts';
import type { Node } from '../../onnx/model.ts';
import { floatOf, intOf, type Rule, type RuleContext } from './rule.ts';

/*
 * Operators that compute in integers, as ONNX Runtime's static quantisation writes them (QOperator). Each becomes what it stands for: its inputs
 * made floats, the operator on floats, and the result rounded as before.
 */

/** Integers with their scale and zero point, by position in a node's inputs. */
interface Rounded {
  readonly value: string;
  readonly scale: string;
  readonly zero: string;
}

const roundedAt = ({ inputs }: Node, at: number): Rounded => ({
  value: inputs[at],
  scale: inputs[at + 1],
  zero: inputs[at + 2] ?? '',
});

const toInputs = ({ value, scale, zero }: Rounded): string[] =>
  zero === '' ? [value, scale] : [value, scale, zero];

/** The floats that integers stand for; `axis` has a scale each when there are several. */
const floats = (g: GraphBuilder, rounded: Rounded, axis?: number): string =>
  g.op('DequantizeLinear', toInputs(rounded), axis === undefined ? {} : { axis });

/** Rounds a float as the operator did, under the name of its output. */
const round = (g: GraphBuilder, value: string, scale: string, zero: string, output: string): string =>
  g.op('QuantizeLinear', toInputs({ value, scale, zero }), {}, output);

type Compute = (node: Node, context: RuleContext) => string | { readonly why: string };

const rule = (opType: string, rewrite: Rule['rewrite'], domain = 'com.microsoft'): Rule => ({
  opType,
  domain,
  rewrite,
});

/** An operator whose result is rounded to the scale and zero point at `result`. */
const operator = (opType: string, result: number, compute: Compute, domain?: string): Rule =>
  rule(
    opType,
    (node, context) => {
      const value = compute(node, context);
      if (typeof value !== 'string') return value.why;
      const [scale, zero] = [node.inputs[result], node.inputs[result + 1] ?? ''];
      if (scale) round(context.g, value, scale, zero, node.outputs[0]);
      else context.g.op('Identity', [value], {}, node.outputs[0]);
      return undefined;
    },
    domain,
  );

/** A weight whose rows or columns may have a scale each. */
function weight({ g, known, opset }: RuleContext, rounded: Rounded, axis: number): string | { why: string } {
  const count = known.get(rounded.scale)?.dims?.reduce((a, b) => a * b, 1);
  if (count === undefined) return { why: 'the shape of its scales could not be worked out' };
  if (count === 1) return floats(g, rounded);
  return opset < 13 ? { why: 'its scales per column need opset 13' } : floats(g, rounded, axis);
}

/** https://onnx.ai/onnx/operators/onnx__QLinearMatMul.html */
const product: Compute = (node, context) => {
  const b = roundedAt(node, 3);
  const rank = context.known.get(b.value)?.dims?.length;
  if (rank === undefined) return { why: 'the shape of what it multiplies could not be worked out' };
  const right = weight(context, b, rank - 1);
  if (typeof right !== 'string') return right;
  return context.g.op('MatMul', [floats(context.g, roundedAt(node, 0)), right]);
};

/** A bias of integers, whose scale is that of both factors. */
function bias({ g }: RuleContext, value: string, scales: readonly [string, string], alpha = 1): string {
  const scale = g.op('Mul', [scales[0], scales[1]]);
  const whole = alpha === 1 ? scale : g.op('Mul', [scale, g.float(alpha)]);
  return g.op('Mul', [g.op('Cast', [value], { to: 1 }), whole]);
}

/** com.microsoft.QGemm */
const gemm: Compute = (node, context) => {
  const transB = intOf(node, 'transB', 0);
  const right = weight(context, roundedAt(node, 3), transB ? 0 : 1);
  if (typeof right !== 'string') return right;
  const alpha = floatOf(node, 'alpha', 1);
  const [, aScale, , , bScale, , c] = node.inputs;
  const inputs = [floats(context.g, roundedAt(node, 0)), right];
  if (c) inputs.push(bias(context, c, [aScale, bScale], alpha));
  const attributes = { alpha: { float: alpha }, transA: intOf(node, 'transA', 0), transB };
  return context.g.op('Gemm', inputs, attributes);
};

/** https://onnx.ai/onnx/operators/onnx__QLinearConv.html, on pictures. */
const convolution: Compute = (node, context) => {
  const kernel = weight(context, roundedAt(node, 3), 0);
  if (typeof kernel !== 'string') return kernel;
  const [, xScale, , , wScale, , , , c] = node.inputs;
  const inputs = [floats(context.g, roundedAt(node, 0)), kernel];
  if (c) inputs.push(bias(context, c, [xScale, wScale]));
  const attributes: Record<string, AttributeInput> = {};
  for (const { name, ints, int, string } of node.attributes.values()) {
    const given = ints ?? string ?? int;
    if (given !== undefined) attributes[name] = given;
  }
  return context.g.op('Conv', inputs, attributes);
};

const two =
  (opType: string): Compute =>
  (node, { g }) =>
    g.op(opType, [floats(g, roundedAt(node, 0)), floats(g, roundedAt(node, 3))]);

const one =
  (opType: string, attributes: (node: Node) => Record<string, AttributeInput> = () => ({})): Compute =>
  (node, { g }) =>
    g.op(opType, [floats(g, roundedAt(node, 0))], attributes(node));

/** com.microsoft.QLinearSoftmax; before opset 13 a softmax went over all axes from `axis` on. */
const softmax: Compute = (node, { g, known }) => {
  const axis = intOf(node, 'axis', -1);
  const rank = known.get(node.inputs[0])?.dims?.length;
  if (intOf(node, 'opset', 13) < 13 && axis !== -1 && axis + 1 !== rank)
    return { why: 'it normalises several axes together' };
  return g.op('Softmax', [floats(g, roundedAt(node, 0))], { axis });
};

/** com.microsoft.QLinearConcat: scale and zero point of the result, then what is joined. */
const concat: Compute = (node, { g }) => {
  const parts = Array.from({ length: Math.floor((node.inputs.length - 2) / 3) }, (_, i) =>
    floats(g, roundedAt(node, 2 + 3 * i)),
  );
  return g.op('Concat', parts, { axis: intOf(node, 'axis', 0) });
};

/** com.microsoft.QLinearWhere */
const choice: Compute = (node, { g }) =>
  g.op('Where', [node.inputs[0], floats(g, roundedAt(node, 1)), floats(g, roundedAt(node, 4))]);

export const INTEGER_OPERATORS: readonly Rule[] = [
  operator('QLinearMatMul', 6, product, ''),
  operator('QLinearConv', 6, convolution, ''),
  operator('QGemm', 7, gemm),
  operator('QLinearAdd', 6, two('Add')),
  operator('QLinearMul', 6, two('Mul')),
  operator('QLinearSigmoid', 3, one('Sigmoid')),
  operator(
    'QLinearLeakyRelu',
    3,
    one('LeakyRelu', (node) => ({ alpha: { float: floatOf(node, 'alpha', 0.01) } })),
  ),
  operator('QLinearSoftmax', 3, softmax),
  operator('QLinearConcat', 0, concat),
  operator('QLinearWhere', 7, choice),
];
