import { HeadscopeError } from '../errors.ts';
import type { RunOptions } from '../instrument/runner.ts';
import { parsePromptSet, type PromptItem } from '../text/prompt-set.ts';
import { resolvePromptSet, type ResolvedPrompt } from '../text/resolve.ts';
import { generateTask, taskKinds } from '../text/tasks/generate.ts';
import type { Workbench } from './workbench.ts';

/** A set of prompts to analyse a model with. */
export interface Task {
  readonly name: string;
  readonly prompts: readonly ResolvedPrompt[];
  /** Where it comes from, for the report. */
  readonly origin: string;
}

const MAX_SET_BYTES = 64 * 1024 * 1024;

async function readText(workbench: Workbench, name: string): Promise<string | undefined> {
  if (!(await workbench.folder.list()).includes(name)) return undefined;
  const source = await workbench.folder.open(name);
  if (source.size > MAX_SET_BYTES)
    throw new HeadscopeError('bad-prompts', `${name} is larger than 64 MB, which is no prompt set.`);
  return new TextDecoder().decode(await source.read(0, source.size));
}

/** The order of tasks in a report: the best known first. */
const ORDER = ['ioi', 'greater-than', 'docstring', 'induction'];
const rank = (name: string): number => (ORDER.indexOf(name) + ORDER.length + 1) % (ORDER.length + 1);

/** The prompt sets that lie beside a checkpoint, in tasks/*.jsonl. Lines that cannot be used are returned as problems. */
export async function bundledTasks(workbench: Workbench): Promise<{ tasks: Task[]; problems: string[] }> {
  const tasks: Task[] = [];
  const problems: string[] = [];
  for (const name of (await workbench.folder.list()).filter((file) => /^tasks\/[^/]+\.jsonl$/.test(file))) {
    const set = resolvePromptSet(
      workbench.tokenizer,
      parsePromptSet((await readText(workbench, name)) ?? ''),
    );
    problems.push(...set.problems.map(({ line, message }) => `${name}:${line}: ${message}`));
    if (set.prompts.length)
      tasks.push({ name: name.slice('tasks/'.length, -'.jsonl'.length), prompts: set.prompts, origin: name });
  }
  tasks.sort((a, b) => rank(a.name) - rank(b.name));
  return { tasks, problems };
}

/** Prompts per generated task: enough for a head search and a circuit, quick on a CPU. */
const GENERATED = 32;

/**
 * Tasks written in the model's own vocabulary. Those that the tokenizer has no words for are left out, and named.
 */
export function generatedTasks(workbench: Workbench, seed: number): { tasks: Task[]; problems: string[] } {
  const tasks: Task[] = [];
  const problems: string[] = [];
  if (workbench.opened.positions !== undefined) return { tasks, problems }; // it reads no text
  for (const kind of taskKinds) {
    try {
      const items: PromptItem[] = generateTask(kind, workbench.tokenizer, GENERATED, seed);
      const prompts = resolvePromptSet(workbench.tokenizer, {
        items,
        lines: items.map((_, i) => i + 1),
        problems: [],
      }).prompts;
      const context = workbench.checkpoint.anatomy.context ?? Infinity;
      const fitting = prompts.filter(
        (prompt) => prompt.ids.length <= context && (prompt.corruptIds?.length ?? 0) <= context,
      );
      if (fitting.length < prompts.length)
        problems.push(
          `${kind}: ${prompts.length - fitting.length} generated prompts are longer than the model's context.`,
        );
      if (fitting.length) tasks.push({ name: kind, prompts: fitting, origin: `generated, seed ${seed}` });
    } catch (error) {
      if (!(error instanceof HeadscopeError)) throw error;
      problems.push(`${kind}: ${error.message}`);
    }
  }
  return { tasks, problems };
}

/** The truth that a folder's circuit.json holds for a task: heads in the circuit, by "layer/head". */
export async function circuitTruth(
  workbench: Workbench,
  task: string,
): Promise<ReadonlyMap<string, boolean> | undefined> {
  const text = await readText(workbench, 'circuit.json');
  return text === undefined ? undefined : parseTruth(text, task);
}

/**
 * Reads `heads` with `in_circuit` out of a circuit file, of one task when the file has several.
 * @throws HeadscopeError `bad-truth`
 */
export function parseTruth(text: string, task: string | undefined): ReadonlyMap<string, boolean> | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new HeadscopeError('bad-truth', 'The circuit file is no JSON.', 2, { cause });
  }
  const { heads: ofAll, tasks } = fieldsOf(parsed);
  const named = fieldsOf(
    task === undefined ? undefined : (fieldsOf(tasks)[task] ?? fieldsOf(tasks)[task.replaceAll('-', '_')]),
  );
  const heads = named.heads ?? (tasks ? undefined : ofAll);
  if (!Array.isArray(heads)) return undefined;
  const truth = new Map<string, boolean>();
  for (const entry of heads as unknown[]) {
    const { layer, head, in_circuit: belongs } = fieldsOf(entry);
    if (typeof layer !== 'number' || typeof head !== 'number' || typeof belongs !== 'boolean')
      return undefined;
    truth.set(`${layer}/${head}`, belongs);
  }
  return truth;
}

/** What an object of a file holds; nothing when it is none. */
const fieldsOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};

/** Share of a task's prompts that the model answers right at the last position. */
export async function taskAccuracy(workbench: Workbench, task: Task, options: RunOptions): Promise<number> {
  let right = 0;
  let asked = 0;
  await workbench.opened.runner.run(
    { rows: task.prompts.map(({ ids }) => ({ ids })), logits: 'last' },
    (row) => {
      const { answers } = task.prompts[row.index];
      if (answers.length === 0) return;
      asked++;
      let best = 0;
      for (let id = 1; id < row.logits.length; id++) if (row.logits[id] > row.logits[best]) best = id;
      if (answers.includes(best)) right++;
    },
    options,
  );
  return asked ? right / asked : NaN;
}
