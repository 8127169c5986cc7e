import { DataType } from '../model.ts';
import { sizeOf, stridesOf } from '../ndarray.ts';
import { intAttr, isSmall, nd, positive, type Infer, type InferTable } from './known.ts';

/** Writes slices of `updates` at the places that `indices` names; only plain replacement is followed. */
const scatterND: Infer = (node, [data, indices, updates]) => {
  const [source, at, from] = [nd(data), nd(indices), nd(updates)];
  const plain = (node.attributes.get('reduction')?.string ?? 'none') === 'none';
  if (!source || !at || !from || !plain || at.dims.length === 0)
    return [data && { type: data.type, dims: data.dims }];
  const depth = at.dims[at.dims.length - 1];
  const strides = stridesOf(source.dims);
  const width = sizeOf(source.dims.slice(depth));
  const values = source.values.slice();
  const count = sizeOf(at.dims.slice(0, -1));
  for (let i = 0; i < count; i++) {
    let flat = 0;
    for (let axis = 0; axis < depth; axis++)
      flat += positive(at.values[i * depth + axis], source.dims[axis]) * strides[axis];
    values.set(from.values.subarray(i * width, (i + 1) * width), flat);
  }
  return [{ type: data!.type, dims: data!.dims, values }];
};

const gatherND: Infer = (node, [x, at]) => {
  if (!x?.dims || !at?.dims) return [x && { type: x.type }];
  const batch = intAttr(node, 'batch_dims', 0);
  const depth = at.dims[at.dims.length - 1];
  const dims = [...at.dims.slice(0, -1), ...x.dims.slice(batch + depth)];
  const [source, indices] = [nd(x), nd(at)];
  if (!source || !indices || batch !== 0 || !isSmall(dims)) return [{ type: x.type, dims }];
  const strides = stridesOf(source.dims);
  const width = sizeOf(source.dims.slice(depth));
  const values = new Float64Array(sizeOf(dims));
  for (let i = 0; i * width < values.length; i++) {
    let flat = 0;
    for (let axis = 0; axis < depth; axis++)
      flat += positive(indices.values[i * depth + axis], source.dims[axis]) * strides[axis];
    values.set(source.values.subarray(flat, flat + width), i * width);
  }
  return [{ type: x.type, dims, values }];
};

/** Places of the numbers that are not 0, [rank, count]. */
const nonZero: Infer = (_, [x]) => {
  const source = nd(x);
  if (!source) return [{ type: DataType.int64 }];
  const strides = stridesOf(source.dims);
  const found = [...source.values.keys()].filter((flat) => source.values[flat] !== 0);
  const rank = source.dims.length;
  const values = Float64Array.from({ length: rank * found.length }, (_unused, i) => {
    const axis = Math.floor(i / found.length);
    return Math.floor(found[i % found.length] / strides[axis]) % source.dims[axis];
  });
  return [{ type: DataType.int64, dims: [rank, found.length], values }];
};

const sameShape: Infer = (_, [x]) => [x && { type: x.type, dims: x.dims }];

/** Operators that read or write at places that are data themselves. */
export const SCATTER: InferTable = {
  ScatterND: scatterND,
  ScatterElements: sameShape,
  Scatter: sameShape,
  GatherND: gatherND,
  NonZero: nonZero,
};
