import type { Cell } from './schema-parts.ts';

/** A table as rows of cells under a head of names, in the form that CSV and HTML are made from. */
export interface Grid {
  readonly head: readonly string[];
  readonly rows: Iterable<readonly Cell[]>;
}

// A spreadsheet takes a text that starts like this for a formula (OWASP, "CSV injection"); the full-width forms count in East Asian editions.
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** One field of RFC 4180: quoted where needed; a text that a spreadsheet would run gets an apostrophe in front. */
export function csvField(cell: Cell): string {
  if (cell === null) return '';
  if (typeof cell !== 'string') return String(cell);
  // Readers of CSV stop at NUL, so it is the one character that is written by its picture.
  const text = cell.replaceAll('\0', '\u2400');
  const safe = FORMULA.test(text) && !NUMBER.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** RFC 4180: fields joined by commas, lines ended by CRLF; numbers with every digit they need to be read back. */
export function toCsv({ head, rows }: Grid): string {
  const lines = [head.map(csvField).join(',')];
  for (const row of rows) lines.push(row.map(csvField).join(','));
  return lines.join('\r\n') + '\r\n';
}
