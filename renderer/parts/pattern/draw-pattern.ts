import { COLOURS, colourMap, inkOn } from '../../../src/report/colours.ts';
import { formatNumber } from '../../../src/report/numbers.ts';
import { drawAxis, drawStrongLabel, type Axis, type AxisLabels } from './axis-labels.ts';
import type { Cell } from './cell.ts';
import type { Inks } from './inks.ts';
import { paintCells, type CellPyramid, type Raster } from './raster.ts';
import { palette, ranks, type ValueScale } from './scales.ts';
import { hatch, strokeOver, type SharpSize } from './sharp-canvas.ts';
import { visible, type Frame, type Viewport } from './viewport.ts';

/** Everything a drawing of a pattern depends on but what the pointer does. */
export interface PatternScene {
  readonly size: SharpSize;
  readonly frame: Frame;
  readonly view: Viewport;
  readonly values: Float32Array;
  readonly pyramid: CellPyramid;
  readonly scale: ValueScale;
  readonly causal: boolean;
  /** Key positions that are sinks. */
  readonly marks: readonly number[];
  readonly rowLabels: AxisLabels;
  readonly columnLabels: AxisLabels;
  readonly inks: Inks;
}

/** Room above the plot for the marks of key positions. */
const MARKS = 8;
/** From these sides of a cell on (CSS pixels) cells stand apart, and hold their value. */
const APART = 9;
const WRITTEN = 30;

/** Where the plot's corner is within the drawing. */
export const cornerOf = (rows: AxisLabels, columns: AxisLabels): { left: number; top: number } => ({
  left: rows.room,
  top: columns.room + MARKS,
});

/** Draws the visible cells, the axes and the marks; returns how many cells that were. */
export function drawPattern(context: CanvasRenderingContext2D, scene: PatternScene): number {
  const { frame, view, inks, causal, marks } = scene;
  const { left, top } = cornerOf(scene.rowLabels, scene.columnLabels);
  const seen = visible(view, frame);
  const { rowAxis, columnAxis } = axes(scene);
  drawAxis(context, rowAxis, [seen.firstRow, seen.lastRow], inks);
  drawAxis(context, columnAxis, [seen.firstColumn, seen.lastColumn], inks);

  context.save();
  context.beginPath();
  context.rect(left, top, frame.width, frame.height);
  context.clip();
  if (causal) drawMasked(context, scene);
  drawCells(context, scene);
  if (view.cell >= WRITTEN) writeValues(context, scene);
  context.restore();

  context.fillStyle = inks.warn;
  for (const key of marks) drawMark(context, left + (key + 0.5) * view.cell - view.x, top, left, frame.width);
  return (seen.lastRow - seen.firstRow + 1) * (seen.lastColumn - seen.firstColumn + 1);
}

function axes({ frame, view, rowLabels, columnLabels }: PatternScene): { rowAxis: Axis; columnAxis: Axis } {
  const { left, top } = cornerOf(rowLabels, columnLabels);
  const { cell } = view;
  return {
    rowAxis: {
      labels: rowLabels,
      upright: false,
      start: top,
      edge: left,
      length: frame.height,
      cell,
      hidden: view.y,
    },
    columnAxis: {
      labels: columnLabels,
      upright: true,
      start: left,
      edge: top - MARKS,
      length: frame.width,
      cell,
      hidden: view.x,
    },
  };
}

/** Hatches the keys after their query. */
function drawMasked(context: CanvasRenderingContext2D, scene: PatternScene): void {
  const { frame, view, size, inks } = scene;
  const { left, top } = cornerOf(scene.rowLabels, scene.columnLabels);
  const { firstRow, lastRow } = visible(view, frame);
  const x = (column: number): number => left + column * view.cell - view.x;
  const y = (row: number): number => top + row * view.cell - view.y;
  context.beginPath();
  context.moveTo(x(frame.columns), y(firstRow));
  for (let row = firstRow; row <= lastRow; row++) {
    context.lineTo(x(row + 1), y(row));
    context.lineTo(x(row + 1), y(row + 1));
  }
  context.lineTo(x(frame.columns), y(lastRow + 1));
  context.fillStyle = hatch(context, inks.line, size.ratio);
  context.fill();
}

let raster: (Raster & { image: ImageData; canvas: OffscreenCanvas }) | undefined;

/** A raster of this many pixels, empty; all patterns of a window take turns on it. */
function emptyRaster(width: number, height: number): NonNullable<typeof raster> {
  if (raster?.width === width && raster.height === height) {
    raster.pixels.fill(0);
    return raster;
  }
  const image = new ImageData(width, height);
  raster = {
    pixels: new Uint32Array(image.data.buffer),
    width,
    height,
    image,
    canvas: new OffscreenCanvas(width, height),
  };
  return raster;
}

