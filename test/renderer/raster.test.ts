import { expect, it } from 'vitest';
import { CellPyramid, indexCells, paintCells, type Placement } from '../../renderer/parts/pattern/raster.ts';
import { MASKED, NOT_A_NUMBER, ranks, scaleFor } from '../../renderer/parts/pattern/scales.ts';

const scale = scaleFor([], {});
// Pixels that tell which index they show; 0 is left free.
const shown = Uint32Array.from({ length: 257 }, (_, i) => (i === MASKED ? 0 : i + 1));

function painted(
  values: Float32Array,
  columns: number,
  [width, height]: [number, number],
  place: Partial<Placement>,
  causal = false,
): number[][] {
  const pixels = new Uint32Array(width * height);
  const clip = { left: 0, top: 0, right: width, bottom: height };
  paintCells(
    { pixels, width, height },
    indexCells(values, columns, scale, causal),
    { left: 0, top: 0, cellWidth: 1, cellHeight: 1, clip, gap: false, ...place },
    shown,
    ranks('sequential'),
  );
  return Array.from({ length: height }, (_, y) =>
    Array.from(pixels.subarray(y * width, (y + 1) * width), (pixel) => pixel - 1),
  );
}

const two = new Float32Array([0, 1, 1, 0]);

it('masks the keys after a query and nothing else', () => {
  const { indices, rows } = indexCells(new Float32Array(9).fill(1), 3, scale, true);
  expect(rows).toBe(3);
  expect([...indices]).toEqual([254, MASKED, MASKED, 254, 254, MASKED, 254, 254, 254]);
});

it('paints each cell as a block of pixels', () => {
  expect(painted(two, 2, [4, 4], { cellWidth: 2, cellHeight: 2 })).toEqual([
    [0, 0, 254, 254],
    [0, 0, 254, 254],
    [254, 254, 0, 0],
    [254, 254, 0, 0],
  ]);
});

it('leaves a pixel free between cells that stand apart', () => {
  expect(painted(two, 2, [6, 3], { cellWidth: 3, cellHeight: 3, gap: true })).toEqual([
    [0, 0, -1, 254, 254, -1],
    [0, 0, -1, 254, 254, -1],
    [-1, -1, -1, -1, -1, -1],
  ]);
});

it('paints only within the clip, where a panned matrix is', () => {
  const clip = { left: 1, top: 0, right: 3, bottom: 1 };
  expect(painted(two, 2, [4, 2], { cellWidth: 2, cellHeight: 2, left: -1, clip })).toEqual([
    [-1, 254, 254, -1],
    [-1, -1, -1, -1],
  ]);
});

it('shows a single strong cell among a million', () => {
  const values = new Float32Array(1000 * 1000);
  values[777 * 1000 + 333] = 0.9;
  const rows = painted(values, 1000, [100, 100], { cellWidth: 0.1, cellHeight: 0.1 });
  const strong = rows.flatMap((row, y) => row.flatMap((index, x) => (index > 200 ? [[x, y]] : [])));
  expect(strong).toEqual([[33, 77]]);
});

it('shows NaN before any value', () => {
  const values = new Float32Array([1, 1, 1, NaN]);
  expect(painted(values, 2, [1, 1], { cellWidth: 0.5, cellHeight: 0.5 })).toEqual([[NOT_A_NUMBER]]);
});

it('leaves what is masked free', () => {
  expect(painted(new Float32Array(4).fill(1), 2, [2, 2], {}, true)).toEqual([
    [254, -1],
    [254, 254],
  ]);
});

it('keeps the strongest of the cells that a coarser one stands for', () => {
  const columns = 21;
  const values = Float32Array.from({ length: 13 * columns }, (_, i) => ((i * 7919) % 254) / 254);
  values[4 * columns + 20] = NaN;
  const rank = ranks('sequential');
  const pyramid = new CellPyramid(indexCells(values, columns, scale, true), rank);
  expect(pyramid.seenAt(0.6)).toEqual({ cells: pyramid.cells, sides: 1 });
  const { cells, sides } = pyramid.seenAt(0.2);
  expect([sides, cells.rows, cells.columns]).toEqual([4, 4, 6]);
  for (let r = 0; r < cells.rows; r++)
    for (let c = 0; c < cells.columns; c++) {
      let best = MASKED;
      for (let y = 4 * r; y < Math.min(13, 4 * r + 4); y++)
        for (let x = 4 * c; x < Math.min(columns, 4 * c + 4); x++) {
          const index = pyramid.cells.indices[y * columns + x];
          if (rank[index] > rank[best]) best = index;
        }
      expect(cells.indices[r * cells.columns + c]).toBe(best);
    }
});
