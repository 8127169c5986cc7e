import { formatNumber } from '../../../src/report/numbers.ts';
import { shorten, tokenText } from '../../../src/report/text.ts';
import type { Cell, PatternToken } from './cell.ts';

/** A pattern as its views get it: values of [queries, keys]. */
export interface PatternData {
  readonly values: Float32Array;
  readonly queries: readonly PatternToken[];
  readonly keys: readonly PatternToken[];
  readonly causal: boolean;
}

/** The value of a cell; null where a later key is masked. */
export function valueOf({ values, keys, causal }: PatternData, { query, key }: Cell): number | null {
  return causal && key > query ? null : values[query * keys.length + key];
}

/** A cell's value for reading. */
export function valueText(value: number | null): string {
  if (value === null) return 'masked, the key is later';
  return Number.isFinite(value) ? formatNumber(value) : Number.isNaN(value) ? 'not a number' : String(value);
}

const named = (token: PatternToken, position: number): string =>
  `‘${shorten(tokenText(token.text), 24)}’ (${position})`;

/** "query ‘·Mary’ (12) → key ‘·John’ (4): 0.8312" */
export function cellText(data: PatternData, cell: Cell, sinks: ReadonlySet<number>): string {
  const key = named(data.keys[cell.key], cell.key) + (sinks.has(cell.key) ? ', sink' : '');
  return `query ${named(data.queries[cell.query], cell.query)} → key ${key}: ${valueText(valueOf(data, cell))}`;
}

/** The strongest cells of a query (or of a key), strongest first; masked ones and NaN left out. */
export function strongest(
  data: PatternData,
  along: 'query' | 'key',
  position: number,
  count: number,
): Cell[] {
  const length = along === 'query' ? data.keys.length : data.queries.length;
  const best: { cell: Cell; size: number }[] = [];
  for (let other = 0; other < length; other++) {
    const cell = along === 'query' ? { query: position, key: other } : { query: other, key: position };
    const size = Math.abs(valueOf(data, cell) ?? NaN);
    if (Number.isNaN(size) || (best.length === count && size <= best[count - 1].size)) continue;
    let place = best.length;
    while (place > 0 && best[place - 1].size < size) place--;
    best.splice(place, 0, { cell, size });
    if (best.length > count) best.pop();
  }
  return best.map(({ cell }) => cell);
}
