import * as v from 'valibot';
import { HeadscopeError } from '../errors.ts';
import { REPORT_SCHEMA, REPORT_VERSION, ReportSchema, type ReportDocument } from './schema.ts';

/** Turns a document of one version into one of the next. */
export type Migration = (document: Record<string, unknown>) => Record<string, unknown>;

/** From version n to n + 1, under n. Version 1 is the first, so there is nothing to migrate from yet. */
const migrations: Readonly<Record<number, Migration>> = {};

/**
 * Checks data against a schema and says in words where they differ.
 * @param what the thing in the message: 'Figure "pattern"'
 * @throws HeadscopeError with the given code
 */
export function checked<S extends v.GenericSchema>(
  schema: S,
  data: unknown,
  code: string,
  what: string,
): v.InferOutput<S> {
  const result = v.safeParse(schema, data, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const path = v.getDotPath(issue);
  throw new HeadscopeError(code, `${what} is not valid${path ? ` at ${path}` : ''}: ${issue.message}.`);
}

/**
 * Reads report.json, of this version or an older one.
 * @throws HeadscopeError `bad-report` (not JSON, not a report, or damaged; says where), `newer-report` (from a later version of the program)
 */
export function readReport(json: string): ReportDocument {
  let data: unknown;
  try {
    data = JSON.parse(json);
  } catch (cause) {
    throw new HeadscopeError(
      'bad-report',
      'The report is not JSON; choose the report.json of a report folder.',
      2,
      { cause },
    );
  }
  return checked(ReportSchema, migrate(data, REPORT_VERSION, migrations), 'bad-report', 'The report');
}

/**
 * Brings a report of any earlier version to `version`, one step at a time.
 * @throws HeadscopeError `bad-report`, `newer-report`
 */
export function migrate(
  data: unknown,
  version: number,
  steps: Readonly<Record<number, Migration>>,
): Record<string, unknown> {
  const isObject = typeof data === 'object' && data !== null && !Array.isArray(data);
  let document = isObject ? (data as Record<string, unknown>) : {};
  if (document.schema !== REPORT_SCHEMA || !Number.isSafeInteger(document.version)) {
    throw new HeadscopeError(
      'bad-report',
      'This is JSON but not a Headscope report; choose the report.json of a report folder.',
    );
  }
  const found = document.version as number;
  if (found > version) {
    throw new HeadscopeError(
      'newer-report',
      `The report has version ${found}, this program reads up to ${version}; open it with a newer Headscope.`,
    );
  }
  for (let from = found; from < version; from++) {
    const step = Object.hasOwn(steps, from) ? steps[from] : undefined;
    if (!step)
      throw new HeadscopeError(
        'bad-report',
        `There is no way from report version ${from} to ${version}; the file is damaged.`,
      );
    document = { ...step(document), version: from + 1 };
  }
  return document;
}
