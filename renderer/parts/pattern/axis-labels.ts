import { shorten, tokenText } from '../../../src/report/text.ts';
import type { PatternToken } from './cell.ts';
import type { Inks } from './inks.ts';
import { labelStep } from './viewport.ts';

const SIZE = 11;
/** What one line of labels needs, in CSS pixels. */
const LINE = 14;
const GAP = 6;
const LONGEST = 16;

/** An axis's labels: a token's position and its text, with the room that the widest needs. */
export interface AxisLabels {
  readonly positions: readonly string[];
  readonly texts: readonly string[];
  readonly special: readonly boolean[];
  readonly room: number;
}

const faceOf = (inks: Inks): string => `${SIZE}px ${inks.mono}`;

/** Labels of an axis, measured once for a list of tokens. */
export function axisLabels(tokens: readonly PatternToken[], inks: Inks): AxisLabels {
  const context = new OffscreenCanvas(1, 1).getContext('2d')!;
  context.font = faceOf(inks);
  const texts = tokens.map(({ text }) => shorten(tokenText(text), LONGEST));
  let widest = 0;
  const seen = new Set<string>();
  for (const text of texts) {
    if (!seen.has(text)) widest = Math.max(widest, context.measureText(text).width);
    seen.add(text);
  }
  const digits = context.measureText(String(tokens.length)).width;
  return {
    positions: tokens.map((_, position) => String(position)),
    texts,
    special: tokens.map(({ special }) => special),
    room: Math.ceil(widest + digits + 3 * GAP),
  };
}

/** Draws one label that ends at (x, y), read from the left or, for columns, from below. */
function drawLabel(
  context: CanvasRenderingContext2D,
  labels: AxisLabels,
  i: number,
  [x, y]: readonly [number, number],
  upright: boolean,
  inks: Inks,
  strong: { readonly ground: string; readonly ink: string } | undefined,
): void {
  context.save();
  context.translate(x, y);
  if (upright) context.rotate(-Math.PI / 2);
  context.font = faceOf(inks);
  context.textBaseline = 'middle';
  context.textAlign = upright ? 'left' : 'right';
  const direction = upright ? 1 : -1;
  const text = labels.texts[i];
  const textWidth = context.measureText(text).width;
  if (strong) {
    const width = textWidth + context.measureText(labels.positions[i]).width + GAP + 8;
    context.beginPath();
    context.roundRect(upright ? -4 : 4 - width, -LINE / 2 - 1, width, LINE + 2, 3);
    context.fillStyle = strong.ground;
    context.fill();
  }
  context.fillStyle = strong?.ink ?? (labels.special[i] ? inks.inkFaint : inks.ink);
  context.fillText(text, 0, 0.5);
  context.fillStyle = strong?.ink ?? inks.inkFaint;
  context.fillText(labels.positions[i], direction * (textWidth + GAP), 0.5);
  context.restore();
}

/** One side of the plot that gets labels. */
export interface Axis {
  readonly labels: AxisLabels;
  /** Labels of columns stand upright above the plot. */
  readonly upright: boolean;
  /** Where the plot begins along the axis, and where the labels end across it. */
  readonly start: number;
  readonly edge: number;
  /** Length of the plot along the axis. */
  readonly length: number;
  readonly cell: number;
  readonly hidden: number;
}

const placeOf = ({ start, edge, cell, hidden, upright }: Axis, i: number): readonly [number, number] => {
  const along = start + (i + 0.5) * cell - hidden;
  return upright ? [along, edge - GAP] : [edge - GAP, along];
};

/** Labels of the positions first…last; where there is no room for all, every second, fifth, tenth, … */
export function drawAxis(
  context: CanvasRenderingContext2D,
  axis: Axis,
  [first, last]: readonly [number, number],
  inks: Inks,
): void {
  const step = labelStep(axis.cell, LINE);
  for (let i = Math.ceil(first / step) * step; i <= last; i += step) {
    if (isSeen(axis, i)) drawLabel(context, axis.labels, i, placeOf(axis, i), axis.upright, inks, undefined);
  }
}

/** The label of one position over the others, whether or not it is among those drawn. */
export function drawStrongLabel(
  context: CanvasRenderingContext2D,
  axis: Axis,
  i: number,
  inks: Inks,
  kind: 'followed' | 'locked',
): void {
  if (!isSeen(axis, i)) return;
  const strong =
    kind === 'followed' ? { ground: inks.accent, ink: inks.accentInk } : { ground: inks.line, ink: inks.ink };
  drawLabel(context, axis.labels, i, placeOf(axis, i), axis.upright, inks, strong);
}

function isSeen({ cell, hidden, length }: Axis, i: number): boolean {
  const middle = (i + 0.5) * cell - hidden;
  return middle >= 0 && middle <= length;
}
