import type { Node } from '../onnx/model.ts';
import type { Shapes } from './axes.ts';
import type { GraphIndex } from './graph-index.ts';

/** Operators that compute attention without showing its parts. */
export const OPAQUE_ATTENTION =
  /^(Attention|MultiHeadAttention|GroupQueryAttention|DecoderAttention|DecoderMaskedMultiHeadAttention|DecoderMaskedSelfAttention|PackedAttention|PackedMultiHeadAttention|QAttention|QOrderedAttention|LongformerAttention|PagedAttention|SparseAttention|LinearAttention|RelativePositionBias|GatedRelativePositionBias)$/;

/** Products of two values, or of a value with a weight in whatever form it is stored. */
const PRODUCT =
  /^(MatMul|Gemm|Einsum|FusedMatMul|FusedGemm|TransposeMatMul|MatMulNBits|MatMulBnb4|MatMulFpQ4|MatMulInteger|MatMulIntegerToFloat|DynamicQuantizeMatMul|QLinearMatMul|QGemm|Conv)$/;

/** Operators that change at most the shape, the order of axes, the type or the precision of their first input. */
const SHAPING =
  /^(Reshape|Transpose|Cast|CastLike|Identity|Dropout|Squeeze|Unsqueeze|Flatten|QuantizeLinear|DynamicQuantizeLinear|DequantizeLinear)$/;

/** The value that reaches the other side of a product with a weight; undefined when the node is no such product. */
export function weightProduct(index: GraphIndex, node: Node): { input: string; weight: string } | undefined {
  if (!PRODUCT.test(node.opType)) return undefined;
  const [left, right] = node.inputs;
  if (index.isConstant(right)) return index.isConstant(left) ? undefined : { input: left, weight: right };
  return index.isConstant(left) ? { input: right, weight: left } : undefined;
}

/** True for a product of two values that both depend on what is fed. */
export function isInnerProduct(index: GraphIndex, node: Node): boolean {
  return (
    /^(MatMul|FusedMatMul|TransposeMatMul|Einsum)$/.test(node.opType) &&
    node.inputs.length === 2 &&
    node.inputs.every((input) => !index.isConstant(input))
  );
}

/** True when the node only reshapes, reorders or casts `value`. */
export const isShaping = (node: Node, value: string): boolean =>
  SHAPING.test(node.opType) && node.inputs[0] === value;

/**
 * The value that a node multiplies or divides by a single number, stored or computed, or by one computed number for each column, as the
 * integers of a product are; undefined when it does not.
 */
export function scaledInput(index: GraphIndex, shapes: Shapes, node: Node): string | undefined {
  if (node.opType !== 'Mul' && node.opType !== 'Div') return undefined;
  const [left, right] = node.inputs;
  const perColumn = (factor: string, value: string): boolean =>
    node.opType === 'Mul' &&
    !index.isConstant(factor) &&
    shapes.axes(factor)?.length === 1 &&
    (shapes.axes(value)?.length ?? 0) > 1;
  if (perColumn(right, left)) return left;
  if (perColumn(left, right)) return right;
  if (shapes.elements(right) === 1 && shapes.elements(left) !== 1) return left;
  return node.opType === 'Mul' && shapes.elements(left) === 1 ? right : undefined;
}

/** The other input of an operator with two. */
export const otherInput = (node: Node, value: string): string =>
  node.inputs[0] === value ? node.inputs[1] : node.inputs[0];

/** What a person calls a node: its name, or that of its result. */
export const nodeName = (node: Node): string => node.name || node.outputs[0];
