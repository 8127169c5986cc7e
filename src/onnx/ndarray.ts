/** Small n-dimensional helpers for evaluating the integer and mask parts of a graph; values are float64 whatever their ONNX type. */

export interface NdArray {
  readonly dims: readonly number[];
  readonly values: Float64Array;
}

export const sizeOf = (dims: readonly number[]): number => dims.reduce((product, dim) => product * dim, 1);

export function stridesOf(dims: readonly number[]): number[] {
  const strides = new Array<number>(dims.length).fill(1);
  for (let i = dims.length - 2; i >= 0; i--) strides[i] = strides[i + 1] * dims[i + 1];
  return strides;
}

/** Numpy's broadcasting; undefined when the shapes do not fit. */
export function broadcastDims(...shapes: readonly (readonly number[])[]): number[] | undefined {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  const out = new Array<number>(rank).fill(1);
  for (const shape of shapes) {
    for (let i = 0; i < shape.length; i++) {
      const at = rank - shape.length + i;
      if (shape[i] === 1 || shape[i] === out[at]) continue;
      if (out[at] !== 1) return undefined;
      out[at] = shape[i];
    }
  }
  return out;
}

/** Calls `visit` with each index of `dims` in row-major order and its flat position. */
export function forEachIndex(
  dims: readonly number[],
  visit: (index: readonly number[], flat: number) => void,
): void {
  const index = new Array<number>(dims.length).fill(0);
  const total = sizeOf(dims);
  for (let flat = 0; flat < total; flat++) {
    visit(index, flat);
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      if (++index[axis] < dims[axis]) break;
      index[axis] = 0;
    }
  }
}

/** Reads `source` as if broadcast to a shape that has `index`. */
function at(source: NdArray, strides: readonly number[], index: readonly number[]): number {
  const shift = index.length - source.dims.length;
  let flat = 0;
  for (let axis = 0; axis < source.dims.length; axis++) {
    if (source.dims[axis] !== 1) flat += index[axis + shift] * strides[axis];
  }
  return source.values[flat];
}

export function elementwise(
  dims: readonly number[],
  inputs: readonly NdArray[],
  fn: (...values: number[]) => number,
): Float64Array {
  const strides = inputs.map((input) => stridesOf(input.dims));
  const out = new Float64Array(sizeOf(dims));
  forEachIndex(dims, (index, flat) => {
    out[flat] = fn(...inputs.map((input, i) => at(input, strides[i], index)));
  });
  return out;
}

/** A new array whose element at `index` is the source's at `from(index)`. */
export function remap(
  dims: readonly number[],
  source: NdArray,
  from: (index: readonly number[]) => readonly number[],
): Float64Array {
  const strides = stridesOf(source.dims);
  const out = new Float64Array(sizeOf(dims));
  forEachIndex(dims, (index, flat) => {
    let position = 0;
    const origin = from(index);
    for (let axis = 0; axis < origin.length; axis++) position += origin[axis] * strides[axis];
    out[flat] = source.values[position];
  });
  return out;
}
