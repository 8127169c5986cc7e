import path from 'node:path';
import type { GivenInputs } from '../../instrument/given.ts';
import type { ReportDocument } from '../../report/index.ts';
import type { CallContext } from '../engine/rpc.ts';
import { readPromptFile } from '../prompt-file.ts';
import { buildReport } from '../report/build-report.ts';
import { reportTasks } from '../report/report-tasks.ts';
import { taskAccuracy } from '../tasks.ts';
import { chooseDevice, openWorkbench, type WorkbenchOnDisk } from '../workbench.ts';
import { factsOf, type ItemFacts } from './facts.ts';

/** What a worker needs to make one item; plain data. */
export interface ItemJob {
  readonly checkpoint: string;
  readonly prompts?: string;
  readonly device: string;
  readonly threads?: number;
  readonly seed: number;
  readonly chat: boolean;
  readonly source?: string;
  readonly inputs: GivenInputs;
}

export interface ItemProgress {
  /** The part of the report that is being made. */
  readonly step: string;
  readonly done: number;
  readonly total: number;
}

export interface ItemAnswer {
  readonly document: ReportDocument;
  readonly facts: ItemFacts;
  readonly notes: readonly string[];
}

/** The worker's state: the checkpoint of the last item stays open for the next, which is often of the same. */
export class BatchWorker {
  private open?: { readonly key: string; readonly workbench: WorkbenchOnDisk };

  async workbench(job: ItemJob): Promise<WorkbenchOnDisk> {
    const { checkpoint, device, threads, source, inputs } = job;
    const key = JSON.stringify([checkpoint, device, threads, source, Object.keys(inputs)]);
    if (this.open?.key === key) return this.open.workbench;
    await this.close();
    const workbench = await openWorkbench(checkpoint, await chooseDevice(device, threads), {
      inputs,
      source,
    });
    this.open = { key, workbench };
    return workbench;
  }

  async close(): Promise<void> {
    const before = this.open;
    this.open = undefined;
    await before?.workbench.close();
  }
}

/**
 * Makes one item's report.
 * @throws HeadscopeError whatever opening, reading prompts and the analyses throw
 */
async function item(
  worker: BatchWorker,
  job: ItemJob,
  { signal, onProgress }: CallContext<ItemProgress>,
): Promise<ItemAnswer> {
  let step = 'opening';
  const tell = (done: number, total: number): void => onProgress({ step, done, total });
  tell(0, 1);
  try {
    const workbench = await worker.workbench(job);
    const set =
      job.prompts === undefined ? undefined : await readPromptFile(job.prompts, workbench, job.chat);
    const given = set
      ? [
          {
            name: taskName(job.prompts as string),
            prompts: set.prompts,
            origin: path.basename(job.prompts as string),
          },
        ]
      : [];
    const { tasks, problems } = await reportTasks(workbench, given, job.seed);
    const { document } = await buildReport(
      workbench,
      { tasks, prompts: set?.prompts ?? [], seed: job.seed, notes: problems },
      {
        signal,
        onStep(title) {
          step = title;
          tell(0, 1);
        },
        onProgress: tell,
      },
    );
    const prompts = tasks.flatMap((task) => task.prompts);
    const answered = prompts.filter(({ answers }) => answers.length > 0);
    const accuracy =
      answered.length && workbench.opened.runner.shape.vocab > 0
        ? await taskAccuracy(workbench, { name: '', origin: '', prompts: answered }, { signal })
        : null;
    const { blocks } = workbench.checkpoint.anatomy;
    const heads = blocks.reduce((sum, block) => sum + block.heads, 0);
    return {
      document,
      facts: factsOf(document, { layers: blocks.length, heads, prompts: prompts.length, accuracy }),
      notes: [
        ...workbench.notes,
        ...(set?.problems ?? []).map(({ line, message }) => `line ${line} was left out: ${message}`),
      ],
    };
  } catch (error) {
    await worker.close().catch(() => undefined); // a session that failed may not be fit for the next item
    throw error;
  }
}

/** A name that a report's section can be called by. */
function taskName(file: string): string {
  return path.basename(file).replace(/\.jsonl?$/i, '');
}

/** What the worker's process answers. */
export const batchCommands = { item };
