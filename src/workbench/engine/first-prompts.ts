import type { Workbench } from '../open-checkpoint.ts';
import { bundledTasks, generatedTasks, type Task } from '../tasks.ts';

/** A prompt that an opened checkpoint begins with. */
export interface FirstPrompt {
  readonly text: string;
  readonly label: string;
  /** One token each, as text; empty where none is known. */
  readonly answers: string[];
  readonly distractors: string[];
  /** What an encoder reads beside it. */
  readonly source?: string;
}

function fromTask({ name, prompts }: Task, { tokenizer }: Workbench): FirstPrompt[] {
  const chosen = prompts.find(({ item }) => item.corrupt !== undefined) ?? prompts[0];
  const { item } = chosen;
  const texts = (ids: readonly number[]): string[] => ids.map((id) => tokenizer.token(id));
  const clean = { text: item.prompt, answers: texts(chosen.answers), distractors: texts(chosen.distractors) };
  if (item.corrupt === undefined) return [{ ...clean, label: name }];
  return [
    { ...clean, label: `${name}, clean` },
    { ...clean, text: item.corrupt, label: `${name}, corrupt` },
  ];
}

/** A prompt of the checkpoint's first task with its corrupt counterpart, so that there is something to look at at once. */
export async function firstPrompts(workbench: Workbench): Promise<FirstPrompt[]> {
  const { tasks } = await bundledTasks(workbench);
  const [task] = tasks.length > 0 ? tasks : generatedTasks(workbench, 0).tasks;
  if (task) return fromTask(task, workbench);
  const { tokenizer } = workbench;
  const ids = Array.from({ length: 8 }, (_, i) => ((i + 1) * 7919) % Math.min(tokenizer.vocabSize, 50_000));
  const text = tokenizer.kind === 'token-ids' ? ids.join(' ') : 'The cat sat on the mat. The cat';
  return [{ text, label: 'first', answers: [], distractors: [] }];
}
