import { COLOURS, colourHex, colourMap, inkOn } from '../../../src/report/colours.ts';
import type { Cell } from './cell.ts';
import { strongest, valueOf, type PatternData } from './read-out.ts';
import { NOT_A_NUMBER, scaleIndex, type ValueScale } from './scales.ts';

/** Which way a token's attention is read: from it as a query, or to it as a key. */
export type Direction = 'from' | 'to';

/** The colours of a token under its tint; undefined where the two tokens have no cell. */
export interface Tint {
  readonly background: string;
  readonly ink: string;
}

/** The cell of a token and the one on the other side of its attention. */
export const pairOf = (direction: Direction, source: number, other: number): Cell =>
  direction === 'from' ? { query: source, key: other } : { query: other, key: source };

/** The token of a cell whose attention is read. */
export const sourceOf = (direction: Direction, { query, key }: Cell): number =>
  direction === 'from' ? query : key;

/** The cell that stands for a token alone: its strongest. */
export function strongestPair(data: PatternData, direction: Direction, source: number): Cell {
  const [best] = strongest(data, direction === 'from' ? 'query' : 'key', source, 1);
  return best ?? pairOf(direction, source, 0);
}

/** The tint of every token on the other side of a token's attention. */
export function tints(
  data: PatternData,
  direction: Direction,
  source: number,
  scale: ValueScale,
): (Tint | undefined)[] {
  const map = colourMap(scale.map);
  const others = direction === 'from' ? data.keys : data.queries;
  return others.map((_, other) => {
    const index = scaleIndex(scale, valueOf(data, pairOf(direction, source, other)));
    if (index < COLOURS) return { background: colourHex(map, index), ink: inkOn(map, index) };
    return index === NOT_A_NUMBER ? { background: '#ff00ff', ink: '#000000' } : undefined;
  });
}
