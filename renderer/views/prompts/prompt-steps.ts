import { asList } from '../../../src/text/prompt-set.ts';
import type { SetRow } from '../../../src/workbench/engine/commands/prompts.ts';
import type { PromptEntry, PromptSetEntry, SessionDocument } from '../../../src/workbench/session/schema.ts';
import { newId } from '../../actions/edit-actions.ts';
import type { WorkbenchState } from '../../state/workbench.svelte.ts';

/** Changes one prompt. */
export function setPrompt(
  workbench: WorkbenchState,
  id: string,
  label: string,
  part: Partial<PromptEntry>,
): void {
  workbench.change(label, ({ prompts }) => ({
    prompts: prompts.map((prompt) => (prompt.id === id ? { ...prompt, ...part } : prompt)),
  }));
}

/** Gives a prompt another text for the encoder to read. */
export const setSource = (workbench: WorkbenchState, { id, label }: PromptEntry, source: string): void =>
  setPrompt(workbench, id, `Change the source of “${label}”`, { source });

/** Gives a prompt another text; a focus span that fits the new tokens stays. */
export async function setText(workbench: WorkbenchState, prompt: PromptEntry, text: string): Promise<void> {
  const length = await workbench.runs.encoding({ ...prompt, text }).then(
    ({ ids }) => ids.length,
    () => 0,
  );
  const focus = prompt.focus && prompt.focus[1] <= length ? prompt.focus : undefined;
  setPrompt(workbench, prompt.id, `Change the text of “${prompt.label}”`, { text, focus });
}

const freeLabel = (prompts: readonly PromptEntry[], wish: string): string => {
  const taken = new Set(prompts.map(({ label }) => label));
  let label = wish;
  for (let n = 2; taken.has(label); n++) label = `${wish} ${n}`;
  return label;
};

/** What a prompt brings besides its text: others take it over. */
function broughtBy(prompt: PromptEntry | undefined): Pick<PromptEntry, 'source' | 'inputs'> {
  const { source, inputs } = prompt ?? {};
  return { ...(source !== undefined && { source }), ...(inputs && { inputs }) };
}

/** Adds an empty prompt and looks at it. @returns its id */
export function addPrompt(workbench: WorkbenchState): string {
  const id = newId('p', workbench.session.prompts);
  const label = workbench.checkpoint?.positions == null ? 'prompt' : 'input';
  workbench.change('Add a prompt', ({ prompts, active }) => ({
    prompts: [
      ...prompts,
      {
        id,
        text: '',
        label: freeLabel(prompts, label),
        answers: [],
        distractors: [],
        ...broughtBy(prompts.find((prompt) => prompt.id === active)),
      },
    ],
    active: id,
  }));
  return id;
}

/** Adds a copy of a prompt beneath it. */
export function duplicatePrompt(workbench: WorkbenchState, original: PromptEntry): void {
  workbench.change(`Duplicate “${original.label}”`, ({ prompts, active, compare }) => {
    const id = newId('p', prompts);
    const copy = { ...original, id, label: freeLabel(prompts, `${original.label} copy`) };
    const at = prompts.findIndex((prompt) => prompt.id === original.id) + 1;
    return {
      prompts: [...prompts.slice(0, at), copy, ...prompts.slice(at)],
      compare: compare ?? (active === original.id ? id : null),
    };
  });
}

/** Removes a prompt, and the edits that patch from it. */
export function removePrompt(workbench: WorkbenchState, { id, label }: PromptEntry): void {
  workbench.change(`Remove “${label}”`, ({ prompts, active, compare, edits }) => {
    const kept = prompts.filter((prompt) => prompt.id !== id);
    const next = active === id ? (kept.find((prompt) => prompt.id === compare) ?? kept[0])?.id : active;
    return {
      prompts: kept,
      active: next ?? null,
      compare: compare === id || compare === next ? null : compare,
      edits: edits.filter(({ spec }) => !(spec.kind === 'patch' && spec.from === id)),
    };
  });
}

/** The prompt that everything shows; the one that was shown before takes its place when it was compared with. */
export function lookAt(workbench: WorkbenchState, prompt: PromptEntry): void {
  workbench.change(
    `Look at “${prompt.label}”`,
    ({ active, compare }) => ({ active: prompt.id, compare: compare === prompt.id ? active : compare }),
    'active-prompt',
  );
}

export function compareWith(workbench: WorkbenchState, prompt: PromptEntry, on: boolean): void {
  workbench.change(on ? `Compare with “${prompt.label}”` : 'Compare with no prompt', () => ({
    compare: on ? prompt.id : null,
  }));
}

export const keepSet =
  (set: PromptSetEntry) =>
  ({ sets }: SessionDocument): PromptSetEntry[] =>
    sets.some(({ name, origin }) => name === set.name && origin === set.origin)
      ? sets
      : [...sets, { ...set, id: newId('s', sets) }];

/**
 * Puts a line of a prompt set into the panel: in place of the prompts that are looked at, or beside all of them. The set becomes part of the
 * session.
 */
export function usePrompt(
  workbench: WorkbenchState,
  set: PromptSetEntry,
  row: SetRow,
  beside: boolean,
): void {
  const { item, line } = row;
  const targets = {
    answers: item.answer === undefined ? [...row.answers] : [...asList(item.answer)],
    distractors: item.distractor === undefined ? [...row.distractors] : [...asList(item.distractor)],
  };
  const name = `${set.name} ${line}`;
  const pair = item.corrupt !== undefined;
  workbench.change(`Use prompt ${line} of ${set.name}`, (session) => {
    const { active, compare } = session;
    const prompts = [...session.prompts];
    const put = (place: string | null, part: Omit<PromptEntry, 'id'>): string => {
      const at = beside ? -1 : prompts.findIndex(({ id }) => id === place);
      const id = at < 0 ? newId('p', prompts) : prompts[at].id;
      const brought = broughtBy(prompts[at] ?? prompts.find((prompt) => prompt.id === active));
      if (at < 0) prompts.push({ id, ...brought, ...part });
      else prompts[at] = { id, ...brought, ...part };
      return id;
    };
    const focus = item.focus && { focus: [item.focus[0], item.focus[1]] as [number, number] };
    const clean = put(active, {
      text: item.prompt,
      label: pair ? `${name}, clean` : name,
      ...targets,
      ...focus,
    });
    const corrupt = pair
      ? put(compare, { text: item.corrupt, label: `${name}, corrupt`, ...targets })
      : compare;
    return {
      prompts,
      active: clean,
      compare: corrupt === clean ? null : corrupt,
      sets: keepSet(set)(session),
    };
  });
}
