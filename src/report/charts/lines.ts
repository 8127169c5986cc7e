import type { LineSeriesOption } from 'echarts';
import type { Lines } from '../figure-schema.ts';
import { seriesColour, seriesSymbol } from '../theme.ts';
import { axisDomain } from './axes.ts';
import type { Chart } from './frame.ts';
import { swatchItem, symbolItem, type LegendItem } from './legend.ts';
import { band, place, referenceLines } from './marks.ts';
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
    width: 504,
    height: 300,
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
      referenceLines(
        figure.references,
        box,
        x,
        y,
        drawnPoints(figure).map((point) => place(point, box, x, y)),
      ),
    ],
  });
}

function drawnPoints(figure: Lines): { x: number; y: number }[] {
  return figure.series.flatMap((series) =>
    series.x.flatMap((x, i) => (series.y[i] === null ? [] : [{ x, y: series.y[i] }])),
  );
}

const isGap = (point: [number, number | string] | undefined): boolean =>
  point === undefined || point[1] === '-';

function legend(figure: Lines): LegendItem[] {
  const items = figure.series.map(({ name }, i) => symbolItem(name, i, 20, true));
  const banded = figure.series.findIndex(({ low }) => low);
  if (banded >= 0) items.push(swatchItem(`band: ${figure.interval}`, seriesColour(banded), 0.3));
  return items;
}
