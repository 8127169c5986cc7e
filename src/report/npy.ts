import { HeadscopeError } from '../errors.ts';

/** An array for NumPy: a tensor of the runtime, or a bare typed array with its dims. Row-major. */
export interface NpyArray {
  readonly data: ArrayBufferView & { readonly length: number; readonly [Symbol.toStringTag]: string };
  readonly dims: readonly number[];
  /** Needed only where the typed array does not say it: `bool` in a Uint8Array, `float16` in a Uint16Array. */
  readonly type?: string;
}

// NumPy's codes, and the typed arrays that hold such elements; typed arrays are little-endian wherever this program runs.
const TYPES: Readonly<Record<string, { readonly descr: string; readonly held: readonly string[] }>> = {
  float64: { descr: '<f8', held: ['Float64Array'] },
  float32: { descr: '<f4', held: ['Float32Array'] },
  float16: { descr: '<f2', held: ['Float16Array', 'Uint16Array'] },
  int64: { descr: '<i8', held: ['BigInt64Array'] },
  int32: { descr: '<i4', held: ['Int32Array'] },
  int16: { descr: '<i2', held: ['Int16Array'] },
  int8: { descr: '|i1', held: ['Int8Array'] },
  uint64: { descr: '<u8', held: ['BigUint64Array'] },
  uint32: { descr: '<u4', held: ['Uint32Array'] },
  uint16: { descr: '<u2', held: ['Uint16Array'] },
  uint8: { descr: '|u1', held: ['Uint8Array'] },
  bool: { descr: '|b1', held: ['Uint8Array'] },
};

/**
 * The element type of an array by NumPy's name.
 * @throws HeadscopeError `bad-array` for a type NumPy does not have or that does not fit the typed array
 */
export function elementType(array: NpyArray): string {
  const held = array.data[Symbol.toStringTag];
  const type =
    array.type ?? Object.keys(TYPES).find((name) => name !== 'float16' && TYPES[name].held.includes(held));
  if (type === undefined || !Object.hasOwn(TYPES, type) || !TYPES[type].held.includes(held)) {
    throw new HeadscopeError(
      'bad-array',
      `A NumPy file cannot hold a ${held} as ${type ?? 'numbers'}; convert the array to float32 first.`,
    );
  }
  return type;
}

/** Bytes of one element. */
export const bytesPerElement = (type: string): number => Number(TYPES[type].descr.slice(2));

/**
 * The bytes that stand in front of an array's data in a `.npy` file, version 1.0 (NumPy Enhancement Proposal 1); a multiple of 64 long, so
 * that the data can be mapped into memory.
 * @throws HeadscopeError `bad-array` when the dims do not agree with the number of elements
 */
export function npyHeader(array: NpyArray): Uint8Array {
  const type = elementType(array);
  const expected = array.dims.reduce((product, dim) => product * dim, 1);
  if (array.dims.some((dim) => !isDim(dim)) || expected !== array.data.length) {
    throw new HeadscopeError(
      'bad-array',
      `The dims [${array.dims.join(', ')}] do not describe ${array.data.length} elements.`,
    );
  }
  return npyHeaderOf(type, array.dims);
}

const isDim = (dim: number): boolean => Number.isSafeInteger(dim) && dim >= 0;

/** The header of an array whose numbers come later. @throws HeadscopeError `bad-array` for a type NumPy does not have, or dims that are none */
export function npyHeaderOf(type: string, dims: readonly number[]): Uint8Array {
  if (!Object.hasOwn(TYPES, type) || dims.some((dim) => !isDim(dim)))
    throw new HeadscopeError(
      'bad-array',
      `A NumPy file cannot hold ${type} of the dims [${dims.join(', ')}]; convert the array to float32 first.`,
    );
  const shape = dims.length === 1 ? `(${dims[0]},)` : `(${dims.join(', ')})`;
  const text = `{'descr': '${TYPES[type].descr}', 'fortran_order': False, 'shape': ${shape}, }`;
  const length = Math.ceil((10 + text.length + 1) / 64) * 64;
  const out = new Uint8Array(length).fill(0x20);
  out.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]);
  new DataView(out.buffer).setUint16(8, length - 10, true);
  for (let i = 0; i < text.length; i++) out[10 + i] = text.charCodeAt(i);
  out[length - 1] = 0x0a;
  return out;
}
