/** What part of a matrix a plot shows. Cells are squares of `cell` CSS pixels; `x` and `y` pixels are hidden left of and above the plot. */
export interface Viewport {
  readonly cell: number;
  readonly x: number;
  readonly y: number;
}

/** A matrix and the plot that it is seen through, in CSS pixels. */
export interface Frame {
  readonly rows: number;
  readonly columns: number;
  readonly width: number;
  readonly height: number;
}

/** Rows and columns that are at least partly seen; the last ones included. Empty when last < first. */
export interface Visible {
  readonly firstRow: number;
  readonly lastRow: number;
  readonly firstColumn: number;
  readonly lastColumn: number;
}

/** A short prompt is not blown up beyond this. */
export const LARGEST_FIT = 36;
export const LARGEST_CELL = 96;

const clamp = (value: number, low: number, high: number): number => Math.max(low, Math.min(high, value));

/** The whole matrix, as large as it fits. */
export function fit({ rows, columns, width, height }: Frame): Viewport {
  return { cell: Math.min(LARGEST_FIT, width / columns, height / rows), x: 0, y: 0 };
}

/** The nearest viewport that shows nothing beyond the matrix and no cell too small or too large. */
export function held(view: Viewport, frame: Frame): Viewport {
  const cell = clamp(view.cell, fit(frame).cell, LARGEST_CELL);
  return {
    cell,
    x: clamp(view.x, 0, Math.max(0, frame.columns * cell - frame.width)),
    y: clamp(view.y, 0, Math.max(0, frame.rows * cell - frame.height)),
  };
}

/** Enlarges by `factor`; the point (px, py) of the plot stays over the same place of the matrix where the edges allow it. */
export function zoomed(view: Viewport, frame: Frame, factor: number, px: number, py: number): Viewport {
  const cell = clamp(view.cell * factor, fit(frame).cell, LARGEST_CELL);
  const ratio = cell / view.cell;
  return held({ cell, x: (view.x + px) * ratio - px, y: (view.y + py) * ratio - py }, frame);
}

export function panned(view: Viewport, frame: Frame, dx: number, dy: number): Viewport {
  return held({ cell: view.cell, x: view.x + dx, y: view.y + dy }, frame);
}

/** Moves as little as needed to see the whole cell. */
export function revealing(view: Viewport, frame: Frame, row: number, column: number): Viewport {
  const { cell } = view;
  const along = (from: number, place: number, size: number): number =>
    clamp(from, (place + 1) * cell - size, place * cell);
  return held({ cell, x: along(view.x, column, frame.width), y: along(view.y, row, frame.height) }, frame);
}

export function visible({ cell, x, y }: Viewport, { rows, columns, width, height }: Frame): Visible {
  const last = (from: number, size: number, count: number): number =>
    Math.min(count, Math.ceil((from + size) / cell)) - 1;
  return {
    firstRow: Math.floor(y / cell),
    lastRow: last(y, height, rows),
    firstColumn: Math.floor(x / cell),
    lastColumn: last(x, width, columns),
  };
}

/** The cell under a point of the plot; undefined outside of matrix or plot. */
export function cellAt(
  { cell, x, y }: Viewport,
  { rows, columns, width, height }: Frame,
  px: number,
  py: number,
): { row: number; column: number } | undefined {
  if (px < 0 || py < 0 || px >= width || py >= height) return undefined;
  const [row, column] = [Math.floor((y + py) / cell), Math.floor((x + px) / cell)];
  return row < rows && column < columns ? { row, column } : undefined;
}

/** True when a view is the whole matrix as `fit` shows it. */
export const isFit = (view: Viewport, frame: Frame): boolean => view.cell <= fit(frame).cell * 1.0001;

/** The distance 1, 2, 5, 10, 20, … between labels that need `room` pixels each. */
export function labelStep(cell: number, room: number): number {
  for (let power = 1; ; power *= 10) {
    for (const step of [1, 2, 5]) if (step * power * cell >= room) return step * power;
  }
}
