import * as v from 'valibot';
import { cell, fileId } from './schema-parts.ts';

const ColumnSchema = v.object({
  label: v.string(),
  unit: v.optional(v.string()),
  /** How the column is set: numbers are right-aligned, tokens are shown with their spaces. */
  kind: v.picklist(['text', 'number', 'token']),
  /** Digits after the decimal point in HTML; four significant digits when absent. CSV always has all. */
  decimals: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(20))),
});

/** Which row has the wrong number of cells or a cell of the wrong kind, or undefined. */
export function tableProblem(table: {
  columns: readonly { label: string; kind: string }[];
  rows: readonly (readonly unknown[])[];
}): string | undefined {
  for (const [r, row] of table.rows.entries()) {
    if (row.length !== table.columns.length) {
      return `row ${r} has ${row.length} cells where the table has ${table.columns.length} columns`;
    }
    const c = row.findIndex((value, i) => {
      const kind = table.columns[i].kind;
      return (
        value !== null &&
        ((kind === 'number' && typeof value !== 'number') || (kind === 'token' && typeof value !== 'string'))
      );
    });
    if (c >= 0)
      return `row ${r}, column "${table.columns[c].label}" must be a ${table.columns[c].kind} or null`;
  }
  return undefined;
}

export const TableSchema = v.pipe(
  v.object({
    id: fileId,
    title: v.string(),
    caption: v.optional(v.string()),
    columns: v.pipe(v.array(ColumnSchema), v.minLength(1, 'a table needs a column')),
    rows: v.array(v.array(cell)),
  }),
  v.check(
    (table) => tableProblem(table) === undefined,
    ({ input }) => tableProblem(input) ?? '',
  ),
);

export type Column = v.InferOutput<typeof ColumnSchema>;
export type Table = v.InferOutput<typeof TableSchema>;
