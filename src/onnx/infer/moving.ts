import { elementwise, broadcastDims, remap, sizeOf } from '../ndarray.ts';
import { axesOf, intAttr, intsAttr, isSmall, nd, positive, type Infer, type InferTable } from './known.ts';

const gather: Infer = (node, [data, indices]) => {
  if (!data?.dims || !indices?.dims) return [data && { type: data.type }];
  const axis = positive(intAttr(node, 'axis', 0), data.dims.length);
  const dims = [...data.dims.slice(0, axis), ...indices.dims, ...data.dims.slice(axis + 1)];
  const source = nd(data);
  const at = nd(indices);
  if (!source || !at || !isSmall(dims)) return [{ type: data.type, dims }];
  const rank = indices.dims.length;
  const indexStrides = at.dims.map((_, i) => sizeOf(at.dims.slice(i + 1)));
  const values = remap(dims, source, (index) => {
    const flat = index.slice(axis, axis + rank).reduce((sum, value, i) => sum + value * indexStrides[i], 0);
    return [
      ...index.slice(0, axis),
      positive(at.values[flat], source.dims[axis]),
      ...index.slice(axis + rank),
    ];
  });
  return [{ type: data.type, dims, values }];
};

const gatherElements: Infer = (node, [data, indices]) => {
  if (!data?.dims || !indices?.dims) return [data && { type: data.type, dims: indices?.dims }];
  const axis = positive(intAttr(node, 'axis', 0), data.dims.length);
  const source = nd(data);
  const at = nd(indices);
  if (!source || !at || indices.dims.length !== data.dims.length)
    return [{ type: data.type, dims: indices.dims }];
  let flat = 0;
  const values = remap(indices.dims, source, (index) => {
    const from = positive(at.values[flat++], source.dims[axis]);
    return index.map((value, i) => (i === axis ? from : value));
  });
  return [{ type: data.type, dims: indices.dims, values }];
};

const slice: Infer = (node, [x, startsIn, endsIn, axesIn, stepsIn]) => {
  if (!x?.dims) return [x && { type: x.type }];
  const starts = intsAttr(node, 'starts') ?? startsIn?.values;
  const ends = intsAttr(node, 'ends') ?? endsIn?.values;
  if (!starts || !ends || (axesIn && !axesIn.values)) return [{ type: x.type }];
  const axes = intsAttr(node, 'axes') ?? axesIn?.values ?? Array.from(starts, (_, i) => i);
  const dims = [...x.dims];
  const from = x.dims.map(() => 0);
  const step = x.dims.map(() => 1);
  for (let i = 0; i < starts.length; i++) {
    const axis = positive(axes[i], x.dims.length);
    const size = x.dims[axis];
    if (size === undefined) return [{ type: x.type }];
    step[axis] = stepsIn?.values?.[i] ?? 1;
    const clamp = (value: number, low: number, high: number): number =>
      Math.min(Math.max(value < 0 ? value + size : value, low), high);
    const start = step[axis] > 0 ? clamp(starts[i], 0, size) : clamp(starts[i], 0, size - 1);
    const end = step[axis] > 0 ? clamp(ends[i], 0, size) : clamp(ends[i], -1, size - 1);
    from[axis] = start;
    dims[axis] = Math.max(0, Math.ceil((end - start) / step[axis]));
  }
  const source = nd(x);
  if (!source || !isSmall(dims)) return [{ type: x.type, dims }];
  return [
    {
      type: x.type,
      dims,
      values: remap(dims, source, (index) => index.map((value, axis) => from[axis] + value * step[axis])),
    },
  ];
};

const reshape: Infer = (node, [x, shape]) => {
  const target = intsAttr(node, 'shape') ?? shape?.values;
  if (!x || !target) return [x && { type: x.type }];
  const allowZero = intAttr(node, 'allowzero', 0) === 1;
  const dims = Array.from(target, (dim, i) => (dim === 0 && !allowZero ? (x.dims?.[i] ?? -1) : dim));
  const free = dims.indexOf(-1);
  if (free >= 0) {
    if (!x.dims) return [{ type: x.type }];
    const rest = dims.reduce((product, dim, i) => (i === free ? product : product * dim), 1);
    dims[free] = rest === 0 ? 0 : sizeOf(x.dims) / rest;
    if (!Number.isInteger(dims[free])) return [{ type: x.type }];
  }
  return [{ type: x.type, dims, values: x.values }];
};

const transpose: Infer = (node, [x]) => {
  if (!x?.dims) return [x && { type: x.type }];
  const perm = intsAttr(node, 'perm') ?? x.dims.map((_, i) => x.dims!.length - 1 - i);
  if (perm.length !== x.dims.length) return [{ type: x.type }];
  const dims = perm.map((axis) => x.dims![axis]);
  const source = nd(x);
  if (!source || !isSmall(dims)) return [{ type: x.type, dims }];
  return [
    {
      type: x.type,
      dims,
      values: remap(dims, source, (index) => {
        const origin = new Array<number>(perm.length);
        perm.forEach((axis, i) => (origin[axis] = index[i]));
        return origin;
      }),
    },
  ];
};

