import { COLOURS, colourMap } from '../colours.ts';
import type { ColourScale } from '../figure-schema.ts';
import { formatNumber } from '../numbers.ts';
import { pngDataUrl } from '../png.ts';
import { prose, shorten, textWidth } from '../text.ts';
import { colour } from '../theme.ts';
import { quantityName } from './axes.ts';
import { image, rectangle, text, type Shape } from './frame.ts';

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

/** Sets items from the left, in as many lines as they need, from (left, 0) down. */
export function layLegend(items: readonly LegendItem[], left: number, width: number): Legend {
  const out: Shape[] = [];
  let x = left;
  let line = 0;
  for (const item of items) {
    const label = shorten(prose(item.label), 70);
    const needed = item.width + 6 + textWidth(label, SIZE);
    if (x > left && x + needed > left + width) {
      x = left;
      line++;
    }
    const y = 8 + line * LINE;
    out.push(...item.key(x, y), text(label, x + item.width + 6, y, colour('muted'), SIZE));
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
      text(low, x, y, colour('ink'), SIZE),
      image({ left: x + before, top: y - 5, width: BAR, height: 10 }, url),
      text(high, x + before + BAR + 5, y, colour('ink'), SIZE),
    ],
  };
}

/** A filled square, as bars and bands are. */
export function swatchItem(label: string, fill: string): LegendItem {
  return {
    label,
    width: 11,
    key: (x, y) => [rectangle({ left: x, top: y - 5.5, width: 11, height: 11 }, { fill })],
  };
}

/** A frame, as marked cells have. */
export function frameItem(label: string, stroke: string): LegendItem {
  const key = (x: number, y: number): Shape[] => [
    rectangle({ left: x + 1, top: y - 4.5, width: 9, height: 9 }, { stroke, lineWidth: 2 }),
  ];
  return { label, width: 11, key };
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
