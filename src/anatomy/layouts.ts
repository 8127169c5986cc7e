import { isBatch, isBatchTimes, isFixed, isTokens, sameAxis, type Axis } from './axes.ts';
import type { HeadLayout } from './anatomy.ts';

type Axes = readonly (Axis | null)[];

/** How heads lie in a value, and how many numbers each has per position. */
export interface HeadShape {
  readonly layout: HeadLayout;
  readonly heads: number;
  readonly width: number;
}

const size = (axis: Axis | null): number => axis?.size ?? NaN;

/** The positions' axis with heads in it: [positions × heads]; undefined when it is none. */
function times(axis: Axis | null, length: Axis): number | undefined {
  if (!axis || axis.batch !== length.batch || axis.tokens !== length.tokens || axis.source !== length.source)
    return undefined;
  const heads = axis.size / length.size;
  return Number.isInteger(heads) && heads > 1 ? heads : undefined;
}

/**
 * How a value with a vector per head and position is laid out.
 *
 * @param length the axis that counts positions
 * @param heads how many heads there are at most, to tell [batch, positions, heads × width] from one head
 * @param turned positions are expected last; matters where an axis is as long as the prompt by chance
 */
export function headShape(axes: Axes, length: Axis, heads: number, turned = false): HeadShape | undefined {
  const found = turned ? turnedShape(axes, length) : undefined;
  return found ?? plainShape(axes, length, heads) ?? turnedShape(axes, length);
}

/** Positions last. */
function turnedShape(axes: Axes, length: Axis): HeadShape | undefined {
  if (!sameAxis(axes[axes.length - 1], length)) return undefined;
  const [a, b, c, d] = axes;
  const found = (layout: HeadLayout, count: number, width: number): HeadShape => ({
    layout,
    heads: count,
    width,
  });
  if (axes.length === 3 && isBatchTimes(a) && isFixed(b)) return found('mergedT', a.size, b.size);
  if (!isBatch(a) || !isFixed(b) || !isFixed(c)) return undefined;
  if (axes.length === 4) return found('bhT', b.size, c.size);
  return axes.length === 5 && isFixed(d) ? found('groupedT', b.size * c.size, d.size) : undefined;
}

function plainShape(axes: Axes, length: Axis, heads: number): HeadShape | undefined {
  const [a, b, c, d, e] = axes;
  const found = (layout: HeadLayout, count: number, width: number): HeadShape => ({
    layout,
    heads: count,
    width,
  });
  if (axes.length === 3 && isBatchTimes(a)) {
    if (sameAxis(b, length) && isFixed(c)) {
      if (a.size === 1 && heads > 1 && c.size % heads === 0) return found('flat', heads, c.size / heads);
      return found('merged', a.size, c.size);
    }
    const inRows = a.size === 1 && isFixed(c) ? times(b, length) : undefined;
    return inRows === undefined ? undefined : found('rows', inRows, size(c));
  }
  if (!isBatch(a)) return undefined;
  if (axes.length === 4) {
    if (isFixed(b) && sameAxis(c, length) && isFixed(d)) return found('bh', b.size, d.size);
    if (sameAxis(b, length) && isFixed(c) && isFixed(d)) return found('bth', c.size, d.size);
  }
  if (axes.length === 5) {
    if (sameAxis(b, length) && isFixed(c) && isFixed(d) && isFixed(e))
      return found('flat', c.size * d.size, e.size);
    if (!isFixed(b) || !isFixed(c)) return undefined;
    if (sameAxis(d, length) && isFixed(e)) return found('grouped', b.size * c.size, e.size);
  }
  return undefined;
}

/** How a value with a number per head, query and key is laid out. */
export interface SquareShape {
  readonly layout: HeadLayout;
  readonly heads: number;
  readonly queries: Axis;
  readonly keys: Axis;
}

const isLength = (axis: Axis | null | undefined): axis is Axis => !!axis && !axis.batch;
const TOKENS: Axis = { batch: false, tokens: true, source: false, size: 1 };

/** Reads scores or a pattern: which axis is heads, queries and keys. */
export function squareShape(axes: Axes): SquareShape | undefined {
  const [a, b, c, d, e] = axes;
  const keys = axes[axes.length - 1];
  if (!isLength(keys)) return undefined;
  const found = (layout: HeadLayout, heads: number, queries: Axis): SquareShape => ({
    layout,
    heads,
    queries,
    keys,
  });
  if (axes.length === 3 && isBatchTimes(a) && isLength(b)) {
    const inRows =
      a.size !== 1 ? undefined : keys.either ? times(b, { ...keys, either: undefined }) : times(b, TOKENS);
    return inRows === undefined
      ? found('merged', a.size, b)
      : found('rows', inRows, keys.either ? keys : TOKENS);
  }
  if (!isBatch(a)) return undefined;
  if (axes.length === 4 && isFixed(b) && isLength(c)) return found('bh', b.size, c);
  if (axes.length === 4 && b && isTokens(b) && isFixed(c)) return found('bth', c.size, b);
  if (axes.length === 5 && isFixed(b) && isFixed(c) && isLength(d) && e)
    return found('grouped', b.size * c.size, d);
  return undefined;
}
