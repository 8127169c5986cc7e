import type { EChartsOption, SeriesOption } from 'echarts';
import type { Quantity, ValueAxis } from '../figure-schema.ts';
import { textWidth } from '../text.ts';
import { numbersWidth, quantityName, TITLE_ROOM, valueAxis, type Domain } from './axes.ts';
import { exactGrid, shapes, type Box, type Chart } from './frame.ts';
import { layLegend, type LegendItem } from './legend.ts';

/** Two axes of numbers with series between them. */
export interface Plot {
  readonly width: number;
  readonly height: number;
  readonly x: { readonly axis: ValueAxis; readonly domain: Domain };
  readonly y: { readonly axis: ValueAxis; readonly domain: Domain };
  readonly legend: readonly LegendItem[];
  readonly series: (box: Box) => readonly SeriesOption[];
}

/** Lays out axes, legend and plot. */
export function plotChart({ width, height, x, y, legend: items, series }: Plot): Chart {
  const legend = layLegend(items, 4, width - 8);
  const left = numbersWidth(y.domain) + 14 + TITLE_ROOM;
  const right = Math.max(16, numbersWidth(x.domain) / 2 + 6);
  const bottom = 26 + TITLE_ROOM;
  const top = legend.height + 12;
  const total = Math.max(height, textHeight(y.axis) + top + bottom);
  const box = { left, top, width: width - left - right, height: total - top - bottom };
  const option: EChartsOption = {
    grid: exactGrid(box),
    xAxis: valueAxis(x.axis, x.domain, 'bottom', false),
    yAxis: valueAxis(y.axis, y.domain, 'left', true),
    series: [shapes(legend.shapes), ...series(box)],
  };
  return { width, height: total, option };
}

/** An upright title needs this much height. */
function textHeight(axis: Quantity): number {
  return textWidth(quantityName(axis), 12) * 0.85;
}