const concat: Infer = (node, inputs) => {
  const present = inputs.filter((input) => input !== undefined);
  if (present.length !== inputs.length || present.some((input) => !input.dims))
    return [present[0] && { type: present[0].type }];
  const shapes = present.map((input) => input.dims as readonly number[]);
  const rank = shapes[0].length;
  const axis = positive(intAttr(node, 'axis', 0), rank);
  const fits = (shape: readonly number[]): boolean =>
    shape.length === rank && shape.every((dim, i) => i === axis || dim === shapes[0][i]);
  if (!(axis >= 0 && axis < rank) || !shapes.every(fits)) return [{ type: present[0].type }];
  const dims = [...shapes[0]];
  dims[axis] = shapes.reduce((sum, shape) => sum + shape[axis], 0);
  const arrays = present.map(nd);
  if (!arrays.every((a) => a !== undefined) || !isSmall(dims)) return [{ type: present[0].type, dims }];
  const outer = sizeOf(dims.slice(0, axis));
  const values = new Float64Array(sizeOf(dims));
  let at = 0;
  for (let i = 0; i < outer; i++) {
    for (const array of arrays) {
      const chunk = sizeOf(array.dims.slice(axis));
      values.set(array.values.subarray(i * chunk, (i + 1) * chunk), at);
      at += chunk;
    }
  }
  return [{ type: present[0].type, dims, values }];
};

const split: Infer = (node, [x, sizesIn]) => {
  if (!x?.dims) return node.outputs.map(() => x && { type: x.type });
  const axis = positive(intAttr(node, 'axis', 0), x.dims.length);
  const parts = node.outputs.length;
  const given = intsAttr(node, 'split') ?? sizesIn?.values;
  if (!given && sizesIn) return node.outputs.map(() => ({ type: x.type }));
  const each = Math.ceil(x.dims[axis] / parts);
  let start = 0;
  const source = nd(x);
  return node.outputs.map((_, i) => {
    const length = given ? given[i] : Math.min(each, x.dims![axis] - start);
    const dims = x.dims!.map((dim, d) => (d === axis ? length : dim));
    const from = start;
    start += length;
    const values =
      source && isSmall(dims)
        ? remap(dims, source, (index) => index.map((value, d) => (d === axis ? value + from : value)))
        : undefined;
    return { type: x.type, dims, values };
  });
};

const unsqueeze: Infer = (node, [x, axesIn]) => {
  const axes = axesOf(node, axesIn);
  if (!x?.dims || !axes) return [x && { type: x.type }];
  const rank = x.dims.length + axes.length;
  const at = new Set(axes.map((axis) => positive(axis, rank)));
  const rest = [...x.dims];
  const dims = Array.from({ length: rank }, (_, i) => (at.has(i) ? 1 : (rest.shift() as number)));
  return [{ type: x.type, dims, values: x.values }];
};

const squeeze: Infer = (node, [x, axesIn]) => {
  if (!x?.dims) return [x && { type: x.type }];
  const axes = axesOf(node, axesIn)?.map((axis) => positive(axis, x.dims!.length));
  const dims = x.dims.filter((dim, i) => (axes ? !axes.includes(i) : dim !== 1));
  return [{ type: x.type, dims, values: x.values }];
};

const expand: Infer = (_, [x, shape]) => {
  if (!x?.dims || !shape?.values) return [x && { type: x.type }];
  const dims = broadcastDims(x.dims, [...shape.values]);
  const source = nd(x);
  if (!dims || !source || !isSmall(dims)) return [{ type: x.type, dims }];
  return [{ type: x.type, dims, values: elementwise(dims, [source], (v) => v) }];
};

const tile: Infer = (_, [x, repeats]) => {
  if (!x?.dims || !repeats?.values) return [x && { type: x.type }];
  const dims = x.dims.map((dim, i) => dim * repeats.values![i]);
  const source = nd(x);
  if (!source || !isSmall(dims)) return [{ type: x.type, dims }];
  return [
    {
      type: x.type,
      dims,
      values: remap(dims, source, (index) => index.map((value, i) => value % x.dims![i])),
    },
  ];
};

const flatten: Infer = (node, [x]) => {
  if (!x?.dims) return [x];
  const axis = positive(intAttr(node, 'axis', 1), x.dims.length);
  const dims = [sizeOf(x.dims.slice(0, axis)), sizeOf(x.dims.slice(axis))];
  return [{ type: x.type, dims, values: x.values }];
};

/** Operators that move numbers about without changing them. */
export const MOVING: InferTable = {
  Reshape: reshape,
  Flatten: flatten,
  Transpose: transpose,
  Concat: concat,
  Split: split,
  Slice: slice,
  Gather: gather,
  GatherElements: gatherElements,
  Unsqueeze: unsqueeze,
  Squeeze: squeeze,
  Expand: expand,
  Tile: tile,
};
