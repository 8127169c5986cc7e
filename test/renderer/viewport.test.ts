import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  cellAt,
  fit,
  held,
  isFit,
  labelStep,
  LARGEST_CELL,
  LARGEST_FIT,
  panned,
  revealing,
  visible,
  zoomed,
  type Frame,
  type Viewport,
} from '../../renderer/parts/pattern/viewport.ts';

const frames: fc.Arbitrary<Frame> = fc.record({
  rows: fc.integer({ min: 1, max: 2000 }),
  columns: fc.integer({ min: 1, max: 2000 }),
  width: fc.integer({ min: 40, max: 2000 }),
  height: fc.integer({ min: 40, max: 2000 }),
});
const views: fc.Arbitrary<Viewport> = fc.record({
  cell: fc.double({ min: 0.01, max: 200, noNaN: true }),
  x: fc.double({ min: -1e4, max: 1e5, noNaN: true }),
  y: fc.double({ min: -1e4, max: 1e5, noNaN: true }),
});

it('fits the whole matrix and does not blow up a short prompt', () => {
  expect(fit({ rows: 1000, columns: 500, width: 800, height: 500 }).cell).toBe(0.5);
  expect(fit({ rows: 4, columns: 4, width: 800, height: 500 }).cell).toBe(LARGEST_FIT);
  fc.assert(
    fc.property(frames, (frame) => {
      const view = fit(frame);
      expect(visible(view, frame)).toEqual({
        firstRow: 0,
        lastRow: frame.rows - 1,
        firstColumn: 0,
        lastColumn: frame.columns - 1,
      });
      expect(isFit(view, frame)).toBe(true);
    }),
  );
});

it('shows nothing beyond the matrix, whatever is asked', () => {
  fc.assert(
    fc.property(frames, views, (frame, wanted) => {
      const view = held(wanted, frame);
      expect(view.cell).toBeGreaterThanOrEqual(fit(frame).cell);
      expect(view.cell).toBeLessThanOrEqual(LARGEST_CELL);
      const seen = visible(view, frame);
      expect(seen.firstRow).toBeGreaterThanOrEqual(0);
      expect(seen.lastRow).toBeLessThan(frame.rows);
      expect(seen.firstRow).toBeLessThanOrEqual(seen.lastRow);
      expect(seen.firstColumn).toBeLessThanOrEqual(seen.lastColumn);
      expect((seen.lastRow - seen.firstRow - 1) * view.cell).toBeLessThanOrEqual(frame.height);
    }),
  );
});

it('keeps the cell under the pointer when zooming in', () => {
  const frame = { rows: 1024, columns: 1024, width: 512, height: 512 };
  let view = fit(frame);
  const under = cellAt(view, frame, 300, 200)!;
  for (let i = 0; i < 12; i++) {
    view = zoomed(view, frame, 1.4, 300, 200);
    const now = cellAt(view, frame, 300, 200)!;
    expect(Math.abs(now.row - under.row)).toBeLessThanOrEqual(2);
    expect(Math.abs(now.column - under.column)).toBeLessThanOrEqual(2);
  }
  expect(view.cell).toBeGreaterThan(20);
  for (let i = 0; i < 20; i++) view = zoomed(view, frame, 1 / 1.4, 300, 200);
  expect(view).toEqual(fit(frame));
});

it('pans by what is asked, up to the edges', () => {
  const frame = { rows: 100, columns: 100, width: 200, height: 200 };
  const view = { cell: 10, x: 0, y: 0 };
  expect(panned(view, frame, 30, 40)).toEqual({ cell: 10, x: 30, y: 40 });
  expect(panned(view, frame, -30, 4000)).toEqual({ cell: 10, x: 0, y: 800 });
});

it('brings a cell wholly into sight, moving no more than needed', () => {
  const frame = { rows: 100, columns: 100, width: 200, height: 200 };
  expect(revealing({ cell: 10, x: 0, y: 0 }, frame, 19, 20)).toEqual({ cell: 10, x: 10, y: 0 });
  expect(revealing({ cell: 10, x: 500, y: 500 }, frame, 3, 55)).toEqual({ cell: 10, x: 500, y: 30 });
});

it('finds the cell under a point, and none outside of matrix or plot', () => {
  const frame = { rows: 10, columns: 10, width: 400, height: 300 };
  const view = { cell: 30, x: 0, y: 15 };
  expect(cellAt(view, frame, 0, 0)).toEqual({ row: 0, column: 0 });
  expect(cellAt(view, frame, 31, 16)).toEqual({ row: 1, column: 1 });
  expect(cellAt(view, frame, 301, 16)).toBeUndefined();
  expect(cellAt(view, frame, -1, 16)).toBeUndefined();
  expect(cellAt(view, frame, 10, 300)).toBeUndefined();
});

it('thins labels to 1, 2, 5, 10, … until each has room', () => {
  expect([20, 14, 10, 6, 3, 0.5, 0.02].map((cell) => labelStep(cell, 14))).toEqual([1, 1, 2, 5, 5, 50, 1000]);
});
