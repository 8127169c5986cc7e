import { DataType, isRange } from '../model.ts';
import { sizeOf } from '../ndarray.ts';
import { decodeElements } from '../tensor-values.ts';
import { knownTensor } from './stored.ts';
import { intAttr, isSmall, nd, positive, type Infer, type InferTable } from './known.ts';

const constantOfShape: Infer = (node, [shape]) => {
  const tensor = node.attributes.get('value')?.tensor;
  const type = tensor?.dataType ?? DataType.float;
  if (!shape?.values) return [{ type }];
  const dims = [...shape.values];
  const fill = tensor && !isRange(tensor.data) ? (decodeElements(type, tensor.data)?.[0] ?? 0) : 0;
  return [
    {
      type,
      dims,
      values: isSmall(dims) ? new Float64Array(sizeOf(dims)).fill(fill) : undefined,
    },
  ];
};

const trilu: Infer = (node, [x, k]) => {
  const source = nd(x);
  if (!x?.dims || !source || (k && !k.values)) return [x && { type: x.type, dims: x.dims }];
  const upper = intAttr(node, 'upper', 1) === 1;
  const diagonal = k?.values?.[0] ?? 0;
  const columns = x.dims[x.dims.length - 1];
  const rows = x.dims[x.dims.length - 2];
  const values = source.values.map((value, i) => {
    const column = i % columns;
    const row = Math.floor(i / columns) % rows;
    return (upper ? column - row >= diagonal : column - row <= diagonal) ? value : 0;
  });
  return [{ type: x.type, dims: x.dims, values }];
};

const range: Infer = (_, [start, limit, delta]) => {
  const type = start?.type ?? 0;
  if (!start?.values || !limit?.values || !delta?.values) return [{ type }];
  const count = Math.max(0, Math.ceil((limit.values[0] - start.values[0]) / delta.values[0]));
  if (!isSmall([count])) return [{ type, dims: [count] }];
  return [
    {
      type,
      dims: [count],
      values: Float64Array.from({ length: count }, (_, i) => start.values![0] + i * delta.values![0]),
    },
  ];
};

const cumSum: Infer = (node, [x, axisIn]) => {
  const source = nd(x);
  if (!x?.dims || !source || !axisIn?.values || intAttr(node, 'exclusive', 0) || intAttr(node, 'reverse', 0))
    return [x && { type: x.type, dims: x.dims }];
  const axis = positive(axisIn.values[0], x.dims.length);
  const step = sizeOf(x.dims.slice(axis + 1));
  const values = source.values.slice();
  for (let i = 0; i < values.length; i++)
    if (Math.floor(i / step) % x.dims[axis] > 0) values[i] += values[i - step];
  return [{ type: x.type, dims: x.dims, values }];
};

const constant: Infer = (node) => {
  const tensor = node.attributes.get('value')?.tensor;
  if (tensor) return [knownTensor(tensor)];
  const { int, float } = {
    int: node.attributes.get('value_int')?.int,
    float: node.attributes.get('value_float')?.float,
  };
  if (int !== undefined) return [{ type: DataType.int64, dims: [], values: Float64Array.of(int) }];
  if (float !== undefined) return [{ type: DataType.float, dims: [], values: Float64Array.of(float) }];
  const ints = node.attributes.get('value_ints')?.ints;
  if (ints) return [{ type: DataType.int64, dims: [ints.length], values: Float64Array.from(ints) }];
  const floats = node.attributes.get('value_floats')?.floats;
  if (floats) return [{ type: DataType.float, dims: [floats.length], values: Float64Array.from(floats) }];
  return undefined;
};

const topK: Infer = (node, [x, k]) => {
  const count = k?.values?.[0] ?? node.attributes.get('k')?.int;
  if (!x?.dims || count === undefined) return [x && { type: x.type }, { type: DataType.int64 }];
  const axis = positive(intAttr(node, 'axis', -1), x.dims.length);
  const dims = x.dims.map((dim, i) => (i === axis ? count : dim));
  return [
    { type: x.type, dims },
    { type: DataType.int64, dims },
  ];
};

const oneHot: Infer = (node, [indices, depth, values]) => {
  const size = depth?.values?.[0];
  if (!indices?.dims || size === undefined) return [values && { type: values.type }];
  const axis = positive(intAttr(node, 'axis', -1), indices.dims.length + 1);
  return [
    { type: values?.type ?? 0, dims: [...indices.dims.slice(0, axis), size, ...indices.dims.slice(axis)] },
  ];
};

const shape: Infer = (node, [x]) => {
  if (!x?.dims) return [{ type: DataType.int64 }];
  const rank = x.dims.length;
  const clamp = (value: number): number => Math.min(Math.max(positive(value, rank), 0), rank);
  const part = x.dims.slice(clamp(intAttr(node, 'start', 0)), clamp(intAttr(node, 'end', rank)));
  return [{ type: DataType.int64, dims: [part.length], values: Float64Array.from(part) }];
};

/** Operators that make values out of shapes, counts or nothing. */
export const MAKING: InferTable = {
  Shape: shape,
  Size: (_, [x]) => [{ type: DataType.int64, dims: [], values: x?.dims && Float64Array.of(sizeOf(x.dims)) }],
  Constant: constant,
  ConstantOfShape: constantOfShape,
  Range: range,
  Trilu: trilu,
  CumSum: cumSum,
  TopK: topK,
  OneHot: oneHot,
};
