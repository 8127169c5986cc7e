export interface Size {
  readonly rows: number;
  readonly columns: number;
}

/** Where block `i` of `parts` blocks begins among `all` rows or columns. */
const start = (i: number, all: number, parts: number): number => Math.floor((i * all) / parts);

/** What the blocks of an axis are called: the positions that they cover, "16–23". */
export const blockNames = (all: number, parts: number): string[] =>
  Array.from({ length: parts }, (_, i) => {
    const [first, last] = [start(i, all, parts), start(i + 1, all, parts) - 1];
    return first === last ? String(first) : `${first}–${last}`;
  });

/**
 * Reduces a row-major panel to fewer rows and columns: cell (r, c) is the largest or mean value of its block, null where the block holds
 * none. Blocks cover the panel without overlap and differ by at most one row or column in size.
 */
export function reducePanel(
  values: ArrayLike<number | null>,
  from: Size,
  to: Size,
  by: 'max' | 'mean',
): (number | null)[] {
  const out: (number | null)[] = [];
  for (let r = 0; r < to.rows; r++) {
    for (let c = 0; c < to.columns; c++) {
      let largest = -Infinity;
      let sum = 0;
      let count = 0;
      for (let y = start(r, from.rows, to.rows); y < start(r + 1, from.rows, to.rows); y++) {
        for (let x = start(c, from.columns, to.columns); x < start(c + 1, from.columns, to.columns); x++) {
          const value = values[y * from.columns + x];
          if (value === null) continue;
          largest = Math.max(largest, value);
          sum += value;
          count++;
        }
      }
      out.push(count === 0 ? null : by === 'max' ? largest : sum / count);
    }
  }
  return out;
}
