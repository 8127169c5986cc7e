import { HeadscopeError } from '../errors.ts';
import type { ElementType, Tensor, TensorBytes } from '../runtime/device.ts';

type Kind = new (buffer: ArrayBuffer) => TensorBytes;
/** NumPy's codes without the byte order. */
const TYPES: Readonly<Record<string, readonly [ElementType, number, Kind]>> = {
  f8: ['float64', 8, Float64Array],
  f4: ['float32', 4, Float32Array],
  f2: ['float16', 2, Uint16Array],
  i8: ['int64', 8, BigInt64Array],
  i4: ['int32', 4, Int32Array],
  i2: ['int16', 2, Int16Array],
  i1: ['int8', 1, Int8Array],
  u8: ['uint64', 8, BigUint64Array],
  u4: ['uint32', 4, Uint32Array],
  u2: ['uint16', 2, Uint16Array],
  u1: ['uint8', 1, Uint8Array],
  b1: ['bool', 1, Uint8Array],
};

/**
 * Reads an array from a `.npy` file (NumPy Enhancement Proposal 1), row-major or column-major, little-endian.
 * @param where what errors call the file
 * @throws HeadscopeError `bad-array` for anything else
 */
export function readNpy(bytes: Uint8Array, where: string): Tensor {
  const bad = (what: string): HeadscopeError =>
    new HeadscopeError(
      'bad-array',
      `${where} ${what}. Save the array with numpy.save as float32 or whole numbers.`,
    );
  const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
  if (bytes.length < 12 || magic.some((byte, i) => bytes[i] !== byte)) throw bad('is no NumPy file');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const long = bytes[6] >= 2;
  const start = long ? 12 : 10;
  const end = start + (long ? view.getUint32(8, true) : view.getUint16(8, true));
  if (end > bytes.length) throw bad('ends within its header');
  const header = new TextDecoder().decode(bytes.subarray(start, end));
  const code = /'descr'\s*:\s*'([<|=])(\w\d)'/.exec(header)?.[2] ?? '';
  const shape = /'shape'\s*:\s*\(([\d\s,L]*)\)/.exec(header)?.[1];
  if (shape === undefined || !Object.hasOwn(TYPES, code)) throw bad('holds no array of plain numbers');
  const [type, size, Kind] = TYPES[code];
  const dims = shape
    .split(',')
    .filter((dim) => dim.trim() !== '')
    .map((dim) => parseInt(dim, 10));
  const count = dims.reduce((product, dim) => product * dim, 1);
  if (!Number.isSafeInteger(count) || bytes.length - end < count * size)
    throw bad(`is too short for an array of the shape [${dims.join(', ')}]`);
  const copy = new Uint8Array(count * size); // aligned, whatever buffer the bytes are part of
  copy.set(bytes.subarray(end, end + copy.length));
  const data = new Kind(copy.buffer);
  const columnMajor = /'fortran_order'\s*:\s*True/.test(header) && dims.length > 1;
  return { type, dims, data: columnMajor ? rowMajor(data, dims) : data };
}

/** The same array with its last axis running fastest. */
function rowMajor(data: TensorBytes, dims: readonly number[]): TensorBytes {
  const out = data.slice();
  const at = dims.map(() => 0);
  for (let i = 0; i < data.length; i++) {
    let to = 0;
    for (let axis = 0; axis < dims.length; axis++) to = to * dims[axis] + at[axis];
    out[to] = data[i];
    for (let axis = 0; axis < dims.length && ++at[axis] === dims[axis]; axis++) at[axis] = 0;
  }
  return out;
}
