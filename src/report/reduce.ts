interface Size {
  readonly rows: number;
  readonly columns: number;
}

/**
 * Reduces a row-major panel to fewer rows and columns: cell (r, c) is the largest or mean value of its block, null where the block holds
 * none. Blocks cover the panel without overlap and differ by at most one row or column in size.
 */
export function reducePanel(
  values: readonly (number | null)[],
  from: Size,
  to: Size,
  by: 'max' | 'mean',
): (number | null)[] {
  const out: (number | null)[] = [];
  const start = (i: number, all: number, parts: number): number => Math.floor((i * all) / parts);
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
