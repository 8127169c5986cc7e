import { readEquation } from '../einsum.ts';
import { DataType } from '../model.ts';
import { broadcastDims } from '../ndarray.ts';
import { intAttr, type Infer, type InferTable } from './known.ts';

const matMul: Infer = (_, [a, b]) => {
  if (!a?.dims?.length || !b?.dims?.length) return [a && { type: a.type }];
  // a vector stands for a matrix with one row on the left, one column on the right; that axis goes again
  const left = a.dims.length === 1 ? [1, ...a.dims] : a.dims;
  const right = b.dims.length === 1 ? [...b.dims, 1] : b.dims;
  const batch = broadcastDims(left.slice(0, -2), right.slice(0, -2));
  const rows = a.dims.length === 1 ? [] : [left[left.length - 2]];
  const columns = b.dims.length === 1 ? [] : [right[right.length - 1]];
  return [{ type: a.type, dims: batch && [...batch, ...rows, ...columns] }];
};

const gemm: Infer = (node, [a, b]) => {
  if (!a?.dims || !b?.dims) return [a && { type: a.type }];
  const rows = intAttr(node, 'transA', 0) ? a.dims[1] : a.dims[0];
  const columns = intAttr(node, 'transB', 0) ? b.dims[0] : b.dims[1];
  return [{ type: a.type, dims: [rows, columns] }];
};

const einsum: Infer = (node, inputs) => {
  const equation = readEquation(
    node,
    inputs.map((input) => input?.dims?.length),
  );
  if (!equation) return undefined;
  const sizes = new Map<string, number>();
  equation.terms.forEach((term, i) =>
    [...term].forEach((letter, axis) => {
      const size = inputs[i]?.dims?.[axis] ?? NaN;
      if (sizes.get(letter) === undefined || size !== 1) sizes.set(letter, size);
    }),
  );
  const dims = [...equation.result].map((letter) => sizes.get(letter) ?? NaN);
  return [{ type: inputs[0]?.type ?? 0, dims: dims.some(Number.isNaN) ? undefined : dims }];
};

/** A fused product says nothing here when it transposes on its own. */
const fusedMatMul: Infer = (node, [a, b], opset) => {
  const turns = ['transA', 'transB', 'transBatchA', 'transBatchB'].some(
    (name) => intAttr(node, name, 0) === 1,
  );
  return turns ? [a && { type: a.type }] : matMul(node, [a, b], opset);
};

/** Weights of few bits, kept by ONNX Runtime in blocks: [.., K] × N columns. */
const matMulNBits: Infer = (node, [a]) => {
  if (!a?.dims) return [a && { type: a.type }];
  return [{ type: a.type, dims: [...a.dims.slice(0, -1), intAttr(node, 'N', 0)] }];
};

/** Rows of a table kept in blocks of few bits; two of 4 bits share a byte. */
const gatherBlocks: Infer = (node, [table, at, scale]) => {
  if (!table?.dims || !at?.dims || intAttr(node, 'gather_axis', 0) !== 0)
    return [scale && { type: scale.type }];
  const pair = table.type === DataType.uint8 && intAttr(node, 'bits', 4) === 4 ? 2 : 1;
  const width = table.dims.slice(1).map((dim, i, { length }) => (i === length - 1 ? dim * pair : dim));
  return [{ type: scale?.type ?? DataType.float, dims: [...at.dims, ...width] }];
};

/** Microsoft's operator projects its input first. The standard one: queries with the width of the values, [batch, heads, tokens, head size], or [batch, tokens, heads × head size]. */
const attention: Infer = (node, [q, weights, v]) => {
  if (node.domain === 'com.microsoft') {
    const columns = weights?.dims?.[1];
    const width = node.attributes.get('qkv_hidden_sizes')?.ints?.[2] ?? (columns && columns / 3);
    return [{ type: q?.type ?? 0, dims: q?.dims && width ? [...q.dims.slice(0, -1), width] : undefined }];
  }
  if (!q?.dims || q.dims.length !== v?.dims?.length) return [q && { type: q.type }];
  const [heads, kvHeads] = [intAttr(node, 'q_num_heads', 1), intAttr(node, 'kv_num_heads', 1)];
  const width = v.dims[v.dims.length - 1];
  return [
    { type: q.type, dims: [...q.dims.slice(0, -1), q.dims.length === 4 ? width : (width / kvHeads) * heads] },
  ];
};

const withType =
  (infer: Infer, type: (inputs: Parameters<Infer>[1]) => number): Infer =>
  (node, inputs, opset) =>
    infer(node, inputs, opset)?.map((known) => known && { ...known, type: type(inputs) });

export const PRODUCTS: InferTable = {
  MatMul: matMul,
  Gemm: gemm,
  Einsum: einsum,
  Attention: attention,
  FusedMatMul: fusedMatMul,
  FusedGemm: gemm,
  MatMulNBits: matMulNBits,
  MatMulBnb4: matMulNBits,
  GatherBlockQuantized: gatherBlocks,
  MatMulInteger: withType(matMul, () => DataType.int32),
  MatMulIntegerToFloat: withType(matMul, ([, , scale]) => scale?.type ?? DataType.float),
  DynamicQuantizeMatMul: withType(matMul, ([a]) => a?.type ?? DataType.float),
};
