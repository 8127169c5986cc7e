import { formatNumber } from '../../../src/report/numbers.ts';
import { visible } from '../../../src/report/text.ts';

export type SortValue = string | number | boolean | null;

/** A column of a `SortableTable`. */
export interface SortColumn<Row> {
  readonly id: string;
  readonly label: string;
  /** "nats", "ms": shown in the head of the column. */
  readonly unit?: string;
  /** Numbers stand right and their largest comes first; a flag is a dot or nothing. */
  readonly kind: 'text' | 'number' | 'token' | 'flag';
  /** Digits after the point; `digits` significant ones when absent. */
  readonly decimals?: number;
  /** Significant digits, 4 by default. */
  readonly digits?: number;
  /** What the column holds, in a sentence. */
  readonly hint?: string;
  /** null is "not there": shown as a dash and always last. */
  readonly value: (row: Row) => SortValue;
}

export interface Sort {
  readonly column: string;
  readonly descending: boolean;
}

/** The sort after the head of a column was chosen: again turns it round; numbers and flags begin with the largest. */
export function nextSort<Row>(sort: Sort | undefined, column: SortColumn<Row>): Sort {
  if (sort?.column === column.id) return { column: column.id, descending: !sort.descending };
  return { column: column.id, descending: column.kind === 'number' || column.kind === 'flag' };
}

const isMissing = (value: SortValue): boolean =>
  value === null || (typeof value === 'number' && Number.isNaN(value));

function compare(left: SortValue, right: SortValue): number {
  if (typeof left === 'string' && typeof right === 'string')
    return left.localeCompare(right, 'en', { numeric: true });
  return Number(left) - Number(right);
}

/** Rows by a column; equal rows keep their order, missing values come last either way. */
export function sortRows<Row>(
  rows: readonly Row[],
  columns: readonly SortColumn<Row>[],
  sort: Sort | undefined,
): readonly Row[] {
  const column = columns.find(({ id }) => id === sort?.column);
  if (!sort || !column) return rows;
  const keyed = rows.map((row) => ({ row, value: column.value(row) }));
  const direction = sort.descending ? -1 : 1;
  keyed.sort((a, b) => {
    const [left, right] = [isMissing(a.value), isMissing(b.value)];
    if (left || right) return Number(left) - Number(right);
    return direction * compare(a.value, b.value);
  });
  return keyed.map(({ row }) => row);
}

/** A cell as it is read. */
export function cellText<Row>(column: SortColumn<Row>, row: Row): string {
  const value = column.value(row);
  if (value === null || (typeof value === 'number' && Number.isNaN(value))) return '–';
  if (typeof value === 'boolean') return value ? '●' : '';
  if (typeof value === 'number')
    return column.decimals === undefined
      ? formatNumber(Number(value.toPrecision(column.digits ?? 4)))
      : formatNumber(value, column.decimals);
  return visible(value);
}

/** Keys of the rows from one to another, both included. */
export function rangeOf(keys: readonly string[], from: string, to: string): string[] {
  const ends = [keys.indexOf(from), keys.indexOf(to)].sort((a, b) => a - b);
  return ends[0] < 0 ? [to] : keys.slice(ends[0], ends[1] + 1);
}

/** The set without the key when it has it, else with it. */
export function toggled(keys: ReadonlySet<string>, key: string): Set<string> {
  const after = new Set(keys);
  if (!after.delete(key)) after.add(key);
  return after;
}
