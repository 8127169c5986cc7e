import type { LineSeriesOption } from 'echarts';
import type { Lines } from '../figure-schema.ts';
import { seriesColour, seriesSymbol } from '../theme.ts';
import { axisDomain } from './axes.ts';
import type { Chart, Shape } from './frame.ts';
import { swatchItem, type LegendItem } from './legend.ts';
import { band, referenceLines } from './marks.ts';
import { plotChart } from './plot.ts';

const FEW = 60;

/** Curves with bands and reference lines. */
export function linesChart(figure: Lines): Chart {
  const onX = figure.references.filter(({ axis }) => axis === 'x').map(({ value }) => value);
  const onY = figure.references.filter(({ axis }) => axis === 'y').map(({ value }) => value);
  const x = axisDomain(figure.x, [...figure.series.flatMap((series) => series.x), ...onX], 8);
  const y = axisDomain(figure.y, [
    ...figure.series.flatMap((series) => [...series.y, ...(series.low ?? []), ...(series.high ?? [])]),
    ...onY,
  ]);
  return plotChart({
    width: 620,
    height: 320,
    x: { axis: figure.x, domain: x },
    y: { axis: figure.y, domain: y },
    legend: legend(figure),
    series: (box) => [
      ...figure.series.flatMap(({ x: at, low, high }, i) =>
        low && high ? band(at, low, high, seriesColour(i)) : [],
      ),
      ...figure.series.map((series, i): LineSeriesOption => {
        const points = series.x.map((value, j) => [value, series.y[j] ?? '-'] as [number, number | string]);
        const few = points.length <= FEW;
        return {
          type: 'line',
          silent: true,
          z: 3,
          clip: true,
          data: points,
          // A value between two gaps has no line to be seen by.
          showSymbol:
            few ||
            points.some(([, value], j) => value !== '-' && isGap(points[j - 1]) && isGap(points[j + 1])),
          symbol: seriesSymbol(i),
          symbolSize: 5,
          itemStyle: { color: seriesColour(i) },
          lineStyle: { color: seriesColour(i), width: 1.75 },
        };
      }),
      referenceLines(figure.references, box, x, y),
    ],
  });
}

const isGap = (point: [number, number | string] | undefined): boolean =>
  point === undefined || point[1] === '-';

function legend(figure: Lines): LegendItem[] {
  const items = figure.series.map(({ name }, i): LegendItem => lineItem(name, i));
  const banded = figure.series.findIndex(({ low }) => low);
  if (banded >= 0) items.push(swatchItem(`band: ${figure.interval}`, seriesColour(banded)));
  return items;
}

function lineItem(label: string, i: number): LegendItem {
  const style = { stroke: seriesColour(i), lineWidth: 2 };
  const key = (x: number, y: number): Shape[] => [
    { type: 'line', shape: { x1: x, y1: y, x2: x + 18, y2: y }, style },
  ];
  return { label, width: 18, key };
}
