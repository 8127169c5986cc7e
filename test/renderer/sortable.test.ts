import { describe, expect, it } from 'vitest';
import {
  cellText,
  nextSort,
  rangeOf,
  sortRows,
  type SortColumn,
} from '../../renderer/parts/figure/sortable.ts';

interface Row {
  readonly name: string;
  readonly score: number | null;
  readonly member: boolean;
}
const columns: SortColumn<Row>[] = [
  { id: 'name', label: 'Head', kind: 'text', value: ({ name }) => name },
  { id: 'score', label: 'Score', kind: 'number', value: ({ score }) => score },
  { id: 'p', label: 'p', kind: 'number', decimals: 2, value: ({ score }) => score },
  { id: 'member', label: 'In', kind: 'flag', value: ({ member }) => member },
];
const rows: Row[] = [
  { name: 'L0H10', score: 0.5, member: false },
  { name: 'L0H2', score: null, member: true },
  { name: 'L1H0', score: -3, member: false },
  { name: 'L0H1', score: 0.5, member: true },
];
const names = (sorted: readonly Row[]): string[] => sorted.map(({ name }) => name);

describe('sorting rows', () => {
  it('orders numbers, equal ones as they came, and missing ones last either way', () => {
    const by = (descending: boolean) => names(sortRows(rows, columns, { column: 'score', descending }));
    expect(by(true)).toEqual(['L0H10', 'L0H1', 'L1H0', 'L0H2']);
    expect(by(false)).toEqual(['L1H0', 'L0H10', 'L0H1', 'L0H2']);
  });

  it('orders names by the numbers in them, and flags', () => {
    expect(names(sortRows(rows, columns, { column: 'name', descending: false }))).toEqual([
      'L0H1',
      'L0H2',
      'L0H10',
      'L1H0',
    ]);
    expect(names(sortRows(rows, columns, { column: 'member', descending: true }))).toEqual([
      'L0H2',
      'L0H1',
      'L0H10',
      'L1H0',
    ]);
  });

  it('keeps the order without a sort, and leaves the rows alone', () => {
    expect(sortRows(rows, columns, undefined)).toBe(rows);
    expect(sortRows(rows, columns, { column: 'gone', descending: true })).toBe(rows);
    sortRows(rows, columns, { column: 'name', descending: true });
    expect(rows[0].name).toBe('L0H10');
  });

  it('begins with the largest number, the first name, and turns round the second time', () => {
    expect(nextSort(undefined, columns[1])).toEqual({ column: 'score', descending: true });
    expect(nextSort(undefined, columns[0])).toEqual({ column: 'name', descending: false });
    expect(nextSort({ column: 'name', descending: false }, columns[0])).toEqual({
      column: 'name',
      descending: true,
    });
  });

  it('writes cells for reading', () => {
    const texts = (row: Row) => columns.map((column) => cellText(column, row));
    expect(texts(rows[2])).toEqual(['L1H0', '−3', '−3.00', '']);
    expect(texts(rows[1])).toEqual(['L0H2', '–', '–', '●']);
    expect(cellText(columns[1], { name: '', score: 0.123456, member: false })).toBe('0.1235');
  });

  it('takes ranges from either end', () => {
    const keys = ['a', 'b', 'c', 'd'];
    expect(rangeOf(keys, 'c', 'a')).toEqual(['a', 'b', 'c']);
    expect(rangeOf(keys, 'b', 'd')).toEqual(['b', 'c', 'd']);
    expect(rangeOf(keys, 'gone', 'd')).toEqual(['d']);
  });
});
