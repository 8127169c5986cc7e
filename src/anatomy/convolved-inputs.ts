import { DataType, type Node, type ValueInfo } from '../onnx/model.ts';
import type { GraphIndex } from './graph-index.ts';

const FLOAT = new Set<number>([DataType.float, DataType.float16, DataType.double, DataType.bfloat16]);

/** Sizes taken where nothing in the graph tells: a picture's side, samples of sound, frames of features. */
const USUAL = { side: 224, samples: 16_000, frames: 1024 };

/** Operators on the way from an input to its first convolution, and from one convolution to the next. */
const ON_THE_WAY =
  /^(Cast|Identity|Unsqueeze|Squeeze|Transpose|Reshape|Sub|Add|Div|Mul|Pad|Relu|Gelu|Erf|Sigmoid|Tanh)$/;

/** A convolution with stored weights [outputs, channels, …sizes]. */
interface Convolution {
  readonly channels: number;
  readonly outputs: number;
  readonly strides: readonly number[];
  readonly value: string;
}

function readConvolution(index: GraphIndex, node: Node, value: string): Convolution | undefined {
  if (node.opType !== 'Conv' || node.inputs[0] !== value) return undefined;
  const dims = index.weight(node.inputs[1])?.tensor.dims;
  if (!dims || dims.length < 3) return undefined;
  return {
    channels: dims[1] * (node.attributes.get('group')?.int ?? 1),
    outputs: dims[0],
    strides: node.attributes.get('strides')?.ints ?? dims.slice(2).map(() => 1),
    value: node.outputs[0],
  };
}

/** The first convolution that reads a value, whatever is done to the single numbers before. */
function nextConvolution(index: GraphIndex, start: string): Convolution | undefined {
  let frontier = [start];
  for (let step = 0; step < 10 && frontier.length; step++) {
    const next: string[] = [];
    for (const value of frontier)
      for (const node of index.consumers(value)) {
        const found = readConvolution(index, node, value);
        if (found) return found;
        if (ON_THE_WAY.test(node.opType)) next.push(node.outputs[0]);
      }
    frontier = next.slice(0, 8);
  }
  return undefined;
}

/** Rows of stored tables [rows, width] or [1, rows, width] that are added to something: of positions, where there are many. */
function addedTables(index: GraphIndex, width: number): number[] {
  return index.model.graph.nodes.flatMap((node) => {
    if (node.opType !== 'Add') return [];
    return node.inputs.flatMap((input) => {
      const dims = index.isConstant(input) ? index.weight(input)?.tensor.dims : undefined;
      const rows = dims?.[dims.length - 2];
      const isTable =
        dims?.[dims.length - 1] === width && (dims.length === 2 || (dims.length === 3 && dims[0] === 1));
      return isTable && rows !== undefined && rows > 1 ? [rows] : [];
    });
  });
}

export interface ConvolvedSizes {
  readonly sizes: readonly (number | 'batch')[];
  /** Nothing in the graph told them all: a person may feed others. */
  readonly guessed: boolean;
}

/**
 * The sizes of an input that goes through convolutions, a picture [batch, channels, height, width] or sound, where the file leaves them open:
 * from the channels and the stride of the convolution, and from the number of positions that a stored table knows. Undefined for any other input.
 */
export function convolvedSizes(index: GraphIndex, input: ValueInfo): ConvolvedSizes | undefined {
  const { dims } = input;
  if (!FLOAT.has(input.elemType) || !dims || dims.length < 2 || dims.length > 4) return undefined;
  const first = nextConvolution(index, input.name);
  if (!first) return undefined;
  const fixed = (at: number): number | undefined => {
    const dim = dims[at];
    return typeof dim === 'number' && dim > 0 ? dim : undefined;
  };
  const last = convolutions(index, first);
  const tables = addedTables(index, last[last.length - 1].outputs);
  const stride = last.reduce((product, { strides }) => product * strides[0], 1);
  const open = dims.slice(dims.length === 4 ? 2 : dims.length - 1).some((dim) => typeof dim !== 'number');
  if (dims.length === 4) {
    // patches in a square; a class token, and one of a teacher, may come before them
    const sides = tables.flatMap((rows) => [rows - 1, rows, rows - 2]).map(Math.sqrt);
    const root = sides.find((side) => Number.isInteger(side) && side > 1);
    const side = root === undefined ? USUAL.side : root * stride;
    const sizes = ['batch' as const, fixed(1) ?? first.channels, fixed(2) ?? side, fixed(3) ?? side];
    return { sizes, guessed: open && root === undefined };
  }
  if (dims.length === 2) return { sizes: ['batch', fixed(1) ?? USUAL.samples], guessed: open };
  const frames = tables.length ? Math.max(...tables) * stride : USUAL.frames;
  const sizes = ['batch' as const, fixed(1) ?? first.channels, fixed(2) ?? frames];
  return { sizes, guessed: open && tables.length === 0 };
}

/** By how many pixels or frames of an input its positions are apart, the same along every axis; undefined when it goes through no convolution. */
export function convolvedStride(index: GraphIndex, input: ValueInfo): number | undefined {
  const first = nextConvolution(index, input.name);
  const all = first && convolutions(index, first);
  return all?.reduce((product, { strides }) => product * strides[0], 1);
}

/** A convolution and those that follow it directly. */
function convolutions(index: GraphIndex, first: Convolution): Convolution[] {
  const all = [first];
  for (let step = 0; step < 16; step++) {
    const next = nextConvolution(index, all[all.length - 1].value);
    if (!next) break;
    all.push(next);
  }
  return all;
}
