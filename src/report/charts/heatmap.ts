import { COLOURS, colourHex, colourIndex, colourMap, inkOn } from '../colours.ts';
import type { Heatmap } from '../figure-schema.ts';
import { formatNumber } from '../numbers.ts';
import { pngDataUrl } from '../png.ts';
import { textWidth } from '../text.ts';
import { colour } from '../theme.ts';
import { image, rectangle, text, type Box, type Chart, type Shape } from './frame.ts';
import { gridChart } from './grid-chart.ts';
import { frame, frameItem, missingItem, scaleItem } from './legend.ts';

const WIDEST = 900;
const HIGHEST = 640;
const LARGEST_CELL = 26;
const VALUE_SIZE = 11;

/** Above this many cells the picture is one image: 70 bytes of SVG a cell would make a report of many patterns slow to open. */
export const IMAGE_ABOVE = 2_500;

/** A heatmap as cells, with their values where they fit, or as one image. */
export function heatmapChart(figure: Heatmap): Chart {
  const { stepX, stepY } = cellSize(figure);
  const cells = figure.values.length;
  return gridChart({
    rows: figure.rows,
    columns: figure.columns,
    stepX,
    stepY,
    legend: [
      scaleItem(figure.scale),
      ...(figure.marks ? [frameItem(figure.marks.label)] : []),
      ...(figure.values.includes(null) ? [missingItem()] : []),
    ],
    draw: (box) => [
      rectangle(box, { fill: colour('faint') }),
      ...(cells > IMAGE_ABOVE ? [asImage(figure, box)] : asCells(figure, box, stepX, stepY)),
      ...marks(figure, box, stepX, stepY),
    ],
  });
}

function cellSize(figure: Heatmap): { stepX: number; stepY: number } {
  const fit = Math.min(WIDEST / figure.columns.names.length, HIGHEST / figure.rows.names.length);
  const side = fit >= 4 ? Math.min(LARGEST_CELL, Math.floor(fit)) : fit;
  if (!figure.showValues) return { stepX: side, stepY: side };
  const widest = figure.values.reduce<number>(
    (most, value) => (value === null ? most : Math.max(most, textWidth(cellText(value), VALUE_SIZE))),
    0,
  );
  return { stepX: Math.max(LARGEST_CELL, Math.ceil(widest) + 8), stepY: LARGEST_CELL };
}

// Three digits are as many as a cell can hold; the data behind the figure have all.
const cellText = (value: number): string => formatNumber(Number(value.toPrecision(3)));

function asCells(figure: Heatmap, box: Box, stepX: number, stepY: number): Shape[] {
  const { scale, columns } = figure;
  const map = colourMap(scale.map);
  const gap = stepX > 12 ? 1 : 0;
  const out: Shape[] = [];
  figure.values.forEach((value, i) => {
    if (value === null) return;
    const left = box.left + (i % columns.names.length) * stepX;
    const top = box.top + Math.floor(i / columns.names.length) * stepY;
    const index = colourIndex(value, scale.domain);
    out.push(
      rectangle({ left, top, width: stepX - gap, height: stepY - gap }, { fill: colourHex(map, index) }),
    );
    if (!figure.showValues) return;
    out.push(
      text(cellText(value), left + stepX / 2, top + stepY / 2, inkOn(map, index), VALUE_SIZE, 'center'),
    );
  });
  return out;
}

/** Each cell as a block of equal pixels, so that a viewer that smooths pictures does so at the edges of cells only. */
function asImage(figure: Heatmap, box: Box): Shape {
  const rows = figure.rows.names.length;
  const columns = figure.columns.names.length;
  const block = Math.max(1, Math.min(8, Math.floor(1024 / Math.max(rows, columns))));
  const width = columns * block;
  const pixels = new Uint8Array(width * rows * block);
  for (let r = 0; r < rows; r++) {
    const line = pixels.subarray(r * block * width, (r * block + 1) * width);
    for (let c = 0; c < columns; c++) {
      const value = figure.values[r * columns + c];
      const index = value === null ? COLOURS : colourIndex(value, figure.scale.domain);
      line.fill(index, c * block, (c + 1) * block);
    }
    for (let copy = 1; copy < block; copy++) pixels.set(line, (r * block + copy) * width);
  }
  const palette = colourMap(figure.scale.map);
  return image(
    box,
    pngDataUrl({ width, height: rows * block, pixels, palette: withSpare(palette), transparent: COLOURS }),
  );
}

/** A palette with one more colour, which stands for no value and is never seen. */
export function withSpare(palette: Uint8Array): Uint8Array {
  const out = new Uint8Array(palette.length + 3);
  out.set(palette);
  return out;
}

function marks(figure: Heatmap, box: Box, stepX: number, stepY: number): Shape[] {
  const gap = stepX > 12 ? 1 : 0;
  return (figure.marks?.cells ?? []).flatMap(({ row, column }) => {
    const left = box.left + column * stepX;
    const top = box.top + row * stepY;
    const cell = { left, top, width: stepX - gap, height: stepY - gap };
    return stepX >= 8 ? frame(cell) : [rectangle(cell, { stroke: colour('accent'), lineWidth: 1 })];
  });
}
