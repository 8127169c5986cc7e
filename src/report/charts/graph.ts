import type { GraphSeriesOption } from 'echarts';
import type { Graph } from '../figure-schema.ts';
import { extent, formatNumber } from '../numbers.ts';
import { shorten, textWidth, visible } from '../text.ts';
import { colour } from '../theme.ts';
import { quantityName } from './axes.ts';
import type { Chart, Shape } from './frame.ts';
import { gridChart } from './grid-chart.ts';
import type { LegendItem } from './legend.ts';

const WIDEST = 900;
const SMALLEST_NODE = 7;
const NAME_SIZE = 10.5;

/** Heads by layer, layer 0 at the bottom because information flows upwards; no layout algorithm moves them. */
export function graphChart(figure: Graph): Chart {
  const stepX = Math.max(26, Math.min(84, Math.floor(WIDEST / figure.columns.names.length)));
  const stepY = Math.max(44, Math.min(96, Math.floor(620 / figure.rows.names.length)));
  const largest = Math.min(stepX, stepY) * 0.62;
  const base = gridChart({
    rows: figure.rows,
    columns: figure.columns,
    stepX,
    stepY,
    upwards: true,
    legend: legend(figure),
    draw: () => [],
  });
  return {
    ...base,
    option: {
      ...base.option,
      series: [...[base.option.series ?? []].flat(), series(figure, largest)],
    },
  };
}

function strongest(values: readonly (number | null)[]): number {
  const range = extent(values);
  return range ? Math.max(Math.abs(range[0]), Math.abs(range[1])) || 1 : 1;
}

function series(figure: Graph, largest: number): GraphSeriesOption {
  const topNode = strongest(figure.nodes.map((node) => node.value));
  const topEdge = strongest(figure.edges.map((edge) => edge.value));
  return {
    type: 'graph',
    coordinateSystem: 'cartesian2d',
    silent: true,
    z: 3,
    data: figure.nodes.map((node, i) => {
      const tone = (node.value ?? 0) < 0 ? colour('series2') : colour('series1');
      const size = SMALLEST_NODE + (largest - SMALLEST_NODE) * Math.sqrt(Math.abs(node.value ?? 0) / topNode);
      // The name stands inside where it fits, beside the node otherwise.
      const name = shorten(visible(node.name), 10);
      const within = size > textWidth(name, NAME_SIZE) + 4;
      return {
        id: String(i),
        value: [node.column, node.row],
        symbolSize: size,
        itemStyle: {
          color: node.member ? tone : colour('surface'),
          borderColor: node.value === null ? colour('line') : tone,
          borderWidth: 1.5,
        },
        label: {
          show: node.member,
          position: within ? ('inside' as const) : ('right' as const),
          distance: 3,
          formatter: () => name,
          fontSize: NAME_SIZE,
          color: within ? colour('surface') : colour('ink'),
          ...(!within && { textBorderColor: colour('surface'), textBorderWidth: 3 }),
        },
      };
    }),
    links: figure.edges.map((edge) => ({
      source: String(edge.from),
      target: String(edge.to),
      symbol: ['none', 'arrow'],
      symbolSize: 6,
      lineStyle: {
        color: edge.value < 0 ? colour('series2') : colour('muted'),
        width: 0.75 + (2.75 * Math.abs(edge.value)) / topEdge,
        opacity: 0.25 + (0.6 * Math.abs(edge.value)) / topEdge,
        curveness: 0.12,
      },
    })),
  };
}

function legend(figure: Graph): LegendItem[] {
  const disc =
    (fill: string, stroke: string) =>
    (x: number, y: number): Shape[] => [
      { type: 'circle', shape: { cx: x + 6, cy: y, r: 5 }, style: { fill, stroke, lineWidth: 1.5 } },
    ];
  const node = quantityName(figure.node);
  const top = formatNumber(strongest(figure.nodes.map(({ value }) => value)));
  const items: LegendItem[] = [
    { label: figure.memberLabel, width: 12, key: disc(colour('series1'), colour('series1')) },
    { label: `not ${figure.memberLabel}`, width: 12, key: disc(colour('surface'), colour('series1')) },
    { label: `area: |${node}|, largest ${top}`, width: 0, key: () => [] },
  ];
  if (figure.nodes.some(({ value }) => value !== null && value < 0)) {
    items.push({ label: `negative ${node}`, width: 12, key: disc(colour('series2'), colour('series2')) });
  }
  if (figure.edges.length > 0) {
    const style = { stroke: colour('muted'), lineWidth: 2 };
    const key = (x: number, y: number): Shape[] => [
      { type: 'line', shape: { x1: x, y1: y, x2: x + 18, y2: y }, style },
    ];
    items.push({ label: `width: ${quantityName(figure.edge)}`, width: 18, key });
  }
  return items;
}
