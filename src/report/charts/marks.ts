import type { CustomSeriesOption, SeriesOption } from 'echarts';
import { prose, shorten, textWidth } from '../text.ts';
import { colour } from '../theme.ts';
import { shapes, text, type Box, type Shape } from './frame.ts';

/** A reference line with words, as the figures hold it. */
export interface Reference {
  readonly axis: 'x' | 'y';
  readonly value: number;
  readonly label: string;
}

/** Where a point of a plot stands, in pixels. */
export function place(
  point: { readonly x: number; readonly y: number },
  box: Box,
  x: Range,
  y: Range,
): [number, number] {
  return [
    box.left + share(point.x, x.min, x.max, x.log) * box.width,
    box.top + (1 - share(point.y, y.min, y.max, y.log)) * box.height,
  ];
}

/** Where a value lies between two others, from 0 to 1. */
function share(value: number, min: number, max: number, log: boolean): number {
  return log ? Math.log(value / min) / Math.log(max / min) : (value - min) / (max - min);
}

const SIZE = 11;

interface Range {
  readonly min: number;
  readonly max: number;
  readonly log: boolean;
}

/**
 * Dashed lines across the plot with their words at an end; lines outside the axes are left out.
 * @param points where data is drawn, in pixels; words stand clear of them where they can
 */
export function referenceLines(
  references: readonly Reference[],
  box: Box,
  x: Range,
  y: Range,
  points: readonly (readonly [number, number])[] = [],
): SeriesOption {
  const out: Shape[] = [];
  const style = { stroke: colour('muted'), lineWidth: 1, lineDash: [5, 3] };
  for (const { axis, value, label } of references) {
    const range = axis === 'x' ? x : y;
    if (value < range.min || value > range.max) continue;
    const t = share(value, range.min, range.max, range.log);
    const words = shorten(prose(label), 60);
    const width = textWidth(words, SIZE);
    const right = box.left + box.width;
    const bottom = box.top + box.height;
    const at = axis === 'x' ? box.left + t * box.width : box.top + (1 - t) * box.height;
    const spots: [number, number][] =
      axis === 'y'
        ? [[right - 4 - width, at - 8], [box.left + 6, at - 8], [right - 4 - width, at + 8], [box.left + 6, at + 8]] // prettier-ignore
        : [[at + 4, box.top + 8], [at - 4 - width, box.top + 8], [at + 4, bottom - 8], [at - 4 - width, bottom - 8]]; // prettier-ignore
    const isInside = ([left, middle]: [number, number]): boolean =>
      left >= box.left && left + width <= right && middle - 7 >= box.top && middle + 7 <= bottom;
    const isClear = ([left, middle]: [number, number]): boolean =>
      !points.some(([px, py]) => px > left - 5 && px < left + width + 5 && Math.abs(py - middle) < 12);
    const inside = spots.filter(isInside);
    const [left, middle] = inside.find(isClear) ?? inside[0] ?? spots[0];
    const shape =
      axis === 'y'
        ? { x1: box.left, y1: at, x2: right, y2: at }
        : { x1: at, y1: box.top, x2: at, y2: bottom };
    out.push({ type: 'line', shape, style }, text(words, left, middle, colour('muted'), SIZE));
  }
  return shapes(out, 1);
}

type RenderItem = NonNullable<CustomSeriesOption['renderItem']>;

/** Whiskers from low to high. `rows` are [position, low, high]; `across` turns them for horizontal bars; `offset` moves them in pixels. */
export function whiskers(
  rows: readonly (readonly [number, number, number])[],
  stroke: string,
  across: boolean,
  offset: number,
): CustomSeriesOption {
  const renderItem: RenderItem = (_, api) => {
    const at = (value: number): number[] => {
      const position = Number(api.value(0));
      return api.coord(across ? [value, position] : [position, value]);
    };
    const [low, high] = [at(Number(api.value(1))), at(Number(api.value(2)))];
    const style = { stroke, lineWidth: 1.25 };
    const cap = 3;
    const line = (x1: number, y1: number, x2: number, y2: number): Shape => ({
      type: 'line',
      shape: across
        ? { x1, y1: y1 + offset, x2, y2: y2 + offset }
        : { x1: x1 + offset, y1, x2: x2 + offset, y2 },
      style,
    });
    const dx = across ? 0 : cap;
    const dy = across ? cap : 0;
    return {
      type: 'group',
      children: [
        line(low[0], low[1], high[0], high[1]),
        line(low[0] - dx, low[1] - dy, low[0] + dx, low[1] + dy),
        line(high[0] - dx, high[1] - dy, high[0] + dx, high[1] + dy),
      ],
    };
  };
  return { type: 'custom', silent: true, z: 4, clip: true, renderItem, data: rows.map((row) => [...row]) };
}

/** A translucent band between two curves; a gap in either splits it. */
export function band(
  x: readonly number[],
  low: readonly (number | null)[],
  high: readonly (number | null)[],
  fill: string,
): CustomSeriesOption[] {
  const runs: number[][] = [[]];
  x.forEach((_, i) => {
    if (low[i] === null || high[i] === null) runs.push([]);
    else runs[runs.length - 1].push(i);
  });
  return runs
    .filter((run) => run.length > 1)
    .map((run) => {
      const renderItem: RenderItem = (_, api) => {
        const there = run.map((i) => api.coord([x[i], high[i]!]));
        const back = run.toReversed().map((i) => api.coord([x[i], low[i]!]));
        return { type: 'polygon', shape: { points: [...there, ...back] }, style: { fill, opacity: 0.16 } };
      };
      return {
        type: 'custom',
        silent: true,
        z: 2,
        clip: true,
        renderItem,
        data: [[x[run[0]], low[run[0]]!]],
      };
    });
}
