import type { Figure } from '../../src/report/figure-schema.ts';
import type { FigureContext } from '../../src/report/schema-parts.ts';
import type { Table } from '../../src/report/table-schema.ts';
import type { ReportItem } from '../../src/workbench/session/schema.ts';
import type { WorkbenchState } from '../state/workbench.svelte.ts';
import { newId } from './edit-actions.ts';

/** What anything that is shown now was made with. @param prompt text of the one prompt it is about */
export function contextNow({ checkpoint }: WorkbenchState, prompt?: string): FigureContext {
  return {
    ...(prompt !== undefined && { prompt }),
    ...(checkpoint && { device: checkpoint.device.name }),
    ...(checkpoint?.measured && {
      measuredError: {
        what: 'logits, instrumented graph against the unedited model',
        maxAbs: checkpoint.measured.maxAbs,
        tolerance: checkpoint.tolerance,
      },
    }),
  };
}

function addItem(
  workbench: WorkbenchState,
  label: string,
  content: ReportItem['content'],
  context?: FigureContext,
): string {
  const id = newId('r', workbench.session.report.items);
  workbench.change(`Add to the report: ${label}`, ({ report }) => ({
    report: { ...report, items: [...report.items, { id, note: '', content, ...(context && { context }) }] },
  }));
  return id;
}

/** Puts a figure at the end of the report. @returns the item's id */
export const addFigure = (workbench: WorkbenchState, figure: Figure, prompt?: string): string =>
  addItem(workbench, figure.title, { type: 'figure', figure }, contextNow(workbench, prompt));

/** Puts a table at the end of the report. @returns the item's id */
export const addTable = (workbench: WorkbenchState, table: Table, prompt?: string): string =>
  addItem(workbench, table.title, { type: 'table', table }, contextNow(workbench, prompt));

/** Puts an empty text at the end of the report. @returns the item's id */
export const addText = (workbench: WorkbenchState): string =>
  addItem(workbench, 'a text', { type: 'text', title: '', text: '' });

/** True when this very figure or table is in the report. */
export const isInReport = ({ session }: WorkbenchState, shown: Figure | Table): boolean =>
  session.report.items.some(
    ({ content }) =>
      (content.type === 'figure' && content.figure === shown) ||
      (content.type === 'table' && content.table === shown),
  );
