import { DataType } from '../model.ts';
import { forEachIndex, sizeOf, stridesOf } from '../ndarray.ts';
import { axesOf, intAttr, nd, positive, type Infer, type InferTable } from './known.ts';

/** A reduction over axes, given what it makes of a group of numbers. */
function reduce(fn: (values: number[]) => number): Infer {
  return (node, [x, axesInput]) => {
    if (!x?.dims) return [x && { type: x.type }];
    const rank = x.dims.length;
    const given = axesOf(node, axesInput);
    if (!given && axesInput && !axesInput.values) return [{ type: x.type }];
    if (!given?.length && intAttr(node, 'noop_with_empty_axes', 0)) return [x];
    const axes = new Set(
      (given?.length ? given : x.dims.map((_, i) => i)).map((axis) => positive(axis, rank)),
    );
    const keep = intAttr(node, 'keepdims', 1) === 1;
    const kept = x.dims.map((dim, i) => (axes.has(i) ? 1 : dim));
    const dims = keep ? kept : x.dims.filter((_, i) => !axes.has(i));
    const source = nd(x);
    if (!source) return [{ type: x.type, dims }];
    const groups = Array.from({ length: sizeOf(kept) }, (): number[] => []);
    const strides = stridesOf(kept).map((stride, i) => (axes.has(i) ? 0 : stride));
    forEachIndex(x.dims, (index, flat) => {
      const group = index.reduce((sum, value, i) => sum + value * strides[i], 0);
      groups[group].push(source.values[flat]);
    });
    return [{ type: x.type, dims, values: Float64Array.from(groups, fn) }];
  };
}

/** ArgMax and ArgMin: shapes only. */
const arg: Infer = (node, [x]) => {
  if (!x?.dims) return [{ type: DataType.int64 }];
  const axis = positive(intAttr(node, 'axis', 0), x.dims.length);
  const keep = intAttr(node, 'keepdims', 1) === 1;
  const dims = keep ? x.dims.map((dim, i) => (i === axis ? 1 : dim)) : x.dims.filter((_, i) => i !== axis);
  return [{ type: DataType.int64, dims }];
};

const sum = (values: number[], of = (value: number): number => value): number =>
  values.reduce((total, value) => total + of(value), 0);

export const REDUCE: InferTable = {
  ReduceSum: reduce((v) => sum(v)),
  ReduceMean: reduce((v) => sum(v) / v.length),
  ReduceMax: reduce((v) => v.reduce((a, b) => Math.max(a, b), -Infinity)),
  ReduceMin: reduce((v) => v.reduce((a, b) => Math.min(a, b), Infinity)),
  ReduceProd: reduce((v) => v.reduce((a, b) => a * b, 1)),
  ReduceL1: reduce((v) => sum(v, Math.abs)),
  ReduceL2: reduce((v) => Math.sqrt(sum(v, (x) => x * x))),
  ReduceSumSquare: reduce((v) => sum(v, (x) => x * x)),
  ReduceLogSumExp: reduce((v) => Math.log(sum(v, Math.exp))),
  ReduceLogSum: reduce((v) => Math.log(sum(v))),
  ArgMax: arg,
  ArgMin: arg,
};