function drawCells(context: CanvasRenderingContext2D, scene: PatternScene): void {
  const { frame, view, size, pyramid, scale } = scene;
  const { left, top } = cornerOf(scene.rowLabels, scene.columnLabels);
  const { ratio } = size;
  const width = Math.ceil(Math.min(frame.width, frame.columns * view.cell) * ratio);
  const height = Math.ceil(Math.min(frame.height, frame.rows * view.cell) * ratio);
  if (width < 1 || height < 1) return;
  const target = emptyRaster(width, height);
  const { cells, sides } = pyramid.seenAt(view.cell * ratio);
  paintCells(
    target,
    cells,
    {
      left: -view.x * ratio,
      top: -view.y * ratio,
      cellWidth: view.cell * ratio * sides,
      cellHeight: view.cell * ratio * sides,
      clip: { left: 0, top: 0, right: width, bottom: height },
      gap: view.cell >= APART,
    },
    palette(scale.map),
    ranks(scale.map),
  );
  target.canvas.getContext('2d')!.putImageData(target.image, 0, 0);
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.drawImage(target.canvas, Math.round(left * ratio), Math.round(top * ratio));
  context.restore();
}

/** As many digits as a cell has room for. */
function shortValue(value: number): string {
  const size = Math.abs(value);
  if (size < 0.005) return '0';
  return size < 10 ? formatNumber(value, 2) : formatNumber(Number(value.toPrecision(2)));
}

function writeValues(context: CanvasRenderingContext2D, scene: PatternScene): void {
  const { frame, view, values, pyramid, scale, inks } = scene;
  const { left, top } = cornerOf(scene.rowLabels, scene.columnLabels);
  const { firstRow, lastRow, firstColumn, lastColumn } = visible(view, frame);
  const { cells } = pyramid;
  const map = colourMap(scale.map);
  context.font = `10px ${inks.sans}`;
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  for (let row = firstRow; row <= lastRow; row++) {
    for (let column = firstColumn; column <= lastColumn; column++) {
      const index = cells.indices[row * frame.columns + column];
      if (index >= COLOURS) continue;
      const text = shortValue(values[row * frame.columns + column]);
      if (context.measureText(text).width > view.cell - 4) continue;
      context.fillStyle = inkOn(map, index);
      context.fillText(
        text,
        left + (column + 0.5) * view.cell - view.x,
        top + (row + 0.5) * view.cell - view.y + 0.5,
      );
    }
  }
}

/** A triangle that points at a key's column. */
function drawMark(
  context: CanvasRenderingContext2D,
  x: number,
  top: number,
  left: number,
  width: number,
): void {
  if (x < left || x > left + width) return;
  context.beginPath();
  context.moveTo(x - 4, top - MARKS + 1);
  context.lineTo(x + 4, top - MARKS + 1);
  context.lineTo(x, top - 1);
  context.fill();
}

/** What the pointer and the keys point at. */
export interface Pointed {
  readonly hover: Cell | null;
  readonly locked: Cell | null;
}

/** Draws row, column and labels of the cells that are pointed at, over a drawing that stays as it is. */
export function drawPointed(
  context: CanvasRenderingContext2D,
  scene: PatternScene,
  { hover, locked }: Pointed,
): void {
  const { frame, inks } = scene;
  const { left, top } = cornerOf(scene.rowLabels, scene.columnLabels);
  const { rowAxis, columnAxis } = axes(scene);
  context.save();
  context.beginPath();
  context.rect(left - 2, top - 2, frame.width + 4, frame.height + 4);
  context.clip();
  const followed = hover ?? locked;
  if (followed) drawCross(context, scene, followed);
  if (locked) drawCell(context, scene, locked, inks.accent);
  if (hover) drawCell(context, scene, hover);
  context.restore();
  if (locked && hover) {
    drawStrongLabel(context, rowAxis, locked.query, inks, 'locked');
    drawStrongLabel(context, columnAxis, locked.key, inks, 'locked');
  }
  if (followed) {
    drawStrongLabel(context, rowAxis, followed.query, inks, 'followed');
    drawStrongLabel(context, columnAxis, followed.key, inks, 'followed');
  }
}

type Box = readonly [x: number, y: number, width: number, height: number];

function drawCross(
  context: CanvasRenderingContext2D,
  { frame, view, ...scene }: PatternScene,
  cell: Cell,
): void {
  const { left, top } = cornerOf(scene.rowLabels, scene.columnLabels);
  const side = Math.max(1, view.cell);
  const x = left + cell.key * view.cell - view.x;
  const y = top + cell.query * view.cell - view.y;
  const [right, bottom] = [left + frame.columns * view.cell - view.x, top + frame.rows * view.cell - view.y];
  const bands: Box[] = [
    [left - view.x, y, right - left + view.x, side],
    [x, top - view.y, side, bottom - top + view.y],
  ];
  for (const band of bands) {
    if (view.cell < 3) {
      context.fillStyle = 'rgb(255 255 255 / 0.7)';
      context.fillRect(...band);
    } else strokeOver(context, band, 'rgb(255 255 255 / 0.85)', 1);
  }
}

/** A frame around a cell, never smaller than an eye finds; a colour within the frame tells what it is. */
function drawCell(
  context: CanvasRenderingContext2D,
  { view, ...scene }: PatternScene,
  { query, key }: Cell,
  colour?: string,
): void {
  const { left, top } = cornerOf(scene.rowLabels, scene.columnLabels);
  const side = Math.max(7, view.cell);
  const x = left + (key + 0.5) * view.cell - view.x - side / 2;
  const y = top + (query + 0.5) * view.cell - view.y - side / 2;
  strokeOver(context, [x, y, side, side], '#ffffff', colour ? 3.5 : 1.5);
  if (!colour) return;
  context.lineWidth = 2;
  context.strokeStyle = colour;
  context.strokeRect(x, y, side, side);
}
