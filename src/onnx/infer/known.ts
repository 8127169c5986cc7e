import { DataType, type Node } from '../model.ts';
import { sizeOf, type NdArray } from '../ndarray.ts';

/**
 * What is known of a value for one concrete input size: its element type, its shape, and its numbers where they follow from shapes and
 * small constants alone. Choosing concrete sizes turns symbolic shape arithmetic (Shape → Gather → Concat → Reshape) into plain numbers.
 */
export interface Known {
  readonly type: number;
  readonly dims?: readonly number[];
  readonly values?: Float64Array;
}

/** What one operator gives, output by output; undefined where nothing can be said. */
export type Infer = (
  node: Node,
  inputs: readonly (Known | undefined)[],
  opset: number,
) => readonly (Known | undefined)[] | undefined;

export type InferTable = Readonly<Record<string, Infer>>;

/** Values with more numbers than this are not followed; masks of short sample prompts are far below. */
export const MAX_VALUES = 1 << 17;

const MAX_RANK = 64;

/** True for shapes that can exist. */
export const isShape = (dims: readonly number[]): boolean =>
  dims.length <= MAX_RANK && dims.every((dim) => Number.isSafeInteger(dim) && dim >= 0);

/** True for shapes whose numbers are worth following. */
export const isSmall = (dims: readonly number[]): boolean => isShape(dims) && sizeOf(dims) <= MAX_VALUES;

/** A value as an array, when its numbers are known. */
export const nd = (known: Known | undefined): NdArray | undefined =>
  known?.dims && known.values ? { dims: known.dims, values: known.values } : undefined;

export const intAttr = (node: Node, name: string, fallback: number): number =>
  node.attributes.get(name)?.int ?? fallback;
export const intsAttr = (node: Node, name: string): readonly number[] | undefined =>
  node.attributes.get(name)?.ints;

/** An axis counted from the front. */
export const positive = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

/** Shape and type of the first input. */
export const same: Infer = (_, [x]) => [x && { type: x.type, dims: x.dims }];

/** Axes given as an attribute in older opsets and as an input in newer ones. */
export function axesOf(node: Node, input: Known | undefined): number[] | undefined {
  const attribute = intsAttr(node, 'axes');
  if (attribute) return [...attribute];
  return input?.values ? [...input.values] : undefined;
}

export const isInteger = (type: number | undefined): boolean =>
  type !== undefined &&
  type !== DataType.float &&
  type !== DataType.double &&
  type !== DataType.float16 &&
  type !== DataType.bfloat16;
