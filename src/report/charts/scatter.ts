import type { ScatterSeriesOption } from 'echarts';
import type { Scatter } from '../figure-schema.ts';
import { shorten, textWidth, visible } from '../text.ts';
import { colour, seriesColour, seriesSymbol } from '../theme.ts';
import { axisDomain, type Domain } from './axes.ts';
import { shapes, text, type Box, type Chart, type Shape } from './frame.ts';
import { symbolItem, type LegendItem } from './legend.ts';
import { place, referenceLines } from './marks.ts';
import { plotChart } from './plot.ts';

const LABEL = 10.5;
const DASHED = { stroke: colour('muted'), lineWidth: 1, lineDash: [5, 3] };

/** Points by series; names are written where they do not lie on one another. */
export function scatterChart(figure: Scatter): Chart {
  const points = figure.series.flatMap((series) => series.points);
  const on = (which: 'x' | 'y'): number[] =>
    figure.references.filter(({ axis }) => axis === which).map(({ value }) => value);
  const x = axisDomain(figure.x, [...points.map((point) => point.x), ...on('x')], 6);
  const y = axisDomain(figure.y, [...points.map((point) => point.y), ...on('y')]);
  return plotChart({
    width: 504,
    height: 380,
    x: { axis: figure.x, domain: x },
    y: { axis: figure.y, domain: y },
    legend: legend(figure),
    series: (box) => [
      ...(figure.diagonal ? [shapes(diagonal(box, x, y), 1)] : []),
      ...figure.series.map((series, i): ScatterSeriesOption => ({
        type: 'scatter',
        silent: true,
        z: 3,
        clip: true,
        symbol: seriesSymbol(i),
        symbolSize: points.length > 400 ? 4 : 7,
        itemStyle: { color: seriesColour(i), opacity: points.length > 100 ? 0.6 : 0.9 },
        data: series.points.map((point) => [point.x, point.y]),
      })),
      shapes(labels(figure, box, x, y), 4),
      referenceLines(
        figure.references,
        box,
        x,
        y,
        points.map((point) => place(point, box, x, y)),
      ),
    ],
  });
}

function legend(figure: Scatter): LegendItem[] {
  const items =
    figure.series.length > 1 ? figure.series.map(({ name }, i) => symbolItem(name, i, 12, false)) : [];
  if (figure.diagonal === undefined) return items;
  const key = (x: number, y: number): Shape[] => [
    { type: 'line', shape: { x1: x, y1: y, x2: x + 18, y2: y }, style: DASHED },
  ];
  return [...items, { label: figure.diagonal, width: 18, key }];
}

/** The line y = x as far as both axes reach. */
function diagonal(box: Box, x: Domain, y: Domain): Shape[] {
  const from = Math.max(x.min, y.min);
  const to = Math.min(x.max, y.max);
  if (from >= to) return [];
  const [x1, y1] = place({ x: from, y: from }, box, x, y);
  const [x2, y2] = place({ x: to, y: to }, box, x, y);
  return [{ type: 'line', shape: { x1, y1, x2, y2 }, style: DASHED }];
}

/** Writes each point's name to its right or left, above or below, wherever nothing stands yet; otherwise not at all. */
function labels(figure: Scatter, box: Box, x: Domain, y: Domain): Shape[] {
  const all = figure.series
    .flatMap((series) => series.points)
    .map((point) => ({ point, at: place(point, box, x, y) }));
  const taken: Box[] = all.map(({ at }) => ({ left: at[0] - 3, top: at[1] - 3, width: 6, height: 6 }));
  const out: Shape[] = [];
  for (const { point, at } of all) {
    if (!point.label) continue;
    const words = shorten(visible(point.label), 18);
    const width = textWidth(words, LABEL) + 2;
    const spots: [number, number][] = [
      [at[0] + 6, at[1] - 6],
      [at[0] - 6 - width, at[1] - 6],
      [at[0] - width / 2, at[1] - 17],
      [at[0] - width / 2, at[1] + 5],
    ];
    const free = spots
      .map(([left, top]): Box => ({ left, top, width, height: 12 }))
      .find((spot) => inside(spot, box) && !taken.some((other) => overlap(spot, other)));
    if (!free) continue;
    taken.push(free);
    out.push(text(words, free.left + 1, free.top + 6, colour('ink'), LABEL));
  }
  return out;
}

const inside = (a: Box, b: Box): boolean =>
  a.left >= b.left &&
  a.top >= b.top &&
  a.left + a.width <= b.left + b.width &&
  a.top + a.height <= b.top + b.height;

const overlap = (a: Box, b: Box): boolean =>
  a.left < b.left + b.width &&
  b.left < a.left + a.width &&
  a.top < b.top + b.height &&
  b.top < a.top + a.height;
