import { DataType, isRange, type Model, type Node, type TensorProto } from './model.ts';
import { broadcastDims, elementwise, remap, sizeOf, type NdArray } from './ndarray.ts';
import { decodeElements } from './tensor-values.ts';

/**
 * What is known of a value for one concrete input size: its element type, its shape, and its numbers where they follow from shapes and
 * small constants alone. Choosing concrete sizes turns symbolic shape arithmetic (Shape → Gather → Concat → Reshape) into plain numbers.
 */
export interface Known {
  readonly type: number;
  readonly dims?: readonly number[];
  readonly values?: Float64Array;
}

/** Values larger than this are not followed; masks of short sample prompts are far below. */
const MAX_VALUES = 1 << 17;

/** Numbers computed and kept for one model; after that only shapes are followed. A hostile graph must take neither the memory nor the hour. */
const MAX_NUMBERS = 1 << 23;

const MAX_RANK = 64;

/** True for shapes that can exist. */
const isShape = (dims: readonly number[]): boolean =>
  dims.length <= MAX_RANK && dims.every((dim) => Number.isSafeInteger(dim) && dim >= 0);

/** True for shapes whose numbers are worth following. */
const isSmall = (dims: readonly number[]): boolean => isShape(dims) && sizeOf(dims) <= MAX_VALUES;

type Infer = (
  node: Node,
  inputs: readonly (Known | undefined)[],
  opset: number,
) => readonly (Known | undefined)[] | undefined;

const nd = (known: Known | undefined): NdArray | undefined =>
  known?.dims && known.values ? { dims: known.dims, values: known.values } : undefined;
const intAttr = (node: Node, name: string, fallback: number): number =>
  node.attributes.get(name)?.int ?? fallback;
const intsAttr = (node: Node, name: string): readonly number[] | undefined => node.attributes.get(name)?.ints;
const positive = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);
const same: Infer = (_, [x]) => [x && { type: x.type, dims: x.dims }];

/** Axes given as an attribute in older opsets and as an input in newer ones. */
function axesOf(node: Node, input: Known | undefined): number[] | undefined {
  const attribute = intsAttr(node, 'axes');
  if (attribute) return [...attribute];
  return input?.values ? [...input.values] : undefined;
}

function elementwiseOp(fn: (...values: number[]) => number, type?: number): Infer {
  return (_, inputs) => {
    const dims = inputs.map((input) => input?.dims);
    const outType = type ?? inputs.find((input) => input)?.type ?? 0;
    if (dims.length === 0 || dims.some((d) => d === undefined)) return [{ type: outType }];
    const out = broadcastDims(...(dims as number[][]));
    if (!out) return [{ type: outType }];
    const arrays = inputs.map(nd);
    const known = arrays.length <= 8 && arrays.every((a) => a !== undefined) && isSmall(out);
    return [{ type: outType, dims: out, values: known ? elementwise(out, arrays, fn) : undefined }];
  };
}

const truncated = (a: number, b: number): number => Math.trunc(a / b);
const isInteger = (type: number | undefined): boolean =>
  type !== undefined &&
  type !== DataType.float &&
  type !== DataType.double &&
  type !== DataType.float16 &&
  type !== DataType.bfloat16;

function reduce(fn: (values: number[]) => number): Infer {
  return (node, [x, axesInput]) => {
    if (!x?.dims) return [x && { type: x.type }];
    const rank = x.dims.length;
    const given = axesOf(node, axesInput);
    if (!given && axesInput && !axesInput.values) return [{ type: x.type }];
    if (!given && intAttr(node, 'noop_with_empty_axes', 0)) return [x];
    const axes = new Set((given ?? x.dims.map((_, i) => i)).map((axis) => positive(axis, rank)));
    const keep = intAttr(node, 'keepdims', 1) === 1;
    const kept = x.dims.map((dim, i) => (axes.has(i) ? 1 : dim));
    const dims = keep ? kept : x.dims.filter((_, i) => !axes.has(i));
    const source = nd(x);
    if (!source) return [{ type: x.type, dims }];
    const groups = new Map<number, number[]>();
    const flatOf = remap(
      x.dims,
      { dims: kept, values: Float64Array.from({ length: sizeOf(kept) }, (_, i) => i) },
      (index) => index.map((value, i) => (axes.has(i) ? 0 : value)),
    );
    flatOf.forEach((group, i) => {
      const list = groups.get(group);
      if (list) list.push(source.values[i]);
      else groups.set(group, [source.values[i]]);
    });
    return [
      {
        type: x.type,
        dims,
        values: Float64Array.from({ length: sizeOf(kept) }, (_, i) => fn(groups.get(i) ?? [])),
      },
    ];
  };
}

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
  if (present.length === 0 || present.length !== inputs.length || present.some((input) => !input.dims))
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

