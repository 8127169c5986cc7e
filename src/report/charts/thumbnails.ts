import { COLOURS, colourIndex, colourMap } from '../colours.ts';
import type { Thumbnails } from '../figure-schema.ts';
import { pngDataUrl } from '../png.ts';
import { image, type Chart } from './frame.ts';
import { gridChart } from './grid-chart.ts';
import { withSpare } from './heatmap.ts';
import { scaleItem } from './legend.ts';

const WIDEST = 940;
const SMALLEST_STEP = 24;
const LARGEST_STEP = 104;

/** All panels in one image: 144 heads cost a few tens of kilobytes, where cells would cost megabytes. */
export function thumbnailsChart(figure: Thumbnails): Chart {
  const columns = figure.columns.names.length;
  const step = Math.max(SMALLEST_STEP, Math.min(LARGEST_STEP, Math.floor(WIDEST / columns)));
  const stepY = Math.max(16, Math.round((step * figure.panel.rows) / figure.panel.columns));
  return gridChart({
    rows: figure.rows,
    columns: figure.columns,
    stepX: step,
    stepY: Math.min(stepY, 2 * step),
    legend: [scaleItem(figure.scale)],
    draw: (box) => [image(box, picture(figure))],
  });
}

function picture(figure: Thumbnails): string {
  const { panel } = figure;
  const rows = figure.rows.names.length;
  const columns = figure.columns.names.length;
  // A pixel block a cell keeps edges sharp on screens with small pixels; the gap between panels is about a twelfth of a panel.
  const block = Math.max(1, Math.min(6, Math.floor(96 / Math.max(panel.rows, panel.columns))));
  const gapX = Math.max(2, Math.round((panel.columns * block) / 12));
  const gapY = Math.max(2, Math.round((panel.rows * block) / 12));
  const stepX = panel.columns * block + gapX;
  const stepY = panel.rows * block + gapY;
  const width = columns * stepX;
  const pixels = new Uint8Array(width * rows * stepY).fill(COLOURS);
  figure.values.forEach((value, i) => {
    if (value === null) return;
    const column = i % panel.columns;
    const row = Math.floor(i / panel.columns) % panel.rows;
    const place = Math.floor(i / (panel.columns * panel.rows));
    const x = (place % columns) * stepX + Math.floor(gapX / 2) + column * block;
    const y = Math.floor(place / columns) * stepY + Math.floor(gapY / 2) + row * block;
    const index = colourIndex(value, figure.scale.domain);
    for (let dy = 0; dy < block; dy++) pixels.fill(index, (y + dy) * width + x, (y + dy) * width + x + block);
  });
  const palette = withSpare(colourMap(figure.scale.map));
  return pngDataUrl({ width, height: rows * stepY, pixels, palette, transparent: COLOURS });
}
