import { HeadscopeError } from '../errors.ts';
import type { GraphBuilder } from './build.ts';
import { BITS, DataType, isRange, type TensorProto } from './model.ts';
import type { ByteSource } from './source.ts';
import { decodeElements, tensorBytes } from './tensor-values.ts';

/**
 * How stored numbers of few bits stand for a matrix: (number − zero) × scale, where neighbours share scale and zero. The numbers are seen
 * as `view`, three axes; scales and zeros as `scaleView`, which is broadcast to it.
 */
export interface Quantised {
  /** The matrix as it lies in the file; a row may be padded there. */
  readonly rows: number;
  readonly columns: number;
  readonly view: readonly [number, number, number];
  readonly scaleView: readonly [number, number, number];
  /** Element type of the numbers. */
  readonly type: number;
  /** Numbers and zeros of 2 or 4 bits are stored as bytes that each hold several, the first in the lowest bits. */
  readonly packed?: boolean;
  /** The first of two numbers in a byte has the upper four bits. */
  readonly upperFirst?: boolean;
  readonly scale: string;
  /** Which scale and zero each column takes, a stored tensor [columns] of indices into `scaleView`'s second axis; `view` is [rows, columns, 1]. */
  readonly groups?: string;
  /** One number for all, or a stored tensor with `stride` numbers for each of `scaleView`'s first axis. */
  readonly zero: number | { readonly name: string; readonly type: number; readonly stride: number };
  /** What the numbers stand for, when not for themselves. */
  readonly levels?: readonly number[];
}

const sizeOf = (dims: readonly number[]): number => dims.reduce((a, b) => a * b, 1);

/** Numbers between one row and the next. */
const strideOf = ({ view, rows }: Quantised): number => sizeOf(view) / rows;

const isSmall = (type: number): boolean => (BITS[type] ?? 8) < 8;

/** Where scale and zero of one number are: indices into what is stored. `groupOf` gives the group of a column when they are listed. */
function placeOf(
  { view, scaleView, zero }: Quantised,
  at: number,
  groupOf?: (column: number) => number,
): { scale: number; zero: number } {
  const [, b, c] = view;
  const index = [Math.floor(at / (b * c)), Math.floor(at / c) % b, at % c];
  const [i, block, k] = index.map((value, axis) => (scaleView[axis] === 1 ? 0 : value));
  const j = groupOf?.(index[1]) ?? block;
  const within = j * scaleView[2] + k;
  const stride = typeof zero === 'number' ? 0 : zero.stride;
  return { scale: i * scaleView[1] * scaleView[2] + within, zero: i * stride + within };
}

/** Looks a stored tensor up by its name; undefined when there is none. */
export type FindTensor = (name: string) => TensorProto | undefined;

function tensorOf(find: FindTensor, name: string): TensorProto {
  const tensor = find(name);
  if (!tensor)
    throw new HeadscopeError(
      'not-supported',
      `The quantised weight ${JSON.stringify(name)} is computed while the model runs, so its values cannot be read.`,
    );
  return tensor;
}

const swapNibbles = (byte: number): number => (byte >> 4) | (byte << 4);

function decoded(type: number, bytes: Uint8Array, upperFirst = false): Float64Array {
  const values = decodeElements(type, upperFirst ? bytes.map(swapNibbles) : bytes);
  if (!values)
    throw new HeadscopeError(
      'not-supported',
      'A quantised weight has an element type whose values cannot be read.',
    );
  return values;
}

/**
 * The matrix [rows × columns] that a quantised weight stands for, as it lies in the file.
 * @throws HeadscopeError `not-supported`, `missing-file`
 */
export async function dequantisedValues(
  name: string,
  quantised: Quantised,
  find: FindTensor,
  sources: ReadonlyMap<string, ByteSource>,
): Promise<Float32Array> {
  const { rows, columns, zero, levels } = quantised;
  const read = async (tensor: string, type?: number, upperFirst?: boolean): Promise<Float64Array> => {
    const proto = tensorOf(find, tensor);
    return decoded(type ?? proto.dataType, await tensorBytes(proto, sources), upperFirst);
  };
  const numbers = await read(name, quantised.type, quantised.upperFirst);
  const scales = await read(quantised.scale);
  const zeros = typeof zero === 'number' ? undefined : await read(zero.name, zero.type);
  const groups = quantised.groups === undefined ? undefined : await read(quantised.groups);
  const stride = strideOf(quantised);
  const out = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = row * stride + column;
      const place = placeOf(quantised, at, groups && ((of) => groups[of]));
      const level = levels
        ? levels[numbers[at]]
        : numbers[at] - (zeros ? zeros[place.zero] : (zero as number));
      out[row * columns + column] = level * scales[place.scale];
    }
  }
  return out;
}