const arg: Infer = (node, [x]) => {
  if (!x?.dims) return [{ type: DataType.int64 }];
  const axis = positive(intAttr(node, 'axis', 0), x.dims.length);
  const keep = intAttr(node, 'keepdims', 1) === 1;
  const dims = keep ? x.dims.map((dim, i) => (i === axis ? 1 : dim)) : x.dims.filter((_, i) => i !== axis);
  return [{ type: DataType.int64, dims }];
};

const oneHot: Infer = (node, [indices, depth, values]) => {
  const size = depth?.values?.[0];
  if (!indices?.dims || size === undefined) return [values && { type: values.type }];
  const axis = positive(intAttr(node, 'axis', -1), indices.dims.length + 1);
  return [
    { type: values?.type ?? 0, dims: [...indices.dims.slice(0, axis), size, ...indices.dims.slice(axis)] },
  ];
};

const expand: Infer = (_, [x, shape]) => {
  if (!x?.dims || !shape?.values) return [x && { type: x.type }];
  const dims = broadcastDims(x.dims, [...shape.values]);
  const source = nd(x);
  if (!dims || !source || !isSmall(dims)) return [{ type: x.type, dims }];
  return [{ type: x.type, dims, values: elementwise(dims, [source], (v) => v) }];
};

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

const gemm: Infer = (node, [a, b]) => {
  if (!a?.dims || !b?.dims) return [a && { type: a.type }];
  const rows = intAttr(node, 'transA', 0) ? a.dims[1] : a.dims[0];
  const columns = intAttr(node, 'transB', 0) ? b.dims[0] : b.dims[1];
  return [{ type: a.type, dims: [rows, columns] }];
};

