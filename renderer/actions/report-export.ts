import { toJson } from '../../src/report/json.ts';
import type { ReportDocument } from '../../src/report/schema.ts';
import type { FileKind } from '../shell/shell.ts';
import { captureArgs } from '../state/report-arrays.ts';
import { collectedReport } from '../state/report-document.ts';
import {
  fullReportOf,
  INITIAL_REPORT_VIEW,
  type ReportViewState,
  type WhichReport,
} from '../state/report-view.ts';
import type { WorkbenchState } from '../state/workbench.svelte.ts';
import type { Action } from './action.ts';

/** What a report can be saved as. */
export const REPORT_KINDS = {
  zip: 'Everything (.zip)…',
  html: 'Page (HTML)…',
  pdf: 'PDF…',
  json: 'Document (JSON)…',
  csv: 'Tables (CSV in a .zip)…',
  npz: 'Arrays (.npz)…',
} as const;
export type ReportKind = keyof typeof REPORT_KINDS;

const FILES: Record<ReportKind, FileKind> = {
  zip: { label: 'Report (ZIP)', extension: 'zip', mime: 'application/zip' },
  html: { label: 'Report (HTML)', extension: 'html', mime: 'text/html' },
  pdf: { label: 'Report (PDF)', extension: 'pdf', mime: 'application/pdf' },
  json: { label: 'Report (JSON)', extension: 'json', mime: 'application/json' },
  csv: { label: 'Tables (ZIP)', extension: 'zip', mime: 'application/zip' },
  npz: { label: 'NumPy arrays', extension: 'npz', mime: 'application/octet-stream' },
};

const viewOf = (workbench: WorkbenchState): ReportViewState =>
  workbench.viewState('report', INITIAL_REPORT_VIEW);

/** The report that is shown and saved. @throws HeadscopeError what hashing the model throws */
export async function reportDocument(workbench: WorkbenchState, which: WhichReport): Promise<ReportDocument> {
  const full = which === 'full' ? fullReportOf(workbench.session) : undefined;
  return full ? full.data : collectedReport(workbench);
}

/** Saves the report as one of its kinds. @throws HeadscopeError what rendering, capturing and saving throw; `cancelled` */
export async function exportReport(workbench: WorkbenchState, kind: ReportKind): Promise<void> {
  const data = await workbench.jobs.run(`Making the report: ${REPORT_KINDS[kind].replace('…', '')}`, (job) =>
    render(workbench, kind, {
      signal: job.signal,
      onProgress: ({ step, done }) => job.progress(done, step),
    }),
  );
  if (data === null) return;
  const name = (workbench.session.checkpoint?.name ?? 'model').replace(/[^\w.-]+/g, '_');
  const file = FILES[kind];
  await workbench.shell.saveFile(
    `${name}-${kind === 'csv' ? 'tables' : 'report'}.${file.extension}`,
    file,
    data,
  );
}

interface RenderOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: { readonly step: string; readonly done: number }) => void;
}

async function render(
  workbench: WorkbenchState,
  kind: ReportKind,
  options: RenderOptions,
): Promise<string | Uint8Array | null> {
  const { engine, shell } = workbench;
  const { arrays, which } = viewOf(workbench);
  if (kind === 'npz') {
    const { signal, onProgress } = options;
    const args = await captureArgs(workbench, arrays);
    const { npz, overflowed } = await engine.call('capture', args, {
      signal,
      onProgress: ({ done, total }) => onProgress({ step: 'capturing arrays', done: done / total }),
    });
    if (overflowed > 0)
      workbench.notify('warning', `${overflowed} numbers beyond 65,504 became infinite in float16.`);
    return npz;
  }
  const document = await reportDocument(workbench, which);
  if (kind === 'json') return toJson(document);
  if (kind === 'zip') {
    const captured = arrays.include ? { arrays: await captureArgs(workbench, arrays) } : {};
    return engine.call('reportZip', { document, ...captured }, options);
  }
  if (kind === 'csv') return engine.call('reportZip', { document, only: 'csv' }, options);
  const page = await engine.call('reportPage', { document }, options);
  return kind === 'html' ? page : shell.pdf(page);
}

const opened = ({ checkpoint }: WorkbenchState): boolean => checkpoint !== null;

const exportAction = (kind: ReportKind): Action => ({
  id: `report.export-${kind}`,
  label: `Export the report: ${REPORT_KINDS[kind]}`,
  group: 'Report',
  when: opened,
  perform: (workbench) => exportReport(workbench, kind),
});

export const reportActions: readonly Action[] = [
  ...(Object.keys(REPORT_KINDS) as ReportKind[]).map(exportAction),
  {
    id: 'report.full',
    label: 'Make the full report…',
    group: 'Report',
    when: opened,
    perform: (workbench) => {
      workbench.look({ page: 'report' });
      workbench.lookView('report', { ...viewOf(workbench), tab: 'full' } satisfies ReportViewState);
    },
  },
];
