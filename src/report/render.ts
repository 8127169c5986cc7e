import { HeadscopeError, throwIfCancelled } from '../errors.ts';
import { toCsv } from './csv.ts';
import { figureData } from './figure-data.ts';
import { figureRemarks } from './figure-remarks.ts';
import { drawFigure, type Drawing } from './figure-svg.ts';
import { toJson } from './json.ts';
import { madeWith, madeWithLine } from './made-with.ts';
import { elementType, type NpyArray } from './npy.ts';
import { toNpz } from './npz.ts';
import { pageHtml } from './page/page.ts';
import { checked } from './read.ts';
import { ReportSchema, type ArrayEntry, type ReportDocument } from './schema.ts';

export interface RenderOptions {
  /** Small arrays to write into arrays.npz, under TransformerLens hook names. Large captures go through `NpzWriter`. */
  readonly arrays?: Readonly<Record<string, NpyArray>>;
  readonly signal?: AbortSignal;
  /** Called after each figure with figures finished and figures in all. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * All files of a report, by their names relative to its folder: report.json, report.html, tables/*.csv, figures/*.svg and *.csv, and
 * arrays.npz when arrays are given. The same document gives the same bytes.
 * @throws HeadscopeError `bad-report` (the document breaks its schema), `bad-array`, `cancelled`
 */
export async function renderReport(
  document: ReportDocument,
  { arrays, signal, onProgress }: RenderOptions = {},
): Promise<Map<string, string | Uint8Array>> {
  const listed = arrays && !document.arrays ? { ...document, arrays: listArrays(arrays) } : document;
  // Going through the schema puts the keys in one order, so that a document read back renders to the same bytes.
  const report = checked(ReportSchema, listed, 'bad-report', 'The report');
  if (arrays) checkListing(report.arrays ?? [], arrays);
  const files = new Map<string, string | Uint8Array>();
  files.set('report.json', toJson(report));
  const drawings = new Map<string, Drawing>();
  const figures = report.sections.flatMap((section) =>
    section.figures.map((figure) => ({ section, figure })),
  );
  for (const { section, figure } of figures) {
    throwIfCancelled(signal);
    const name = `${section.id}-${figure.id}`;
    const words = [
      figure.caption,
      ...figureRemarks(figure),
      madeWithLine(madeWith(report, section, figure)),
    ].join(' ');
    const drawing = drawFigure(figure, name, words);
    drawings.set(name, drawing);
    files.set(`figures/${name}.svg`, drawing.file);
    files.set(`figures/${name}.csv`, toCsv(figureData(figure)));
    onProgress?.(drawings.size, figures.length);
    // A drawing takes tens of milliseconds; between two of them others get their turn, and a wish to cancel is heard.
    await new Promise((resolve) => setTimeout(resolve));
  }
  throwIfCancelled(signal);
  for (const section of report.sections) {
    for (const table of section.tables) {
      const head = table.columns.map(({ label, unit }) => (unit ? `${label} (${unit})` : label));
      files.set(`tables/${section.id}-${table.id}.csv`, toCsv({ head, rows: table.rows }));
    }
  }
  files.set('report.html', pageHtml(report, drawings));
  if (arrays) files.set('arrays.npz', toNpz(arrays));
  return files;
}

/**
 * The list of arrays that a report shows, from the arrays themselves.
 * @throws HeadscopeError `bad-array`
 */
export function listArrays(arrays: Readonly<Record<string, NpyArray>>): ArrayEntry[] {
  return Object.entries(arrays).map(([name, array]) => ({
    name,
    dtype: elementType(array),
    dims: [...array.dims],
  }));
}

/** A report must not list arrays that its file lacks, nor other shapes than they have. */
function checkListing(listing: readonly ArrayEntry[], arrays: Readonly<Record<string, NpyArray>>): void {
  const line = ({ name, dtype, dims }: ArrayEntry): string => `${name} ${dtype} [${dims.join(', ')}]`;
  const stated = new Set(listing.map(line));
  const given = listArrays(arrays).map(line);
  const wrong = given.find((array) => !stated.has(array));
  if (wrong !== undefined || given.length !== listing.length) {
    throw new HeadscopeError(
      'bad-report',
      `The report lists other arrays than were given${wrong ? `: ${wrong} is not listed` : ''}.`,
    );
  }
}
