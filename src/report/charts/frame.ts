import { init, use } from 'echarts/core';
import { BarChart, CustomChart, GraphChart, LineChart, ScatterChart } from 'echarts/charts';
import { GridComponent } from 'echarts/components';
import { SVGRenderer } from 'echarts/renderers';
import type { CustomSeriesOption, EChartsOption, GridComponentOption, SeriesOption } from 'echarts';
import { FONT } from '../theme.ts';

use([BarChart, CustomChart, GraphChart, LineChart, ScatterChart, GridComponent, SVGRenderer]);

/** A chart as ECharts takes it, with the size of its drawing in pixels. */
export interface Chart {
  readonly width: number;
  readonly height: number;
  readonly option: EChartsOption;
}

/** A rectangle in pixels. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** What a drawing is made of, as ECharts' custom series takes it. */
export type Shape = NonNullable<ReturnType<NonNullable<CustomSeriesOption['renderItem']>>>;

/** A series that draws the given shapes at pixel positions, over no axes. */
export function shapes(children: readonly Shape[], z = 2): SeriesOption {
  const group = { type: 'group', children } as Shape;
  return {
    type: 'custom',
    coordinateSystem: 'none',
    silent: true,
    animation: false,
    z,
    data: [0],
    renderItem: () => group,
  };
}

/** A grid of exactly this size: ECharts would otherwise shrink it around long labels, and shapes drawn by pixels would miss it. */
export function exactGrid(box: Box): GridComponentOption {
  return { ...box, show: false, containLabel: false, outerBoundsMode: 'none' };
}

/** One line of text at a place. */
export function text(
  words: string,
  x: number,
  y: number,
  fill: string,
  size = 12,
  align: 'left' | 'center' | 'right' = 'left',
): Shape {
  return {
    type: 'text',
    style: { text: words, x, y, fill, font: `${size}px ${FONT}`, align, verticalAlign: 'middle' },
  };
}

export function rectangle(
  box: Box,
  style: { fill?: string; stroke?: string; lineWidth?: number; opacity?: number },
): Shape {
  const { left: x, top: y, width, height } = box;
  return { type: 'rect', shape: { x, y, width, height }, style: { fill: 'none', ...style } };
}

export function image(box: Box, url: string): Shape {
  const { left: x, top: y, width, height } = box;
  return { type: 'image', style: { image: url, x, y, width, height } };
}

/**
 * Draws a chart with ECharts' server-side renderer.
 * @param prefix put before the ids inside, so that several drawings can stand in one page
 * @returns the `<svg>` element, the same text for the same chart
 */
export function drawSvg(chart: Chart, prefix: string): string {
  const instance = init(null, null, { renderer: 'svg', ssr: true, width: chart.width, height: chart.height });
  try {
    instance.setOption({ animation: false, textStyle: { fontFamily: FONT }, ...chart.option });
    return tidy(instance.renderToSVGString(), prefix);
  } finally {
    instance.dispose();
  }
}

/**
 * Takes out what only a live chart needs (hover styles, hydration data) and the numbers that ECharts counts up over the life of the
 * program. Attributes hold no quotes of their own (ECharts writes &quot;), so these patterns cannot meet a text.
 */
function tidy(svg: string, prefix: string): string {
  return (
    svg
      .replace(/<style\b[^>]*><!\[CDATA\[.*?\]\]>\s*<\/style>\s*/gs, '')
      .replace(
        / (?:class="zr\d+-cls-\d+"|ecmeta_[a-z_]+="[^"]*"|pointer-events="visible"|xml:space="preserve")/g,
        '',
      )
      .replace(/ (?:xmlns:xlink="[^"]*"|version="1.1"|baseProfile="full")/g, '')
      .replace(/"(url\(#)?zr\d+-([a-z]+\d+)(\)?)"/g, `"$1${prefix}-$2$3"`)
      // The SVG default keeps a picture's proportions, the canvas it was laid out for stretches it; and cells must keep sharp edges.
      .replace(/<image /g, '<image preserveAspectRatio="none" style="image-rendering:pixelated" ')
      .replace(/<\/(path|rect|image)>\n?/g, '</$1>')
      .replace(/><\/(?:path|rect|image)>/g, '/>')
      .replace(/<(defs|g) >/g, '<$1>')
  );
}
