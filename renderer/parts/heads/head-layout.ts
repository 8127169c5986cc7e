import type { HeadRef } from '../../../src/instrument/runner.ts';

/** Where the heads of a grid are, in CSS pixels of the whole drawing: headers to the left and on top, a square for each head. */
export interface HeadLayout {
  readonly layers: number;
  /** Most heads of a layer. */
  readonly columns: number;
  readonly side: number;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export type HeadMode = 'metric' | 'thumbnails';

const LEFT = 40;
const TOP = 20;
/** Smallest squares, those that are worth scrolling for, and largest. */
const SIDES = { metric: [18, 30, 48], thumbnails: [24, 56, 112] } as const;
/** Free pixels between two heads. */
export const BETWEEN = 2;

/** The largest squares with which the grid fits; a grid of many layers scrolls rather than becoming small. */
export function headLayout(
  layers: number,
  columns: number,
  { width, height }: { readonly width: number; readonly height: number },
  mode: HeadMode,
): HeadLayout {
  const [smallest, comfortable, largest] = SIDES[mode];
  const across = Math.floor((width - LEFT - 2) / Math.max(1, columns));
  const down = Math.floor((height - TOP - 2) / Math.max(1, layers));
  const side = Math.max(smallest, Math.min(largest, across, Math.max(down, comfortable)));
  return {
    layers,
    columns,
    side,
    left: LEFT,
    top: TOP,
    width: LEFT + columns * side + 2,
    height: TOP + layers * side + 2,
  };
}

/** What is scrolled away, and how much is seen. */
export interface HeadWindow {
  readonly scrollLeft: number;
  readonly scrollTop: number;
  readonly width: number;
  readonly height: number;
}

/** The square at a point of the window, whether or not its layer has such a head. */
export function squareAt(layout: HeadLayout, seen: HeadWindow, x: number, y: number): HeadRef | null {
  const { left, top, side, layers, columns } = layout;
  if (x < left || y < top || x >= seen.width || y >= seen.height) return null;
  const head = Math.floor((x - left + seen.scrollLeft) / side);
  const layer = Math.floor((y - top + seen.scrollTop) / side);
  return head < columns && layer < layers ? { layer, head } : null;
}

/** First and last layer and head that are at least partly seen. */
export function seenSquares(
  { left, top, side, layers, columns }: HeadLayout,
  { scrollLeft, scrollTop, width, height }: HeadWindow,
): { layers: [number, number]; heads: [number, number] } {
  const range = (from: number, length: number, count: number): [number, number] => [
    Math.max(0, Math.floor(from / side)),
    Math.min(count, Math.ceil((from + length) / side)) - 1,
  ];
  return { layers: range(scrollTop, height - top, layers), heads: range(scrollLeft, width - left, columns) };
}

/** How far to scroll so that the whole square is seen beside the headers. */
export function scrollFor(
  layout: HeadLayout,
  seen: HeadWindow,
  { layer, head }: HeadRef,
): { left: number; top: number } {
  const along = (from: number, place: number, room: number): number =>
    Math.max(Math.min(from, place * layout.side), (place + 1) * layout.side - room, 0);
  return {
    left: along(seen.scrollLeft, head, seen.width - layout.left - 2),
    top: along(seen.scrollTop, layer, seen.height - layout.top - 2),
  };
}

/** Where a key moves from a head; undefined when the key moves nothing. `headsOf` tells how many heads a layer has. */
export function movedHead(
  { layer, head }: HeadRef,
  pressed: { readonly key: string; readonly ctrlKey: boolean },
  layers: number,
  headsOf: (layer: number) => number,
): HeadRef | undefined {
  const to = (l: number, h: number): HeadRef => {
    const held = Math.max(0, Math.min(layers - 1, l));
    return { layer: held, head: Math.max(0, Math.min(headsOf(held) - 1, h)) };
  };
  switch (pressed.key) {
    case 'ArrowUp':
      return to(layer - 1, head);
    case 'ArrowDown':
      return to(layer + 1, head);
    case 'ArrowLeft':
      return to(layer, head - 1);
    case 'ArrowRight':
      return to(layer, head + 1);
    case 'Home':
      return to(pressed.ctrlKey ? 0 : layer, 0);
    case 'End':
      return to(pressed.ctrlKey ? layers - 1 : layer, Infinity);
    case 'PageUp':
      return to(layer - 8, head);
    case 'PageDown':
      return to(layer + 8, head);
    default:
      return undefined;
  }
}
