import { DataType } from '../onnx/model.ts';
import type { Anatomy } from '../anatomy/anatomy.ts';
import type { ElementType, Tensor } from '../runtime/device.ts';
import { HeadscopeError } from '../errors.ts';
import { notGiven, repeated, type GivenInputs } from './given.ts';
import { wholePicture } from './picture-mask.ts';
import type { Row } from './runner.ts';

/** Prompts of one run, padded on the right to the longest. */
export interface Batch {
  readonly rows: readonly Row[];
  /** Position of each row in the request. */
  readonly indices: readonly number[];
  readonly lengths: readonly number[];
  /** Tokens per row, padding included. */
  readonly width: number;
}

const floats = (data: Float32Array, ...dims: number[]): Tensor => ({ type: 'float32', dims, data });

/** [batch, width] with a number per real token; padding gets 0. */
export function perToken(
  batch: Batch,
  value: (row: number, position: number, length: number) => number,
): Tensor {
  const { lengths, width } = batch;
  const data = new Float32Array(lengths.length * width);
  lengths.forEach((length, row) => {
    for (let position = 0; position < length; position++)
      data[row * width + position] = value(row, position, length);
  });
  return floats(data, lengths.length, width);
}

/** Weights of each (query, key) in the means of previous-token attention, distance and share on position 0: [batch, width², 3]. */
export function pairFeatures(batch: Batch): Tensor {
  const { lengths, width } = batch;
  const data = new Float32Array(lengths.length * width * width * 3);
  lengths.forEach((length, row) => {
    for (let q = 0; q < length; q++) {
      for (let k = 0; k < length; k++) {
        const at = ((row * width + q) * width + k) * 3;
        if (q >= 1 && k === q - 1) data[at] = 1 / (length - 1);
        data[at + 1] = Math.abs(q - k) / length;
        if (q >= 1 && k === 0) data[at + 2] = 1 / (length - 1);
      }
    }
  });
  return floats(data, lengths.length, width * width, 3);
}

const TYPES: Readonly<Record<number, ElementType>> = {
  [DataType.float]: 'float32',
  [DataType.float16]: 'float16',
  [DataType.double]: 'float64',
  [DataType.int64]: 'int64',
  [DataType.int32]: 'int32',
  [DataType.bool]: 'bool',
  [DataType.uint8]: 'uint8',
  [DataType.int8]: 'int8',
};

/** The file says how large its fixed inputs are; it may ask for any size. */
const MAX_FED = 1 << 28;

/** A tensor of an ONNX type filled with small whole numbers. */
function wholeTensor(onnxType: number, dims: readonly number[], value: (i: number) => number): Tensor {
  const type = TYPES[onnxType];
  const size = dims.reduce((product, dim) => product * dim, 1);
  if (!(size <= MAX_FED))
    throw new HeadscopeError(
      'not-supported',
      `An input of the model wants ${size} numbers, more than can be fed.`,
    );
  switch (type) {
    case 'int64':
      return { type, dims, data: BigInt64Array.from({ length: size }, (_, i) => BigInt(value(i))) };
    case 'int32':
      return { type, dims, data: Int32Array.from({ length: size }, (_, i) => value(i)) };
    case 'float32':
      return { type, dims, data: Float32Array.from({ length: size }, (_, i) => value(i)) };
    case 'float64':
      return { type, dims, data: Float64Array.from({ length: size }, (_, i) => value(i)) };
    case 'float16':
      return {
        type,
        dims,
        data: Uint16Array.from({ length: size }, (_, i) => (value(i) === 0 ? 0 : 0x3c00)),
      }; // only 0 and 1
    case 'bool':
    case 'uint8':
      return { type, dims, data: Uint8Array.from({ length: size }, (_, i) => value(i)) };
    default:
      throw new HeadscopeError(
        'not-supported',
        `An input of the model has the element type ${onnxType}, which cannot be fed.`,
      );
  }
}

/**
 * Feeds for the model's own inputs.
 * @param given tensors for inputs nobody can guess
 * @throws HeadscopeError `unknown-input` when one of those was not given
 */
export function modelFeeds(anatomy: Anatomy, batch: Batch, given: GivenInputs = {}): Record<string, Tensor> {
  const feeds: Record<string, Tensor> = {};
  const { rows, lengths, width } = batch;
  const dims = [rows.length, width];
  const sharedDims = (rank: 1 | 2): number[] => (rank === 1 ? [width] : [1, width]);
  const position = (i: number): number => i % width;
  const row = (i: number): number => Math.floor(i / width);
  for (const input of anatomy.inputs) {
    if (input.role === 'tokens')
      feeds[input.name] = wholeTensor(input.type, dims, (i) => rows[row(i)].ids[position(i)] ?? 0);
    else if (input.role === 'mask')
      feeds[input.name] = wholeTensor(input.type, dims, (i) => (position(i) < lengths[row(i)] ? 1 : 0));
    else if (input.role === 'positions')
      feeds[input.name] = wholeTensor(input.type, input.shared ? sharedDims(input.shared) : dims, position);
    else if (input.role === 'segments') feeds[input.name] = wholeTensor(input.type, dims, () => 0);
    else if (input.role === 'past')
      feeds[input.name] = wholeTensor(
        input.type,
        input.dims.map((dim) => (dim === 'batch' ? rows.length : dim)),
        () => 0,
      );
    else if (input.role === 'flag') feeds[input.name] = wholeTensor(input.type, input.dims, () => 0);
    else if (input.role === 'unknown') {
      const own = Object.hasOwn(given, input.name) ? given[input.name] : wholePicture(anatomy, input, given);
      if (!own) throw notGiven(input);
      feeds[input.name] = repeated(own, rows.length);
    }
  }
  return feeds;
}
