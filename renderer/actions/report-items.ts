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
  title: string,
  content: ReportItem['content'],
  context?: FigureContext,
): string {
  const id = newId('r', workbench.session.report.items);
  const item: ReportItem = { id, title, note: '', content, ...(context && { context }) };
  workbench.change(`Add to the report: ${title}`, ({ report }) => ({
    report: { ...report, items: [...report.items, item] },
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
  addItem(workbench, 'Text', { type: 'text', text: '' });

/** True when this very figure or table is in the report. */
export const isInReport = ({ session }: WorkbenchState, shown: Figure | Table): boolean =>
  session.report.items.some(
    ({ content }) =>
      (content.type === 'figure' && content.figure === shown) ||
      (content.type === 'table' && content.table === shown),
  );

/** Changes one item; typing on makes one step. */
export function editItem(
  workbench: WorkbenchState,
  item: ReportItem,
  what: 'title' | 'note' | 'text',
  value: string,
): void {
  const edited = (each: ReportItem): ReportItem => {
    if (what !== 'text') return { ...each, [what]: value };
    return { ...each, content: { type: 'text', text: value } };
  };
  workbench.change(
    `Write in the report: ${item.title}`,
    ({ report }) => ({
      report: { ...report, items: report.items.map((each) => (each.id === item.id ? edited(each) : each)) },
    }),
    `report ${item.id} ${what}`,
  );
}

/** Moves an item by so many places. */
export function moveItem(workbench: WorkbenchState, item: ReportItem, by: number): void {
  workbench.change(`Move in the report: ${item.title}`, ({ report }) => {
    const items = report.items.filter(({ id }) => id !== item.id);
    const at = report.items.findIndex(({ id }) => id === item.id) + by;
    items.splice(Math.max(0, at), 0, item);
    return { report: { ...report, items } };
  });
}

export function removeItem(workbench: WorkbenchState, item: ReportItem): void {
  workbench.change(`Remove from the report: ${item.title}`, ({ report }) => ({
    report: { ...report, items: report.items.filter(({ id }) => id !== item.id) },
  }));
}

export function renameReport(workbench: WorkbenchState, title: string): void {
  workbench.change('Rename the report', ({ report }) => ({ report: { ...report, title } }), 'report title');
}
