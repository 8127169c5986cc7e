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

/** Strides of `source` along the axes of a shape it is broadcast to; 0 along axes where it repeats. */
function broadcastStrides(source: NdArray, dims: readonly number[]): number[] {
  const shift = dims.length - source.dims.length;
  const strides = stridesOf(source.dims);
  return dims.map((_, axis) => (axis < shift || source.dims[axis - shift] === 1 ? 0 : strides[axis - shift]));
}

/** Applies `fn` number by number to inputs broadcast to `dims`. */
export function elementwise(
  dims: readonly number[],
  inputs: readonly NdArray[],
  fn: (...values: number[]) => number,
): Float64Array {
  const strides = inputs.map((input) => broadcastStrides(input, dims));
  const out = new Float64Array(sizeOf(dims));
  const places = new Array<number>(inputs.length).fill(0);
  const args = new Array<number>(inputs.length).fill(0);
  const index = new Array<number>(dims.length).fill(0);
  for (let flat = 0; flat < out.length; flat++) {
    for (let i = 0; i < inputs.length; i++) args[i] = inputs[i].values[places[i]];
    out[flat] = fn(...args);
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      const wraps = ++index[axis] === dims[axis];
      if (wraps) index[axis] = 0;
      for (let i = 0; i < inputs.length; i++) places[i] += strides[i][axis] * (wraps ? 1 - dims[axis] : 1);
      if (!wraps) break;
    }
  }
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
