import { figureData } from '../figure-data.ts';
import type { Figure, Heatmap } from '../figure-schema.ts';
import { figureRemarks } from '../figure-remarks.ts';
import type { Drawing } from '../figure-svg.ts';
import { errorText, exceeds, settingText, type MadeWith } from '../made-with.ts';
import { formatNumber } from '../numbers.ts';
import type { Cell } from '../schema-parts.ts';
import { escapeMarkup, paragraphs, prose, tokenText, visible } from '../text.ts';
import { cellHtml, headHtml, MOST_ROWS, scrollHtml, titleHtml, type Heading } from './table.ts';

const NARROWEST = 480;
const MATRIX_CELLS = 1_300;
const MATRIX_COLUMNS = 36;
const LARGEST_SHOWN = 20;

/**
 * A figure of the page: title, picture, how to read it, what it was made with, and its data as a table.
 * @param heading a figure with the title of its section does not repeat it
 */
export function figureHtml(
  figure: Figure,
  drawing: Drawing,
  id: string,
  number: number,
  made: MadeWith,
  file: string,
  heading: Heading,
): string {
  const width = Math.max(NARROWEST, drawing.width);
  const name = figure.title === heading.title ? `${heading.id} ${id}-title` : `${id}-title`;
  const words = [...paragraphs(figure.caption), ...figureRemarks(figure)];
  return [
    `<figure id="${id}" style="width:${width}px" aria-labelledby="${name}">`,
    `<h3 id="${id}-title"><span class="no">Figure ${number}</span>${titleHtml(figure.title, heading)}</h3>`,
    `<div class="chart">${drawing.inline(name)}</div>`,
    '<figcaption>',
    ...words.map((paragraph) => `<p class="caption">${escapeMarkup(paragraph)}</p>`),
    `<p class="made">${madeHtml(made)}</p>`,
    dataHtml(figure, number, file),
    '</figcaption>',
    '</figure>',
  ].join('\n');
}

/** What a figure was made with, in one small line. */
function madeHtml(made: MadeWith): string {
  const settings = Object.entries(made.settings).map(
    ([name, value]) => `${prose(name)} ${settingText(value)}`,
  );
  const items = [
    `model <bdi>${escapeMarkup(prose(made.checkpoint))}</bdi> <abbr class="hash" title="SHA-256 ${made.sha256}">${made.sha256.slice(0, 12)}</abbr>`,
    ...(made.prompt === undefined ? [] : [`<bdi>${escapeMarkup(made.prompt)}</bdi>`]),
    escapeMarkup(`${prose(made.device)}, ${prose(made.dtype)}`),
    ...settings.map(escapeMarkup),
    ...(made.seed === undefined ? [] : [`seed ${made.seed}`]),
    `<span${exceeds(made.measuredError) ? ' class="bad"' : ''}>${measuredHtml(made)}</span>`,
  ];
  return items.map((item) => `<span class="item">${item}</span>`).join('');
}

/** The size of the measured error; what was compared stands in its title and at the head of the report. */
function measuredHtml({ measuredError }: MadeWith): string {
  if (!measuredError) return 'measured error: not measured';
  const { maxAbs, tolerance } = measuredError;
  const limit = exceeds(measuredError) ? `, above its tolerance ${formatNumber(tolerance ?? 0)}` : '';
  return `measured error <abbr title="${escapeMarkup(errorText(measuredError))}">${formatNumber(maxAbs)}</abbr>${limit}`;
}

function dataHtml(figure: Figure, number: number, file: string): string {
  const { count } = figureData(figure);
  const isMatrix =
    figure.kind === 'heatmap' &&
    figure.values.length <= MATRIX_CELLS &&
    figure.columns.names.length <= MATRIX_COLUMNS;
  const content = isMatrix ? matrix(figure) : listing(figure, file);
  return `<details><summary>Data: ${count === 1 ? '1 value' : `${formatNumber(count)} values`}</summary>\n${scrollHtml(`Data of figure ${number}`, content)}\n</details>`;
}

/** A heatmap as it stands: rows by columns. */
function matrix(figure: Heatmap): string {
  const { rows, columns, values } = figure;
  const name = (axis: typeof rows, i: number): string =>
    `<bdi>${escapeMarkup(axis.tokens ? `${i} ${tokenText(axis.names[i])}` : visible(axis.names[i]))}</bdi>`;
  const corner = escapeMarkup(`${prose(rows.label)} ↓ ${prose(columns.label)} →`);
  const head = columns.names.map((_, c) => `<th scope="col" class="num">${name(columns, c)}</th>`);
  const body = rows.names.map((_, r) => {
    const cells = columns.names.map((_, c) =>
      cellHtml(values[r * columns.names.length + c], { kind: 'number' }),
    );
    return `<tr><th scope="row">${name(rows, r)}</th>${cells.join('')}</tr>`;
  });
  return `<table><thead><tr><th scope="col">${corner}</th>${head.join('')}</tr></thead><tbody>\n${body.join('\n')}\n</tbody></table>`;
}

/** The data row by row: all, the first, or of a large grid the values that stand out. */
function listing(figure: Figure, file: string): string {
  const data = figureData(figure);
  const largest = data.count > MOST_ROWS && 'values' in figure ? largestOf(figure.values) : undefined;
  const shown: (readonly Cell[])[] = [];
  let at = 0;
  for (const row of data.rows) {
    if (largest ? largest.has(at) : at < MOST_ROWS) shown.push(row);
    at++;
  }
  const columns = data.head.map((label, i) => {
    const isNumber = shown.some((row) => typeof row[i] === 'number');
    return {
      label,
      kind: data.tokens[i] ? ('token' as const) : isNumber ? ('number' as const) : ('text' as const),
    };
  });
  const body = shown.map((row) => `<tr>${row.map((cell, i) => cellHtml(cell, columns[i])).join('')}</tr>`);
  const part = largest ? `The ${shown.length} values furthest from 0` : `The first ${shown.length} values`;
  const note =
    shown.length < data.count ? `<p>${part} of ${data.count}; all are in ${file} and report.json.</p>` : '';
  return `${note}<table>${headHtml(columns)}<tbody>\n${body.join('\n')}\n</tbody></table>`;
}

function largestOf(values: readonly (number | null)[]): Set<number> {
  const there = values.flatMap((value, i) => (value === null ? [] : [i]));
  const size = (i: number): number => Math.abs(values[i] ?? 0);
  return new Set(there.sort((a, b) => size(b) - size(a) || a - b).slice(0, LARGEST_SHOWN));
}
