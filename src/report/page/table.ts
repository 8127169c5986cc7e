import { formatNumber } from '../numbers.ts';
import type { Cell } from '../schema-parts.ts';
import type { Column, Table } from '../table-schema.ts';
import { escapeMarkup, prose, tokenText } from '../text.ts';

/** Rows of a table that a page shows; the CSV file has all. */
export const MOST_ROWS = 200;

/** How a cell reads in a column: numbers shortened, nothing as an en dash. */
export function cellHtml(cell: Cell, column: Pick<Column, 'kind' | 'decimals'>): string {
  if (cell === null) return '<td class="num">–</td>';
  if (typeof cell === 'number') return `<td class="num">${formatNumber(cell, column.decimals)}</td>`;
  if (typeof cell === 'boolean') return `<td>${cell ? 'yes' : 'no'}</td>`;
  if (column.kind === 'token') return `<td><bdi class="token">${escapeMarkup(tokenText(cell))}</bdi></td>`;
  return `<td><bdi>${escapeMarkup(prose(cell))}</bdi></td>`;
}

/** The head of a table. */
export function headHtml(columns: readonly Pick<Column, 'label' | 'unit' | 'kind'>[]): string {
  const cells = columns.map(({ label, unit, kind }) => {
    const words = escapeMarkup(prose(unit ? `${label} (${unit})` : label));
    return `<th scope="col"${kind === 'number' ? ' class="num"' : ''}>${words}</th>`;
  });
  return `<thead><tr>${cells.join('')}</tr></thead>`;
}

/** Wide or long contents that scroll, reachable with the keyboard. */
export function scrollHtml(label: string, content: string): string {
  return `<div class="scroll" role="region" tabindex="0" aria-label="${escapeMarkup(label)}">${content}</div>`;
}

/** The heading of the section that something stands in. */
export interface Heading {
  readonly id: string;
  readonly title: string;
}

/** The title of a figure or table, left out where the heading above says it already. */
export const titleHtml = (title: string, heading: Heading): string =>
  title === heading.title ? '' : ` <bdi>${escapeMarkup(prose(title))}</bdi>`;

/** A table of the report. */
export function tableHtml(table: Table, id: string, number: number, file: string, heading: Heading): string {
  const shown = table.rows.slice(0, MOST_ROWS);
  const body = shown.map(
    (row) => `<tr>${row.map((cell, i) => cellHtml(cell, table.columns[i])).join('')}</tr>`,
  );
  const more =
    shown.length < table.rows.length
      ? ` The first ${shown.length} of ${table.rows.length} rows; all are in ${file}.`
      : '';
  const words = [table.caption ? escapeMarkup(prose(table.caption)) : '', more].join('').trim();
  return [
    `<div class="table" id="${id}">`,
    scrollHtml(
      `Table ${number}: ${prose(table.title)}`,
      `<table><caption><span class="no">Table ${number}</span>${titleHtml(table.title, heading)}</caption>${headHtml(table.columns)}<tbody>\n${body.join('\n')}\n</tbody></table>`,
    ),
    ...(words ? [`<p class="note-to-table">${words}</p>`] : []),
    '</div>',
  ].join('\n');
}
