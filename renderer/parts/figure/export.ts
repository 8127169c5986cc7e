import { HeadscopeError } from '../../../src/errors.ts';
import { toCsv } from '../../../src/report/csv.ts';
import { figureData, type FigureData } from '../../../src/report/figure-data.ts';
import type { Figure } from '../../../src/report/figure-schema.ts';
import { drawFigure } from '../../../src/report/figure-svg.ts';
import { toJson } from '../../../src/report/json.ts';
import { madeWithLine } from '../../../src/report/made-with.ts';
import type { Table } from '../../../src/report/table-schema.ts';
import { contextNow } from '../../actions/report-items.ts';
import type { FileKind } from '../../shell/shell.ts';
import { modelHash } from '../../state/model-hash.ts';
import type { WorkbenchState } from '../../state/workbench.svelte.ts';

/** Pixels of a PNG per pixel of the drawing: sharp in print at the usual size. */
const PNG_SCALE = 3;

export const KINDS = {
  svg: { label: 'SVG picture', extension: 'svg', mime: 'image/svg+xml' },
  png: { label: 'PNG picture', extension: 'png', mime: 'image/png' },
  csv: { label: 'CSV table', extension: 'csv', mime: 'text/csv' },
  json: { label: 'JSON', extension: 'json', mime: 'application/json' },
} as const satisfies Record<string, FileKind>;

export const figureCsv = (figure: Figure): string => toCsv(figureData(figure));

/** A table as the rows that are shown and saved. */
export const tableData = ({ columns, rows }: Table): FigureData => ({
  head: columns.map(({ label, unit }) => (unit ? `${label} (${unit})` : label)),
  tokens: columns.map(({ kind }) => kind === 'token'),
  count: rows.length,
  rows,
});

export const tableCsv = (table: Table): string => toCsv(tableData(table));

/** A figure as a PNG, drawn from the same SVG that is exported. */
async function figurePng(figure: Figure): Promise<Uint8Array> {
  const { width, height, file } = drawFigure(figure, figure.id, figure.caption);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(file)}`;
  await image.decode();
  const canvas = new OffscreenCanvas(width * PNG_SCALE, height * PNG_SCALE);
  const context = canvas.getContext('2d')!;
  context.scale(PNG_SCALE, PNG_SCALE);
  context.drawImage(image, 0, 0, width, height);
  const blob = await canvas.convertToBlob({ type: 'image/png' });
  return new Uint8Array(await blob.arrayBuffer());
}

/** What a figure was made with, as files of their own say it. The model's hash is worked out when it is not known yet. */
async function provenanceOf(workbench: WorkbenchState, figure: Figure, prompt?: string) {
  const { checkpoint, session } = workbench;
  const { sha256 } = await modelHash(workbench);
  const context = { ...contextNow(workbench, prompt), ...figure.context };
  return {
    checkpoint: session.checkpoint?.name ?? '',
    sha256,
    prompt: context.prompt === undefined ? context.prompts : `prompt “${context.prompt}”`,
    device: context.device ?? '',
    dtype: checkpoint?.inspect.model.dtype ?? '',
    settings: context.settings ?? {},
    seed: undefined,
    measuredError: context.measuredError,
  };
}

/** Saves a figure as one of its kinds; SVG and JSON say what it was made with. @throws HeadscopeError what hashing and saving throw */
export async function saveFigure(
  workbench: WorkbenchState,
  figure: Figure,
  kind: keyof typeof KINDS,
  prompt?: string,
): Promise<void> {
  const save = (data: string | Uint8Array) =>
    workbench.shell.saveFile(`${figure.id}.${KINDS[kind].extension}`, KINDS[kind], data);
  if (kind === 'csv') await save(figureCsv(figure));
  else if (kind === 'png') await save(await figurePng(figure));
  else {
    const made = await provenanceOf(workbench, figure, prompt);
    if (kind === 'json') await save(toJson({ figure, madeWith: made }));
    else await save(drawFigure(figure, figure.id, `${figure.caption} ${madeWithLine(made)}`).file);
  }
}

/** Saves a table. @throws HeadscopeError what saving throws */
export async function saveTable(
  { shell }: WorkbenchState,
  table: Table,
  kind: 'csv' | 'json',
): Promise<void> {
  const data = kind === 'csv' ? tableCsv(table) : toJson(table);
  await shell.saveFile(`${table.id}.${KINDS[kind].extension}`, KINDS[kind], data);
}

/** Puts text onto the clipboard. @throws HeadscopeError `no-clipboard` */
export async function copyText(workbench: WorkbenchState, text: string): Promise<void> {
  // The desktop app grants no permissions, that for the clipboard neither; the older way needs none.
  const copied = await navigator.clipboard.writeText(text).then(
    () => true,
    () => copyBySelection(text),
  );
  if (!copied)
    throw new HeadscopeError(
      'no-clipboard',
      'The clipboard could not be written. Save the table as a file instead.',
      1,
    );
  workbench.notify('info', 'Copied.');
}

function copyBySelection(text: string): boolean {
  const area = document.createElement('textarea');
  area.className = 'visually-hidden';
  area.value = text;
  document.body.append(area);
  area.select();
  // Deprecated, and kept by every browser.
  const copied = document.execCommand('copy');
  area.remove();
  return copied;
}
