import type { CircuitJobProgress, CircuitJobSettings } from '../../../analysis/circuits/job.ts';
import { HeadscopeError } from '../../../errors.ts';
import type { PromptItem } from '../../../text/prompt-set.ts';
import { resolvePromptSet, type ResolvedPrompt } from '../../../text/resolve.ts';
import { generateTask } from '../../../text/tasks/generate.ts';
import type { TaskKind } from '../../../text/tasks/template.ts';
import { circuitFindings, type CircuitFindings, type KnownCircuit } from '../../circuit-findings.ts';
import { circuitPrompts, runCircuit } from '../../circuit-job.ts';
import { circuitTruth, taskAccuracy } from '../../tasks.ts';
import type { Engine, EngineWorkbench } from '../engine.ts';
import type { CallContext } from '../rpc.ts';

export type { CircuitFindings, KnownCircuit };

/** Prompts that a circuit is looked for in. */
export interface CircuitTask {
  readonly name: string;
  /** "tasks/ioi.jsonl", "generated, seed 0", "typed". */
  readonly origin: string;
  readonly items: readonly PromptItem[];
}

/** What can be said of a task before anything is trained. */
export interface TaskFacts {
  readonly positives: number;
  readonly negatives: number;
  readonly paired: boolean;
  /** Pairs whose prompts have the same number of tokens: only then heads can be patched. */
  readonly aligned: boolean;
  /** Share of the prompts with answers that the model answers right; null when there are none. */
  readonly accuracy: number | null;
  /** What a causal check would measure; null when the prompts come without pairs. */
  readonly metric: string | null;
  /** A circuit file beside the checkpoint names the task's heads. */
  readonly truth: boolean;
  /** Lines that cannot be used, each with why. */
  readonly problems: readonly string[];
}

/** Prompts of a known task in the checkpoint's own vocabulary. @throws HeadscopeError `task-words-missing`, `bad-count` */
export function generatedItems(
  engine: Engine,
  { task, count, seed }: { readonly task: TaskKind; readonly count: number; readonly seed: number },
): Promise<PromptItem[]> {
  return Promise.resolve().then(() => generateTask(task, engine.workbench().tokenizer, count, seed));
}

/** The prompts that the model can take, and sentences on the others. */
function usable(
  { tokenizer, checkpoint }: EngineWorkbench,
  { items }: CircuitTask,
): { prompts: ResolvedPrompt[]; problems: string[] } {
  const set = resolvePromptSet(tokenizer, { items, lines: items.map((_, i) => i + 1), problems: [] });
  const problems = set.problems.map(({ line, message }) => `Prompt ${line}: ${message}`);
  const most = checkpoint.anatomy.context ?? Infinity;
  const prompts = set.prompts.filter(
    ({ ids, corruptIds }) => Math.max(ids.length, corruptIds?.length ?? 0) <= most,
  );
  const long = set.prompts.length - prompts.length;
  if (long > 0)
    problems.push(
      `${long} of the prompts ${long === 1 ? 'is' : 'are'} longer than the model’s ${most} tokens.`,
    );
  return { prompts, problems };
}

async function accuracyOf(
  workbench: EngineWorkbench,
  { name, origin }: CircuitTask,
  prompts: readonly ResolvedPrompt[],
  signal: AbortSignal,
): Promise<number | null> {
  const asked = prompts.filter(({ answers }) => answers.length > 0);
  if (asked.length === 0 || workbench.runner.shape.vocab === 0) return null;
  return taskAccuracy(workbench, { name, origin, prompts: asked }, { signal });
}

/** The known circuit of a task from the file beside the checkpoint; a file that cannot be read is a sentence, and no reason to stop. */
async function knownCircuit(
  workbench: EngineWorkbench,
  { name }: CircuitTask,
): Promise<{ truth?: KnownCircuit; problem?: string }> {
  try {
    const truth = await circuitTruth(workbench, name);
    return truth ? { truth: { origin: 'circuit.json', belongs: Object.fromEntries(truth) } } : {};
  } catch (error) {
    if (error instanceof HeadscopeError) return { problem: error.message };
    throw error;
  }
}

/**
 * How many prompts a task has, and whether the model can do it at all.
 * @throws HeadscopeError `no-negatives`, and what `Runner.run` throws
 */
export async function taskFacts(
  engine: Engine,
  task: CircuitTask,
  { signal }: CallContext,
): Promise<TaskFacts> {
  const workbench = engine.workbench();
  const { prompts, problems } = usable(workbench, task);
  const { positives, negatives, paired, metric } = circuitPrompts(prompts);
  const { truth, problem } = await knownCircuit(workbench, task);
  return {
    positives: positives.length,
    negatives: negatives.length,
    paired,
    aligned: paired && positives.every((ids, i) => ids.length === negatives[i].length),
    accuracy: await accuracyOf(workbench, task, prompts, signal),
    metric: paired ? metric : null,
    truth: truth !== undefined,
    problems: problem === undefined ? problems : [...problems, problem],
  };
}

/** The metric follows from the prompts, and a known circuit is compared with afterwards. */
export type CircuitSearchSettings = Omit<CircuitJobSettings, 'truth' | 'metric'>;

/**
 * Finds the circuit of a task and, when asked, checks it causally.
 * @throws HeadscopeError `no-negatives`, `no-prompts`, `bad-setting`, `cancelled`, and what `runCircuit` throws
 */
export async function findCircuit(
  engine: Engine,
  { task, settings }: { readonly task: CircuitTask; readonly settings: CircuitSearchSettings },
  { signal, onProgress }: CallContext<CircuitJobProgress>,
): Promise<CircuitFindings> {
  const workbench = engine.workbench();
  const { prompts } = usable(workbench, task);
  const { paired } = circuitPrompts(prompts);
  const accuracy = await accuracyOf(workbench, task, prompts, signal);
  const { truth } = await knownCircuit(workbench, task);
  const outcome = await runCircuit(workbench, prompts, settings, { signal, onProgress });
  const used = paired ? prompts.filter(({ corruptIds }) => corruptIds !== undefined) : prompts;
  const texts = (side: 'positive' | 'negative'): string[] =>
    paired
      ? used.map(({ item }) => (side === 'positive' ? item.prompt : (item.corrupt ?? '')))
      : used.flatMap(({ item }) => (item.label === side ? [item.prompt] : []));
  return circuitFindings(
    {
      name: task.name,
      origin: task.origin,
      accuracy,
      paired,
      positives: texts('positive'),
      negatives: texts('negative'),
    },
    outcome,
    truth,
  );
}
