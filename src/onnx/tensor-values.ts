import { BITS, DataType, isRange, type TensorProto } from './model.ts';
import type { ByteSource } from './source.ts';
import { HeadscopeError } from '../errors.ts';

/** Half precision bits as a number (IEEE 754 binary16). */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Decodes little-endian elements of an ONNX type; int64 beyond 2^53 loses low bits. Undefined for types that are no plain numbers. */
export function decodeElements(dataType: number, bytes: Uint8Array): Float64Array | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const read = (size: number, get: (offset: number) => number): Float64Array =>
    Float64Array.from({ length: Math.floor(bytes.length / size) }, (_, i) => get(i * size));
  switch (dataType) {
    case DataType.float:
      return read(4, (o) => view.getFloat32(o, true));
    case DataType.double:
      return read(8, (o) => view.getFloat64(o, true));
    case DataType.int64:
      return read(8, (o) => Number(view.getBigInt64(o, true)));
    case DataType.uint64:
      return read(8, (o) => Number(view.getBigUint64(o, true)));
    case DataType.int32:
      return read(4, (o) => view.getInt32(o, true));
    case DataType.uint32:
      return read(4, (o) => view.getUint32(o, true));
    case DataType.int16:
      return read(2, (o) => view.getInt16(o, true));
    case DataType.uint16:
      return read(2, (o) => view.getUint16(o, true));
    case DataType.int8:
      return read(1, (o) => view.getInt8(o));
    case DataType.uint8:
    case DataType.bool:
      return read(1, (o) => view.getUint8(o));
    case DataType.float16:
      return read(2, (o) => halfToNumber(view.getUint16(o, true)));
    case DataType.bfloat16: {
      const word = new DataView(new ArrayBuffer(4));
      return read(2, (o) => {
        word.setUint32(0, view.getUint16(o, true) << 16);
        return word.getFloat32(0);
      });
    }
    case DataType.uint4:
    case DataType.uint2:
      return severalPerByte(bytes, BITS[dataType]);
    case DataType.int4:
    case DataType.int2: {
      const count = 2 ** BITS[dataType];
      return severalPerByte(bytes, BITS[dataType]).map((value) =>
        value < count / 2 ? value : value - count,
      );
    }
    default:
      return undefined;
  }
}

/** Numbers of less than a byte, the first in the lowest bits. */
function severalPerByte(bytes: Uint8Array, bits: number): Float64Array {
  const perByte = 8 / bits;
  return Float64Array.from(
    { length: perByte * bytes.length },
    (_, i) => (bytes[Math.floor(i / perByte)] >> (bits * (i % perByte))) & (2 ** bits - 1),
  );
}

/** The raw bytes of a tensor, from memory or from its file. */
export async function tensorBytes(
  tensor: TensorProto,
  sources: ReadonlyMap<string, ByteSource>,
): Promise<Uint8Array> {
  const data = tensor.data;
  if (!isRange(data)) return data;
  const source = sources.get(data.source);
  if (!source)
    throw new HeadscopeError(
      'missing-file',
      `The file ${data.source} that holds ${JSON.stringify(tensor.name)} is not open.`,
    );
  return source.read(data.offset, data.length);
}

/** The float32 values of a float weight; float16, bfloat16 and float64 are converted. */
export async function floatValues(
  tensor: TensorProto,
  sources: ReadonlyMap<string, ByteSource>,
): Promise<Float32Array> {
  const bytes = await tensorBytes(tensor, sources);
  if (tensor.dataType === DataType.float) return new Float32Array(bytes.slice().buffer);
  const values = decodeElements(tensor.dataType, bytes);
  if (!values)
    throw new HeadscopeError(
      'not-supported',
      `The weight ${JSON.stringify(tensor.name)} has an element type whose values cannot be read.`,
    );
  return Float32Array.from(values);
}
