import { convolvedStride } from '../anatomy/convolved-inputs.ts';
import { GraphIndex } from '../anatomy/graph-index.ts';
import { canFeed, unknownInputs } from '../instrument/given.ts';
import type { Row, RowResult } from '../instrument/runner.ts';
import type { Tensor } from '../runtime/device.ts';
import type { OpenModel } from './open.ts';

/** Where the patches of a picture are among the positions of a model: row after row, from `first` on. */
export interface PatchGrid {
  /** The input that is a picture. */
  readonly input: string;
  readonly columns: number;
  readonly rows: number;
  /** Positions before the first patch: a class token, registers. */
  readonly first: number;
}

/** A picture in which the pixels of one patch are others. */
function changed(
  picture: Tensor,
  { columns, rows }: { columns: number; rows: number },
  patch: number,
): Tensor {
  const [, channels, height, width] = picture.dims;
  const [high, wide] = [height / rows, width / columns];
  const data = (picture.data as Float32Array).slice();
  const [top, left] = [Math.floor(patch / columns) * high, (patch % columns) * wide];
  for (let channel = 0; channel < channels; channel++)
    for (let y = top; y < top + high; y++)
      for (let x = left; x < left + wide; x++) data[(channel * height + y) * width + x] += 1;
  return { ...picture, data };
}

/** The position whose vector differs most; −1 when none does. */
function mostChanged(a: Float32Array, b: Float32Array, width: number): number {
  let [most, at] = [0, -1];
  for (let position = 0; position < a.length / width; position++) {
    let sum = 0;
    for (let i = position * width; i < (position + 1) * width; i++) sum += Math.abs(a[i] - b[i]);
    if (sum > most) [most, at] = [sum, position];
  }
  return at;
}

/**
 * Finds which positions are patches of which part of a picture, by trying: pixels of single patches are changed, and the position where the
 * residual stream before the first block changes most is that patch's. Undefined when the model reads no picture, its positions are in another
 * order, or another input was not given yet.
 */
export async function findPatches({
  checkpoint,
  runner,
  given,
  positions,
}: OpenModel): Promise<PatchGrid | undefined> {
  if (!canFeed(checkpoint.anatomy, given)) return undefined;
  if (positions === undefined || !runner.shape.sites[0]?.includes('resid_pre')) return undefined;
  const input = unknownInputs(checkpoint.anatomy).find(({ measures }) => measures?.length === 4);
  const picture = input && given[input.name];
  const info = checkpoint.original.graph.inputs.find(({ name }) => name === input?.name);
  const stride = info && convolvedStride(new GraphIndex(checkpoint.original), info);
  if (!input || picture?.type !== 'float32' || !stride) return undefined;
  const [, , height, width] = picture.dims;
  const grid = { columns: width / stride, rows: height / stride };
  const patches = grid.columns * grid.rows;
  if (!Number.isInteger(grid.columns) || !Number.isInteger(grid.rows) || patches < 2 || patches > positions)
    return undefined;
  const ids = Array.from({ length: positions }, (_, i) => i);
  const tried = [0, 1, grid.columns % patches, patches - 1];
  const rows: Row[] = [
    { ids },
    ...tried.map((patch) => ({ ids, given: { ...given, [input.name]: changed(picture, grid, patch) } })),
  ];
  const found: RowResult[] = [];
  await runner.run({ rows, taps: [{ site: 'resid_pre', layers: [0] }], logits: 'none' }, (row) => {
    found[row.index] = row;
  });
  const stream = found.map((row) => row.tap('resid_pre', 0).data);
  const at = tried.map((_, i) => mostChanged(stream[0], stream[i + 1], runner.shape.dModel));
  const first = at[0];
  return first >= 0 && tried.every((patch, i) => at[i] === first + patch)
    ? { input: input.name, ...grid, first }
    : undefined;
}

/** What positions are called: "class", "register 1", and the row and column of a patch, counted from 1. */
export function patchNames({ columns, rows, first }: PatchGrid, positions: number): string[] {
  const patches = columns * rows;
  return Array.from({ length: positions }, (_, i) => {
    if (i >= first && i < first + patches)
      return `r${Math.floor((i - first) / columns) + 1}c${((i - first) % columns) + 1}`;
    if (i === 0) return 'class';
    return i < first ? `register ${i}` : `after ${i - first - patches + 1}`;
  });
}