/** One number of a stored matrix [.., columns], read without the rest; NaN when it cannot be read. */
export async function matrixElement(
  name: string,
  quantised: Quantised | undefined,
  at: { readonly row: number; readonly column: number; readonly columns: number },
  find: FindTensor,
  sources: ReadonlyMap<string, ByteSource>,
): Promise<number> {
  const one = async (tensor: string, index: number, type?: number, upperFirst = false): Promise<number> => {
    const proto = tensorOf(find, tensor);
    const bits = BITS[type ?? proto.dataType] ?? 8;
    const from = Math.floor((index * bits) / 8);
    const size = Math.ceil(bits / 8);
    const bytes = isRange(proto.data)
      ? await sources.get(proto.data.source)?.read(proto.data.offset + from, size)
      : proto.data.subarray(from, from + size);
    if (bytes?.length !== size) return NaN;
    const swapped = upperFirst ? bytes.map(swapNibbles) : bytes;
    return decodeElements(type ?? proto.dataType, swapped)?.[bits < 8 ? index % (8 / bits) : 0] ?? NaN;
  };
  if (!quantised) return one(name, at.row * at.columns + at.column);
  const index = at.row * strideOf(quantised) + at.column;
  const group = quantised.groups === undefined ? undefined : await one(quantised.groups, at.column);
  const place = placeOf(quantised, index, group === undefined ? undefined : () => group);
  const number = await one(name, index, quantised.type, quantised.upperFirst);
  const scale = await one(quantised.scale, place.scale);
  const { zero, levels } = quantised;
  if (levels) return levels[number] * scale;
  const offset = typeof zero === 'number' ? zero : await one(zero.name, place.zero, zero.type);
  return (number - offset) * scale;
}

/**
 * The same matrix as a value of a graph, float32 [rows, columns].
 * @param runtime a value known only while the model runs, and a count that divides the weight, [1]: ONNX Runtime would otherwise work
 *   the whole matrix out when it loads the model, and keep it
 */
export function dequantisedMatrix(
  g: GraphBuilder,
  name: string,
  quantised: Quantised,
  runtime?: string,
): string {
  const { rows, columns, view, scaleView, zero, levels, packed = false, upperFirst } = quantised;
  const bits = packed ? BITS[quantised.type] : undefined;
  const whole = packed || !isSmall(quantised.type);
  const loose =
    runtime === undefined || !whole
      ? name
      : g.op('Reshape', [name, g.op('Concat', [runtime, g.ints(-1)], { axis: 0 })]);
  const numbers = unpacked(g, loose, bits, view, upperFirst);
  const float = (value: string): string => g.op('Cast', [value], { to: DataType.float });
  const { groups } = quantised;
  const perColumn = (values: string): string =>
    groups === undefined
      ? values
      : g.op('Gather', [values, g.op('Cast', [groups], { to: DataType.int64 })], { axis: 1 });
  let value: string;
  if (levels) {
    const table = g.constant(Float32Array.from(levels), [levels.length]);
    value = g.op('Gather', [table, g.op('Cast', [numbers], { to: DataType.int64 })], { axis: 0 });
  } else if (typeof zero === 'number') {
    value = zero === 0 ? float(numbers) : g.op('Sub', [float(numbers), g.float(zero)]);
  } else {
    const zeroBits = isSmall(zero.type) ? bits : undefined;
    const padded = float(unpacked(g, zero.name, zeroBits, [scaleView[0], zero.stride]));
    const within = g.op('Slice', [padded, g.ints(0), g.ints(scaleView[1] * scaleView[2]), g.ints(1)]);
    value = g.op('Sub', [float(numbers), perColumn(g.op('Reshape', [within, g.ints(...scaleView)]))]);
  }
  const scaled = g.op('Mul', [
    value,
    perColumn(float(g.op('Reshape', [quantised.scale, g.ints(...scaleView)]))),
  ]);
  const stride = strideOf(quantised);
  const matrix = g.op('Reshape', [scaled, g.ints(rows, stride)]);
  return stride === columns ? matrix : g.op('Slice', [matrix, g.ints(0), g.ints(columns), g.ints(1)]);
}

/** Stored numbers, each as an element of its own, in the given shape. `bits` of a number when a byte holds several. */
function unpacked(
  g: GraphBuilder,
  value: string,
  bits: number | undefined,
  shape: readonly number[],
  upperFirst = false,
): string {
  if (bits === undefined)
    return g.op('Reshape', [g.op('Cast', [value], { to: DataType.float }), g.ints(...shape)]);
  const int32 = (number: number): string => g.constant(Int32Array.of(number), []);
  const size = int32(2 ** bits);
  let rest = g.op('Cast', [value], { to: DataType.int32 });
  const parts = Array.from({ length: 8 / bits }, () => {
    const above = g.op('Div', [rest, size]);
    const part = g.op('Sub', [rest, g.op('Mul', [above, size])]);
    rest = above;
    return g.axes('Unsqueeze', g.op('Reshape', [part, g.ints(-1)]), [1]);
  });
  return g.op('Reshape', [
    g.op('Concat', upperFirst ? parts.reverse() : parts, { axis: 1 }),
    g.ints(...shape),
  ]);
}
