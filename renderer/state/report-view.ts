import type { ReportDocument } from '../../src/report/schema.ts';
import type { CaptureSite } from '../../src/workbench/capture.ts';
import type { ResultEntry, SessionDocument } from '../../src/workbench/session/schema.ts';

/** Which report is previewed and saved. */
export type WhichReport = 'collected' | 'full';

/** Where one looks in the report view, and what is to be saved with a report. */
export interface ReportViewState {
  readonly tab: 'collect' | 'preview' | 'arrays' | 'full';
  readonly which: WhichReport;
  readonly arrays: ArrayChoice;
}

/** Activations that go into arrays.npz. Layers and heads as a person writes them: "0-3, 5"; empty means all. */
export interface ArrayChoice {
  readonly include: boolean;
  readonly sites: readonly CaptureSite[];
  readonly layers: string;
  readonly heads: string;
  /** float16; absent in sessions from before there was a choice. */
  readonly half?: boolean;
}

export const INITIAL_REPORT_VIEW: ReportViewState = {
  tab: 'collect',
  which: 'collected',
  arrays: { include: false, sites: ['pattern', 'z'], layers: '', heads: '' },
};

export const FULL_REPORT = 'report';

/** The newest full report of the session, if one was made. */
export const fullReportOf = (
  session: SessionDocument,
): (Omit<ResultEntry, 'data'> & { readonly data: ReportDocument }) | undefined =>
  session.results.findLast(({ kind }) => kind === FULL_REPORT) as
    (ResultEntry & { readonly data: ReportDocument }) | undefined;
