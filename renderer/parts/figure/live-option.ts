import type { EChartsOption, SeriesOption } from 'echarts';
import type { Figure } from '../../../src/report/figure-schema.ts';
import { formatNumber } from '../../../src/report/numbers.ts';
import { visible } from '../../../src/report/text.ts';
import { ROLES } from '../../../src/report/theme.ts';

/** What a person points at in a live chart. */
export type Picked =
  | { readonly kind: 'node'; readonly index: number }
  | { readonly kind: 'edge'; readonly index: number }
  | { readonly kind: 'point'; readonly series: number; readonly index: number };

const LIVE: ReadonlySet<string> = new Set(['line', 'bar', 'scatter', 'graph']);

/** The report's chart as a screen shows it: in the colours of the theme, and answering the pointer. */
export function liveOption(option: EChartsOption, figure: Figure, theme: 'light' | 'dark'): EChartsOption {
  const colours = new Map<string, string>(Object.values(ROLES).map((role) => [role.light, role[theme]]));
  const coloured = recolour(option, colours) as EChartsOption;
  const series = [coloured.series ?? []].flat().map((one) => (LIVE.has(one.type ?? '') ? lively(one) : one));
  return {
    ...coloured,
    animation: false,
    series,
    tooltip: {
      trigger: 'item',
      confine: true,
      transitionDuration: 0,
      backgroundColor: ROLES.surface[theme],
      borderColor: ROLES.line[theme],
      textStyle: { color: ROLES.ink[theme], fontSize: 12 },
      renderMode: 'richText',
      formatter: (given) => {
        const picked = pickedOf(series, given as never);
        return picked ? describe(figure, picked) : '';
      },
    },
  };
}

const lively = (series: SeriesOption): SeriesOption => ({
  ...series,
  silent: false,
  ...(series.type === 'line' ? { triggerLineEvent: true } : {}),
});

/** Replaces every colour of the light theme in plain data; functions that make shapes are wrapped. */
function recolour(value: unknown, colours: ReadonlyMap<string, string>): unknown {
  if (typeof value === 'string') return colours.get(value) ?? value;
  if (typeof value === 'function')
    return (...args: unknown[]): unknown =>
      recolour((value as (...all: unknown[]) => unknown)(...args), colours);
  if (Array.isArray(value))
    return value.length > 0 && typeof value[0] === 'number'
      ? value
      : value.map((each) => recolour(each, colours));
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype)
    return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, recolour(each, colours)]));
}

interface EventParams {
  readonly seriesIndex?: number;
  readonly dataIndex?: number;
  readonly dataType?: string;
}

/** Which of the figure's own data an event of the chart is about. */
export function pickedOf(series: readonly SeriesOption[], event: EventParams): Picked | undefined {
  const { seriesIndex = -1, dataIndex, dataType } = event;
  const type = series[seriesIndex]?.type;
  if (dataIndex === undefined || !LIVE.has(type ?? '')) return undefined;
  if (type === 'graph') return { kind: dataType === 'edge' ? 'edge' : 'node', index: dataIndex };
  const before = series.slice(0, seriesIndex).filter((one) => one.type === type).length;
  return { kind: 'point', series: before, index: dataIndex };
}

function describe(figure: Figure, picked: Picked): string {
  if (figure.kind === 'graph') {
    if (picked.kind === 'node') {
      const node = figure.nodes[picked.index];
      return node ? `${visible(node.name)}\n${figure.node.label} ${number(node.value)}` : '';
    }
    const edge = picked.kind === 'edge' ? figure.edges[picked.index] : undefined;
    return edge
      ? `${visible(figure.nodes[edge.from].name)} → ${visible(figure.nodes[edge.to].name)}\n${figure.edge.label} ${number(edge.value)}`
      : '';
  }
  if (picked.kind !== 'point') return '';
  if (figure.kind === 'lines') {
    const series = figure.series[picked.series];
    if (!series) return '';
    const label = series.labels?.[picked.index];
    return `${series.name}${label ? `\n${visible(label)}` : ''}\n${figure.x.label} ${number(series.x[picked.index])}, ${figure.y.label} ${number(series.y[picked.index])}`;
  }
  if (figure.kind === 'bars') {
    const series = figure.series[picked.series];
    if (!series) return '';
    const [low, high] = [series.low?.[picked.index], series.high?.[picked.index]];
    const interval = low != null && high != null ? ` (${number(low)} to ${number(high)})` : '';
    return `${visible(figure.categories.names[picked.index] ?? '')}\n${series.name} ${number(series.values[picked.index])}${interval}`;
  }
  if (figure.kind === 'scatter') {
    const series = figure.series[picked.series];
    const point = series?.points[picked.index];
    return point
      ? `${visible(point.label ?? series.name)}\n${figure.x.label} ${number(point.x)}, ${figure.y.label} ${number(point.y)}`
      : '';
  }
  return '';
}

const number = (value: number | null | undefined): string =>
  value === null || value === undefined ? 'none' : formatNumber(Number(value.toPrecision(4)));