const einsum: Infer = (node, inputs) => {
  const [left, right] = (node.attributes.get('equation')?.string ?? '').replaceAll(' ', '').split('->');
  if (right === undefined || left.includes('.')) return undefined;
  const sizes = new Map<string, number>();
  left
    .split(',')
    .forEach((term, i) =>
      [...term].forEach((letter, axis) => sizes.set(letter, inputs[i]?.dims?.[axis] ?? NaN)),
    );
  const dims = [...right].map((letter) => sizes.get(letter) ?? NaN);
  return [{ type: inputs[0]?.type ?? 0, dims: dims.some(Number.isNaN) ? undefined : dims }];
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

const layerNorm: Infer = (_, [x]) => [x && { type: x.type, dims: x.dims }];
const boolean = DataType.bool;
const unary = (fn: (x: number) => number): Infer => elementwiseOp(fn);

const OPS: Readonly<Record<string, Infer>> = {
  Add: elementwiseOp((a, b) => a + b),
  Sub: elementwiseOp((a, b) => a - b),
  Mul: elementwiseOp((a, b) => a * b),
  Div: (node, inputs, opset) =>
    elementwiseOp(isInteger(inputs[0]?.type) ? truncated : (a, b) => a / b)(node, inputs, opset),
  Mod: elementwiseOp((a, b) => a - b * Math.floor(a / b)),
  Pow: elementwiseOp((a, b) => a ** b),
  Min: elementwiseOp((...v) => Math.min(...v)),
  Max: elementwiseOp((...v) => Math.max(...v)),
  And: elementwiseOp((a, b) => (a && b ? 1 : 0), boolean),
  Or: elementwiseOp((a, b) => (a || b ? 1 : 0), boolean),
  Xor: elementwiseOp((a, b) => (!a !== !b ? 1 : 0), boolean),
  Equal: elementwiseOp((a, b) => (a === b ? 1 : 0), boolean),
  Less: elementwiseOp((a, b) => (a < b ? 1 : 0), boolean),
  LessOrEqual: elementwiseOp((a, b) => (a <= b ? 1 : 0), boolean),
  Greater: elementwiseOp((a, b) => (a > b ? 1 : 0), boolean),
  GreaterOrEqual: elementwiseOp((a, b) => (a >= b ? 1 : 0), boolean),
  Not: elementwiseOp((a) => (a ? 0 : 1), boolean),
  IsNaN: elementwiseOp((a) => (Number.isNaN(a) ? 1 : 0), boolean),
  Where: (node, inputs, opset) => {
    const [out] = elementwiseOp((c, a, b) => (c ? a : b))(node, inputs, opset) as Known[];
    return [{ ...out, type: inputs[1]?.type ?? inputs[2]?.type ?? 0 }];
  },
  Neg: unary((x) => -x),
  Abs: unary(Math.abs),
  Sqrt: unary(Math.sqrt),
  Reciprocal: unary((x) => 1 / x),
  Exp: unary(Math.exp),
  Log: unary(Math.log),
  Floor: unary(Math.floor),
  Ceil: unary(Math.ceil),
  Round: unary(Math.round),
  Sin: unary(Math.sin),
  Cos: unary(Math.cos),
  Sign: unary(Math.sign),
  Tanh: unary(Math.tanh),
  Sigmoid: unary((x) => 1 / (1 + Math.exp(-x))),
  Relu: unary((x) => Math.max(0, x)),
  Identity: (_, [x]) => [x],
  Dropout: (_, [x]) => [x, x && { type: boolean, dims: x.dims }],
  Clip: (node, [x, low, high]) => {
    const [least, most] = [
      low ? low.values?.[0] : (node.attributes.get('min')?.float ?? -Infinity),
      high ? high.values?.[0] : (node.attributes.get('max')?.float ?? Infinity),
    ];
    if (!x?.values || least === undefined || most === undefined) return [x && { type: x.type, dims: x.dims }];
    return [{ type: x.type, dims: x.dims, values: x.values.map((v) => Math.min(Math.max(v, least), most)) }];
  },
  Cast: (node, [x]) => {
    const type = intAttr(node, 'to', 0);
    const values =
      type === boolean
        ? x?.values?.map((v) => (v ? 1 : 0))
        : isInteger(type)
          ? x?.values?.map(Math.trunc)
          : x?.values;
    return [{ type, dims: x?.dims, values }];
  },
  CastLike: (_, [x, like]) => [{ type: like?.type ?? 0, dims: x?.dims, values: x?.values }],
  Shape: (node, [x]) => {
    if (!x?.dims) return [{ type: DataType.int64 }];
    const rank = x.dims.length;
    const clamp = (value: number): number => Math.min(Math.max(positive(value, rank), 0), rank);
    const part = x.dims.slice(clamp(intAttr(node, 'start', 0)), clamp(intAttr(node, 'end', rank)));
    return [{ type: DataType.int64, dims: [part.length], values: Float64Array.from(part) }];
  },
  Size: (_, [x]) => [{ type: DataType.int64, dims: [], values: x?.dims && Float64Array.of(sizeOf(x.dims)) }],
  Constant: constant,
  ConstantOfShape: constantOfShape,
  Range: range,
  Reshape: reshape,
  Flatten: (node, [x]) => {
    if (!x?.dims) return [x];
    const axis = positive(intAttr(node, 'axis', 1), x.dims.length);
    return [
      { type: x.type, dims: [sizeOf(x.dims.slice(0, axis)), sizeOf(x.dims.slice(axis))], values: x.values },
    ];
  },
  Transpose: transpose,
  Concat: concat,
  Split: split,
  Slice: slice,
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: (node, [x, at]) => {
    if (!x?.dims || !at?.dims) return [x && { type: x.type }];
    const batch = intAttr(node, 'batch_dims', 0);
    const last = at.dims[at.dims.length - 1];
    return [{ type: x.type, dims: [...at.dims.slice(0, -1), ...x.dims.slice(batch + last)] }];
  },
  Unsqueeze: unsqueeze,
  Squeeze: squeeze,
  Expand: expand,
  Tile: tile,
  Trilu: trilu,
  CumSum: cumSum,
  TopK: topK,
  ArgMax: arg,
  ArgMin: arg,
  OneHot: oneHot,
  ScatterND: same,
  ScatterElements: same,
  Softmax: same,
  LogSoftmax: same,
  Erf: same,
  Gelu: same,
  Selu: same,
  Elu: same,
  LeakyRelu: same,
  PRelu: same,
  HardSwish: same,
  HardSigmoid: same,
  Mish: same,
  Swish: same,
  Hardmax: same,
  LpNormalization: same,
  InstanceNormalization: same,
  GroupNormalization: same,
  Softplus: same,
  LayerNormalization: layerNorm,
  RMSNormalization: layerNorm,
  SimplifiedLayerNormalization: layerNorm,
  MatMul: matMul,
  FusedMatMul: (node, [a, b], opset) =>
    /trans/.test(
      [...node.attributes]
        .filter(([, { int }]) => int === 1)
        .map(([name]) => name)
        .join(),
    )
      ? [a && { type: a.type }]
      : matMul(node, [a, b], opset),
  FusedGemm: gemm,
  Gemm: gemm,
  Einsum: einsum,
  ReduceSum: reduce((v) => v.reduce((a, b) => a + b, 0)),
  ReduceMean: reduce((v) => v.reduce((a, b) => a + b, 0) / v.length),
  ReduceMax: reduce((v) => v.reduce((a, b) => Math.max(a, b), -Infinity)),
  ReduceMin: reduce((v) => v.reduce((a, b) => Math.min(a, b), Infinity)),
  ReduceProd: reduce((v) => v.reduce((a, b) => a * b, 1)),
  ReduceL1: reduce((v) => v.reduce((a, b) => a + Math.abs(b), 0)),
  ReduceSumSquare: reduce((v) => v.reduce((a, b) => a + b * b, 0)),
  ReduceLogSumExp: reduce((v) => Math.log(v.reduce((a, b) => a + Math.exp(b), 0))),
  ReduceL2: reduce((v) => Math.sqrt(v.reduce((a, b) => a + b * b, 0))),
  Softcap: same,
  RotaryEmbedding: same,
  FastGelu: same,
  BiasGelu: same,
  QuickGelu: same,
  SkipLayerNormalization: (node, [x]) =>
    node.outputs.map((_, i) => (i === 0 || i === 3 ? x && { type: x.type, dims: x.dims } : undefined)),
  SkipSimplifiedLayerNormalization: (node, [x]) =>
    node.outputs.map((_, i) => (i === 0 || i === 3 ? x && { type: x.type, dims: x.dims } : undefined)),
  MultiHeadAttention: (node, [q, k, v]) => {
    const heads = intAttr(node, 'num_heads', 1);
    const width = v?.dims
      ? v.dims.length === 4
        ? v.dims[3] * heads
        : v.dims[v.dims.length - 1]
      : k
        ? undefined
        : undefined;
    return [
      {
        type: q?.type ?? 0,
        dims: q?.dims && width !== undefined ? [q.dims[0], q.dims[1], width] : undefined,
      },
    ];
  },
};

/** What a stored tensor is: its shape always, its numbers when they are in memory. */
export function knownTensor(tensor: TensorProto): Known {
  return {
    type: tensor.dataType,
    dims: tensor.dims,
    values: isRange(tensor.data) || tensor.strings ? undefined : decodeElements(tensor.dataType, tensor.data),
  };
}

/** Everything stored in a model, known once for several inferences. */
export function knownConstants(model: Model): Map<string, Known> {
  const known = new Map<string, Known>();
  let numbers = 0;
  for (const [name, tensor] of model.graph.initializers) {
    const stored = knownTensor(tensor);
    numbers += stored.values?.length ?? 0;
    known.set(name, numbers > MAX_NUMBERS ? (withoutValues(stored) as Known) : stored);
  }
  return known;
}

const withoutValues = (known: Known | undefined): Known | undefined =>
  known && { type: known.type, dims: known.dims };

export interface InferOptions {
  /** What `knownConstants` gave, when it is at hand. */
  readonly constants?: ReadonlyMap<string, Known>;
  /** Numbers of stored tensors that are not in memory but wanted here. */
  readonly loaded?: ReadonlyMap<string, Float64Array>;
  /** Values that are taken as given instead of being computed. */
  readonly fixed?: ReadonlyMap<string, Known>;
  /** When present, only these nodes are followed. */
  readonly only?: ReadonlySet<Node>;
}

/**
 * Follows concrete input shapes through the top-level graph. Operators it does not know leave their outputs unknown, and the rest goes on.
 *
 * @param inputs what is fed to each graph input
 */
export function inferShapes(
  model: Model,
  inputs: ReadonlyMap<string, Known>,
  options: InferOptions = {},
): Map<string, Known> {
  const known = new Map<string, Known>([...(options.constants ?? knownConstants(model)), ...inputs]);
  const opset = model.opsets.get('') ?? 1;
  for (const [name, values] of options.loaded ?? [])
    known.set(name, { ...(known.get(name) as Known), values });
  for (const [name, value] of options.fixed ?? []) known.set(name, value);
  const spent = { numbers: 0 };
  for (const node of model.graph.nodes)
    if (!options.only || options.only.has(node)) inferNode(node, known, opset, options.fixed, spent);
  return known;
}

/**
 * Works out what one node gives and notes it in `known`; nothing when the operator is not known.
 * @param fixed values to leave as they are
 * @param spent numbers computed so far; after too many only shapes are followed
 */
export function inferNode(
  node: Node,
  known: Map<string, Known>,
  opset: number,
  fixed?: ReadonlyMap<string, Known>,
  spent = { numbers: 0 },
): void {
  if (!Object.hasOwn(OPS, node.opType)) return;
  const inputs = node.inputs.map((name) => (name === '' ? undefined : known.get(name)));
  // Reductions read much and give little; everything else costs about what it gives.
  if (node.opType.startsWith('Reduce')) spent.numbers += inputs[0]?.values?.length ?? 0;
  const given = spent.numbers > MAX_NUMBERS ? inputs.map(withoutValues) : inputs;
  OPS[node.opType](node, given, opset)?.forEach((result, i) => {
    const output = node.outputs[i];
    if (!result || !output || fixed?.has(output)) return;
    const { type, dims, values } = result;
    if (!dims || !isShape(dims)) {
      known.set(output, { type });
      return;
    }
    const kept = values && isSmall(dims) && values.length === sizeOf(dims) ? values : undefined;
    if (kept && kept !== inputs[0]?.values) spent.numbers += kept.length;
    known.set(output, { type, dims, values: kept });
  });
}
