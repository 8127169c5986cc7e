import type { XAXisComponentOption, YAXisComponentOption } from 'echarts';
import type { CategoryAxis, Quantity, ValueAxis } from '../figure-schema.ts';
import { extent, formatNumber } from '../numbers.ts';
import { prose, shorten, textWidth, tokenText, visible } from '../text.ts';
import { colour } from '../theme.ts';

export const FONT_SIZE = 11.5;
const TITLE_SIZE = 12;
const LONGEST_NAME = 22;
/** Room for an axis title, in pixels. */
export const TITLE_ROOM = 20;

/** "attention (logits)". */
export function quantityName({ label, unit }: Quantity): string {
  return unit ? `${prose(label)} (${prose(unit)})` : prose(label);
}

/** A name as it stands at an axis. */
export function axisName(name: string, tokens: boolean | undefined): string {
  return shorten(tokens ? tokenText(name) : visible(name), LONGEST_NAME);
}

/** How wide the widest name of an axis is, in pixels. */
export function namesWidth(axis: CategoryAxis): number {
  let widest = 0;
  for (const name of axis.names) widest = Math.max(widest, textWidth(axisName(name, axis.tokens), FONT_SIZE));
  return Math.ceil(widest);
}

interface Category {
  readonly axis: CategoryAxis;
  /** Pixels from one name to the next. */
  readonly step: number;
  readonly side: 'left' | 'bottom';
  /** Names written upwards because they are wider than their step. */
  readonly upright?: boolean;
  readonly inverse?: boolean;
}

/** Whether names must be written upwards to fit side by side. */
export function needsUpright(axis: CategoryAxis, step: number): boolean {
  return namesWidth(axis) + 6 > step;
}

/** An axis of names; where they stand too close, only every n-th is written. */
export function categoryAxis(options: Category): XAXisComponentOption & YAXisComponentOption {
  const { axis, step, side, upright, inverse } = options;
  const vertical = side === 'left';
  const every = Math.max(1, Math.ceil((FONT_SIZE + 1.5) / step));
  const along = vertical || upright ? namesWidth(axis) : FONT_SIZE;
  return {
    type: 'category',
    data: axis.names.map((name) => axisName(name, axis.tokens)),
    position: side as 'left',
    inverse,
    ...title(axis, along + 14),
    axisTick: { show: false },
    axisLine: { show: false },
    splitLine: { show: false },
    axisLabel: {
      interval: (index: number) => index % every === 0,
      color: colour('muted'),
      fontSize: FONT_SIZE,
      verticalAlign: 'middle',
      margin: vertical || upright ? 6 : 6 + FONT_SIZE / 2,
      ...(upright && { rotate: 90, align: 'right' as const }),
    },
  };
}

/** Room in pixels that the names and the title of a category axis take. */
export function categoryRoom(axis: CategoryAxis, vertical: boolean, upright = false): number {
  return (vertical || upright ? namesWidth(axis) : FONT_SIZE + 2) + 10 + TITLE_ROOM;
}

export interface Domain {
  readonly min: number;
  readonly max: number;
  readonly interval?: number;
  readonly log: boolean;
}

/**
 * The range of a value axis: the axis' own domain, or round numbers around the values.
 * @param values everything drawn along this axis: points, bands, reference lines
 */
export function axisDomain(axis: ValueAxis, values: Iterable<number | null>, ticks = 5): Domain {
  const all = [...(axis.domain ?? values)];
  const [low, high] = extent(all) ?? [0, 1];
  if (axis.log) {
    if (axis.domain) return { min: low, max: high, log: true };
    const min = 10 ** Math.floor(Math.log10(low));
    return { min, max: Math.max(10 * min, 10 ** Math.ceil(Math.log10(high))), log: true };
  }
  const span = high - low || Math.abs(high) || 1;
  // No ticks between whole numbers where all values are: layers and heads have no halves.
  const whole = all.every((value) => value === null || Number.isInteger(value));
  const interval = Math.max(roundStep(span / ticks), whole ? 1 : 0);
  if (axis.domain) return { min: low, max: high, interval, log: false };
  const min = Math.floor(low / interval + 1e-9) * interval;
  const max = Math.ceil(high / interval - 1e-9) * interval;
  return { min, max: max > min ? max : min + interval, interval, log: false };
}

/** 1, 2 or 5 times a power of ten, at least `step`. */
function roundStep(step: number): number {
  const power = 10 ** Math.floor(Math.log10(step));
  const factor = [1, 2, 5, 10].find((f) => f * power >= step * (1 - 1e-9)) ?? 10;
  return factor * power;
}

/** How wide the numbers at an axis are, in pixels. */
export function numbersWidth({ min, max, interval = max - min, log }: Domain): number {
  let widest = 0;
  const count = log ? 1 : Math.round((max - min) / interval);
  for (let i = 0; i <= count; i++) {
    const value = log ? (i === 0 ? min : max) : min + i * interval;
    widest = Math.max(widest, textWidth(tick(value), FONT_SIZE));
  }
  return Math.ceil(widest);
}

// Multiples of a step like 0.2 carry rounding noise of a few 1e-17.
const tick = (value: number): string => formatNumber(Number(value.toPrecision(12)));

/** An axis of numbers with light grid lines. */
export function valueAxis(
  axis: ValueAxis,
  domain: Domain,
  side: 'left' | 'bottom',
  grid: boolean,
): XAXisComponentOption & YAXisComponentOption {
  const along = side === 'left' ? numbersWidth(domain) : FONT_SIZE;
  return {
    type: domain.log ? 'log' : 'value',
    position: side as 'left',
    min: domain.min,
    max: domain.max,
    interval: domain.interval,
    ...title(axis, along + 16),
    axisTick: { show: true, length: 4, lineStyle: { color: colour('line') } },
    axisLine: { show: true, onZero: false, lineStyle: { color: colour('line') } },
    splitLine: { show: grid, lineStyle: { color: colour('faint') } },
    axisLabel: {
      color: colour('muted'),
      fontSize: FONT_SIZE,
      verticalAlign: 'middle',
      margin: side === 'left' ? 7 : 7 + FONT_SIZE / 2,
      formatter: tick,
    },
  };
}

function title(axis: Quantity, gap: number): object {
  return {
    name: quantityName(axis),
    nameLocation: 'middle',
    // Text is placed by its middle: its top or bottom ECharts would measure, in a browser otherwise than in Node.
    nameGap: gap + TITLE_SIZE / 2,
    nameTextStyle: { color: colour('ink'), fontSize: TITLE_SIZE, verticalAlign: 'middle' },
    nameMoveOverlap: false,
  };
}
