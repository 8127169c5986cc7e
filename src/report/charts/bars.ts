import type { BarSeriesOption, EChartsOption } from 'echarts';
import type { Bars } from '../figure-schema.ts';
import { extent } from '../numbers.ts';
import { colour, seriesColour } from '../theme.ts';
import {
  axisDomain,
  categoryAxis,
  categoryRoom,
  namesWidth,
  needsUpright,
  numbersWidth,
  TITLE_ROOM,
  valueAxis,
} from './axes.ts';
import { exactGrid, shapes, type Chart, type Shape } from './frame.ts';
import { layLegend, swatchItem, type LegendItem } from './legend.ts';
import { referenceLines, whiskers } from './marks.ts';

const WIDEST = 1000;
const PLOT_HEIGHT = 220;
const WIDEST_BAR = 44;

/** Bars from zero, upright; few of them with long names lie down. */
export function barsChart(figure: Bars): Chart {
  const count = figure.categories.names.length;
  const lying = count <= 24 && namesWidth(figure.categories) > 70;
  const shown = figure.series.flatMap(({ values, low, high }) => [
    ...values,
    ...(low ?? []),
    ...(high ?? []),
  ]);
  const [low, high] = extent(shown) ?? [0, 1];
  const value = axisDomain(figure.value, [
    0,
    low,
    high,
    ...figure.references.map((reference) => reference.value),
  ]);
  const each = figure.series.length === 1 ? 18 : 10 * figure.series.length + 8;
  const needed = lying ? Math.max(20, each) : Math.max(3, Math.min(each + 6, 900 / count));
  const along = Math.max(lying ? 40 : 260, count * needed);
  const upright = !lying && needsUpright(figure.categories, along / count);
  const left = (lying ? categoryRoom(figure.categories, true) : numbersWidth(value) + 14 + TITLE_ROOM) + 2;
  const right = lying ? numbersWidth(value) / 2 + 8 : 16;
  const width = lying ? 504 : Math.min(WIDEST, Math.ceil(left + along + right));
  const legend = layLegend(legendItems(figure), 4, width - 8);
  const top = legend.height + 12;
  const bottom = lying ? 26 + TITLE_ROOM : categoryRoom(figure.categories, false, upright) + 4;
  const height = top + (lying ? along : PLOT_HEIGHT) + bottom;
  const box = { left, top, width: width - left - right, height: height - top - bottom };
  const step = (lying ? box.height : box.width) / count;
  const bar = Math.max(1, Math.min(WIDEST_BAR, (0.78 * step) / figure.series.length));
  const names = categoryAxis({
    axis: figure.categories,
    step,
    side: lying ? 'left' : 'bottom',
    upright,
    inverse: lying,
  });
  const numbers = valueAxis(figure.value, value, lying ? 'bottom' : 'left', true);
  const category = { min: -0.5, max: count - 0.5, log: false };
  const references = figure.references.map((reference) => ({
    ...reference,
    axis: lying ? ('x' as const) : ('y' as const),
  }));
  const option: EChartsOption = {
    grid: exactGrid(box),
    xAxis: lying ? numbers : names,
    yAxis: lying ? names : numbers,
    series: [
      shapes(legend.shapes),
      ...figure.series.map((series, i): BarSeriesOption => ({
        type: 'bar',
        silent: true,
        z: 3,
        barWidth: bar,
        barGap: '0%',
        data: series.values.map((v) => v ?? '-'),
        // A whisker must be seen inside its bar.
        itemStyle: { color: seriesColour(i), opacity: series.low ? 0.6 : 1 },
      })),
      ...figure.series.flatMap((series, i) => {
        if (!series.low || !series.high) return [];
        const rows = series.low.flatMap((a, c): [number, number, number][] => {
          const b = series.high![c];
          return a === null || b === null ? [] : [[c, a, b]];
        });
        return [whiskers(rows, colour('ink'), lying, (i - (figure.series.length - 1) / 2) * bar)];
      }),
      referenceLines(references, box, lying ? value : category, lying ? category : value),
      zeroLine(),
    ],
  };
  return { width, height: Math.ceil(height), option };

  function zeroLine(): ReturnType<typeof shapes> {
    const t = (0 - value.min) / (value.max - value.min);
    const x = box.left + t * box.width;
    const y = box.top + (1 - t) * box.height;
    const shape = lying
      ? { x1: x, y1: box.top, x2: x, y2: box.top + box.height }
      : { x1: box.left, y1: y, x2: box.left + box.width, y2: y };
    return shapes([{ type: 'line', shape, style: { stroke: colour('muted'), lineWidth: 1 } }], 5);
  }
}

function legendItems(figure: Bars): LegendItem[] {
  const items =
    figure.series.length > 1 ? figure.series.map(({ name }, i) => swatchItem(name, seriesColour(i))) : [];
  if (figure.series.some(({ low }) => low)) {
    const style = { stroke: colour('ink'), lineWidth: 1.25 };
    const key = (x: number, y: number): Shape[] => [
      { type: 'line', shape: { x1: x + 4, y1: y - 6, x2: x + 4, y2: y + 6 }, style },
      { type: 'line', shape: { x1: x + 1, y1: y - 6, x2: x + 7, y2: y - 6 }, style },
      { type: 'line', shape: { x1: x + 1, y1: y + 6, x2: x + 7, y2: y + 6 }, style },
    ];
    items.push({ label: figure.interval ?? '', width: 8, key });
  }
  return items;
}
