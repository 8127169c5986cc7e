import { checked } from './read.ts';
import {
  REPORT_SCHEMA,
  REPORT_VERSION,
  ReportSchema,
  SectionSchema,
  type ReportDocument,
  type Section,
} from './schema.ts';
import { TableSchema, type Table } from './table-schema.ts';

/**
 * A table.
 * @throws HeadscopeError `bad-table`
 */
export function table(spec: Table): Table {
  return checked(TableSchema, spec, 'bad-table', `Table "${spec.id}"`);
}

export type SectionSpec = Omit<Section, 'figures' | 'tables' | 'warnings'> &
  Partial<Pick<Section, 'figures' | 'tables' | 'warnings'>>;

/**
 * A section of the report: what was asked, what came out, and the figures and tables that show it.
 * @throws HeadscopeError `bad-report`
 */
export function section(spec: SectionSpec): Section {
  const whole = { figures: [], tables: [], warnings: [], ...spec };
  return checked(SectionSchema, whole, 'bad-report', `Section "${spec.id}"`);
}

export type ReportSpec = Omit<ReportDocument, 'schema' | 'version' | 'settings'> & {
  readonly settings?: ReportDocument['settings'];
};

/**
 * The report document.
 * @throws HeadscopeError `bad-report`
 */
export function report(spec: ReportSpec): ReportDocument {
  const whole = { settings: {}, ...spec, schema: REPORT_SCHEMA, version: REPORT_VERSION };
  return checked(ReportSchema, whole, 'bad-report', 'The report');
}
