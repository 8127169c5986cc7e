import { COLOURS, colourMap } from '../colours.ts';
import type { ColourScale } from '../figure-schema.ts';
import { formatNumber } from '../numbers.ts';
import { pngDataUrl } from '../png.ts';
import { prose, shorten, textWidth } from '../text.ts';
import { colour, seriesColour, seriesSymbol } from '../theme.ts';
import { quantityName } from './axes.ts';
import { image, rectangle, text, type Box, type Shape } from './frame.ts';

const SIZE = 11.5;
const LINE = 20;
const BAR = 132;

/** One entry of a legend: a key of `width` pixels drawn at (x, y of its middle), and words. */
export interface LegendItem {
  readonly label: string;
  readonly width: number;
  readonly key: (x: number, y: number) => readonly Shape[];
}

/** A legend set in lines, with the room it takes. */
export interface Legend {
  readonly height: number;
  readonly shapes: readonly Shape[];
}

const labelOf = (item: LegendItem): string => shorten(prose(item.label), 70);
const gapOf = (item: LegendItem): number => (item.width === 0 ? 0 : 6);

/** The room an item takes in its line. */
export const itemWidth = (item: LegendItem): number =>
  item.width + gapOf(item) + textWidth(labelOf(item), SIZE);

/** Sets items from the left, in as many lines as they need, from (left, 0) down. */
export function layLegend(items: readonly LegendItem[], left: number, width: number): Legend {
  const out: Shape[] = [];
  let x = left;
  let line = 0;
  for (const item of items) {
    const needed = itemWidth(item);
    if (x > left && x + needed > left + width) {
      x = left;
      line++;
    }
    const y = 8 + line * LINE;
    out.push(...item.key(x, y), text(labelOf(item), x + item.width + gapOf(item), y, colour('muted'), SIZE));
    x += needed + 18;
  }
  return { height: items.length === 0 ? 0 : (line + 1) * LINE + 4, shapes: out };
}

/** The colours of a scale between the numbers that they stand for. */
export function scaleItem(scale: ColourScale): LegendItem {
  const [low, high] = scale.domain.map((value) => formatNumber(value));
  const before = textWidth(low, SIZE) + 5;
  const after = textWidth(high, SIZE) + 9;
  const pixels = Uint8Array.from({ length: COLOURS }, (_, i) => i);
  const url = pngDataUrl({ width: COLOURS, height: 1, pixels, palette: colourMap(scale.map) });
  return {
    label: quantityName(scale),
    width: before + BAR + after,
    key: (x, y) => [
      text(low, x + before - 5, y, colour('ink'), SIZE, 'right'),
      image({ left: x + before, top: y - 5, width: BAR, height: 10 }, url),
      text(high, x + before + BAR + 5, y, colour('ink'), SIZE),
    ],
  };
}

/** A filled square, as bars and bands are. */
export function swatchItem(label: string, fill: string, opacity = 1): LegendItem {
  return {
    label,
    width: 11,
    key: (x, y) => [rectangle({ left: x, top: y - 5.5, width: 11, height: 11 }, { fill, opacity })],
  };
}

/** A series' symbol, on a piece of its line when it has one. */
export function symbolItem(label: string, series: number, width: number, line: boolean): LegendItem {
  const fill = seriesColour(series);
  const key = (x: number, y: number): Shape[] => {
    const mark = symbol(seriesSymbol(series), x + width / 2, y, fill);
    const shape = { x1: x, y1: y, x2: x + width, y2: y };
    return line ? [{ type: 'line', shape, style: { stroke: fill, lineWidth: 2 } }, mark] : [mark];
  };
  return { label, width, key };
}

function symbol(kind: string, x: number, y: number, fill: string): Shape {
  if (kind === 'circle') return { type: 'circle', shape: { cx: x, cy: y, r: 3.5 }, style: { fill } };
  if (kind === 'rect') return rectangle({ left: x - 3.5, top: y - 3.5, width: 7, height: 7 }, { fill });
  const triangle = [[x, y - 4], [x + 4, y + 4], [x - 4, y + 4]]; // prettier-ignore
  const diamond = [[x, y - 5], [x + 4, y], [x, y + 5], [x - 4, y]]; // prettier-ignore
  return { type: 'polygon', shape: { points: kind === 'triangle' ? triangle : diamond }, style: { fill } };
}

/** A frame, as marked cells have. */
export function frameItem(label: string): LegendItem {
  return { label, width: 13, key: (x, y) => frame({ left: x, top: y - 6.5, width: 13, height: 13 }) };
}

/** A dark line with a light one inside it (or the other way round on a dark page), which shows on every colour. */
export function frame({ left, top, width, height }: Box): Shape[] {
  const inset = (by: number): Box => ({
    left: left + by,
    top: top + by,
    width: width - 2 * by,
    height: height - 2 * by,
  });
  return [
    rectangle(inset(1), { stroke: colour('ink'), lineWidth: 2 }),
    rectangle(inset(2.5), { stroke: colour('surface'), lineWidth: 1 }),
  ];
}

/** An empty field, as missing values are. */
export function missingItem(): LegendItem {
  const style = { fill: colour('faint'), stroke: colour('line'), lineWidth: 1 };
  return {
    label: 'no value',
    width: 11,
    key: (x, y) => [rectangle({ left: x + 0.5, top: y - 5, width: 10, height: 10 }, style)],
  };
}
