import { strToU8, zipSync } from 'fflate';
import { HeadscopeError } from '../../../errors.ts';
import { renderReport, type ArrayEntry, type ReportDocument } from '../../../report/index.ts';
import type { PromptItem } from '../../../text/prompt-set.ts';
import { resolvePromptSet } from '../../../text/resolve.ts';
import { buildReport } from '../../report/build-report.ts';
import type { CapturePlan } from '../../capture.ts';
import type { Task } from '../../tasks.ts';
import type { Engine } from '../engine.ts';
import type { CallContext } from '../rpc.ts';
import { capture, type CaptureArgs } from './run.ts';

/** How far a report is. */
export interface ReportProgress {
  /** "circuit of ioi" */
  readonly step: string;
  /** 0 … 1 over all steps. */
  readonly done: number;
}

/** One page that needs no other file; its numbers are beneath the figures. @throws HeadscopeError `bad-report`, `cancelled` */
export async function reportPage(
  _engine: Engine,
  { document }: { readonly document: ReportDocument },
  { signal, onProgress }: CallContext<ReportProgress>,
): Promise<string> {
  const files = await renderReport(document, { signal, onProgress: drawing(onProgress) });
  return files.get('report.html') as string;
}

export interface ReportZipArgs {
  readonly document: ReportDocument;
  /** Which files: all of them, or only the tables. */
  readonly only?: 'csv';
  /** Arrays to capture into arrays.npz. */
  readonly arrays?: CaptureArgs;
}

/**
 * All files of a report in one .zip: report.html, report.json, tables, figures, arrays.npz.
 * @throws HeadscopeError `bad-report`, `empty-report` (no table when only tables are wanted), `cancelled`, and what `capture` throws
 */
export async function reportZip(
  engine: Engine,
  { document, only, arrays }: ReportZipArgs,
  { signal, onProgress }: CallContext<ReportProgress>,
): Promise<Uint8Array> {
  const captured = arrays && (await capture(engine, arrays, { signal, onProgress: capturing(onProgress) }));
  const listed = captured ? { ...document, arrays: listing(captured.plan, arrays.rows) } : document;
  const files = await renderReport(listed, { signal, onProgress: drawing(onProgress) });
  const entries: Record<string, Uint8Array | [Uint8Array, { level: 0 }]> = {};
  for (const [name, content] of files)
    if (only === undefined || name.endsWith('.csv'))
      entries[name] = typeof content === 'string' ? strToU8(content) : content;
  if (captured) entries['arrays.npz'] = [captured.npz, { level: 0 }];
  if (Object.keys(entries).length === 0)
    throw new HeadscopeError('empty-report', 'The report has no figure and no table yet. Add one first.');
  return zipSync(entries, { mtime: new Date(document.created) });
}

const drawing =
  (onProgress: (progress: ReportProgress) => void) =>
  (done: number, total: number): void =>
    onProgress({ step: `drawing figure ${done} of ${total}`, done: total ? done / total : 1 });

const capturing =
  (onProgress: (progress: ReportProgress) => void) =>
  ({ done, total }: { readonly done: number; readonly total: number }): void =>
    onProgress({ step: 'capturing arrays', done: total ? done / total : 0 });

/** What the page says of the arrays: those of the plan, and the two that say which tokens they are of. */
function listing({ arrays }: CapturePlan, rows: CaptureArgs['rows']): ArrayEntry[] {
  const width = Math.max(...rows.map(({ ids }) => ids.length));
  return [
    { name: 'tokens', dtype: 'int32', dims: [rows.length, width], meaning: 'token ids, −1 is padding' },
    { name: 'lengths', dtype: 'int32', dims: [rows.length], meaning: 'tokens of each prompt' },
    ...arrays.map(({ name, dims, type }) => ({ name, dtype: type, dims: [...dims] })),
  ];
}

export interface FullReportArgs {
  readonly tasks: readonly {
    readonly name: string;
    readonly origin: string;
    readonly items: readonly PromptItem[];
  }[];
  /** Prompts for the overview and the sinks; those of the tasks when there are none. */
  readonly prompts: readonly PromptItem[];
  readonly seed: number;
}

/** What steps take, seen against one run over a task; for the progress alone. */
const WEIGHTS: readonly (readonly [RegExp, number])[] = [
  [/^circuit/, 60],
  [/^calibration/, 10],
];
const weightOf = (step: string): number => WEIGHTS.find(([name]) => name.test(step))?.[1] ?? 1;

/**
 * Every analysis that the model and the prompts allow, as one document.
 * @throws HeadscopeError `cancelled`, and what the analyses throw
 */
export async function fullReport(
  engine: Engine,
  { tasks: given, prompts, seed }: FullReportArgs,
  { signal, onProgress }: CallContext<ReportProgress>,
): Promise<ReportDocument> {
  const workbench = engine.workbench();
  const resolved = (items: readonly PromptItem[]) =>
    resolvePromptSet(workbench.tokenizer, { items, lines: items.map((_, i) => i + 1), problems: [] });
  const tasks: Task[] = [];
  const notes: string[] = [];
  for (const { name, origin, items } of given) {
    const set = resolved(items);
    notes.push(...set.problems.map(({ line, message }) => `${origin}, prompt ${line}: ${message}`));
    if (set.prompts.length) tasks.push({ name, origin, prompts: set.prompts });
  }
  // Four steps before the tasks, one at the end; each task is asked, calibrated (the first) and searched for a circuit.
  const expected =
    5 + tasks.length * (1 + weightOf('circuit')) + (tasks.length ? weightOf('calibration') : 0);
  let passed = 0;
  let current = '';
  const tell = (part: number): void =>
    onProgress({ step: current, done: Math.min(0.99, (passed + part * weightOf(current)) / expected) });
  const { document } = await buildReport(
    workbench,
    { tasks, prompts: resolved(prompts).prompts, seed, notes },
    {
      signal,
      onStep(title) {
        if (current) passed += weightOf(current);
        current = title;
        tell(0);
      },
      onProgress: (done, total) => tell(total ? done / total : 0),
    },
  );
  return document;
}
