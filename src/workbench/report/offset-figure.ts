import { heatmap } from '../../report/build-figures.ts';
import type { Figure } from '../../report/figure-schema.ts';
import type { PatchGrid } from '../patches.ts';

/** Mean attention by how far the key patch is from the query patch. */
export interface Offsets {
  /** [2·rows − 1, 2·columns − 1]; rows from −(rows − 1) up to rows − 1 downwards, columns likewise to the right. */
  readonly values: Float32Array;
  readonly high: number;
  readonly wide: number;
}

/**
 * Mean attention from query patches to the key patch `dx` columns to the right and `dy` rows below, over the queries that have such a patch.
 * @param pattern [tokens, tokens], row after row
 */
export function meanOffsets(
  pattern: ArrayLike<number>,
  tokens: number,
  { columns, rows, first }: Pick<PatchGrid, 'columns' | 'rows' | 'first'>,
): Offsets {
  const [high, wide] = [2 * rows - 1, 2 * columns - 1];
  const values = new Float32Array(high * wide);
  const patches = columns * rows;
  for (let query = 0; query < patches; query++)
    for (let key = 0; key < patches; key++) {
      const dx = (key % columns) - (query % columns);
      const dy = Math.floor(key / columns) - Math.floor(query / columns);
      const pairs = (columns - Math.abs(dx)) * (rows - Math.abs(dy));
      values[(dy + rows - 1) * wide + dx + columns - 1] +=
        pattern[(first + query) * tokens + first + key] / pairs;
    }
  return { values, high, wide };
}

const signed = (value: number): string => (value > 0 ? `+${value}` : value < 0 ? `−${-value}` : '0');

/** Where a head looks from a patch, in two dimensions, as a figure. @throws HeadscopeError `bad-figure` */
export function offsetFigure(
  name: string,
  title: string,
  pattern: ArrayLike<number>,
  tokens: number,
  grid: Pick<PatchGrid, 'columns' | 'rows' | 'first'>,
): Figure {
  const { values, high, wide } = meanOffsets(pattern, tokens, grid);
  const names = (count: number): string[] =>
    Array.from({ length: count }, (_, i) => signed(i - (count - 1) / 2));
  const most = values.reduce((top, value) => Math.max(top, value), 0);
  return heatmap({
    id: `offsets-${name.toLowerCase()}`,
    title: `Offsets of ${title}`,
    caption:
      'Mean attention from a patch to the patch so many columns to the right and rows below it, over the patches that have one; the middle is the patch itself.',
    rows: { label: 'Rows down', names: names(high) },
    columns: { label: 'Columns right', names: names(wide) },
    values,
    scale: { label: 'Attention', domain: [0, most > 0 ? most : 1] },
    showValues: values.length <= 49,
  });
}
