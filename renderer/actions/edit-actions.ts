import { headName, type HeadRef } from '../../src/instrument/runner.ts';
import type { EditEntry, EditSpec } from '../../src/workbench/session/schema.ts';
import type { WorkbenchState } from '../state/workbench.svelte.ts';
import type { Action } from './action.ts';

let last = 0;

/** An id that the session does not hold yet. */
export function newId(prefix: string, taken: readonly { readonly id: string }[]): string {
  const used = new Set(taken.map(({ id }) => id));
  do last++;
  while (used.has(`${prefix}${last}`));
  return `${prefix}${last}`;
}

/** What an edit does, in words. */
export function editText(spec: EditSpec, promptLabel: (id: string) => string = (id) => id): string {
  switch (spec.kind) {
    case 'ablate':
      return `Ablate ${headName(spec.head)} (${spec.mode})${where(spec)}`;
    case 'scale':
      return `Scale ${headName(spec.head)} × ${spec.factor}${where(spec)}`;
    case 'patch':
      return `Patch ${headName(spec.head)} from ${promptLabel(spec.from)}${where(spec)}`;
    case 'act':
      return `ACT on ${headList(spec.heads)}, β ${spec.beta}`;
    case 'var':
      return `VAR on ${headList(spec.heads)}, p ${spec.p}`;
  }
}

const where = ({ positions }: { readonly positions?: readonly number[] }): string =>
  positions ? ` at ${positionsText(positions)}` : '';

/** "3, 5–7" */
export function positionsText(positions: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const position of [...positions].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last && position <= last[1] + 1) last[1] = position;
    else runs.push([position, position]);
  }
  return runs.map(([start, end]) => (start === end ? String(start) : `${start}–${end}`)).join(', ');
}

function headList(heads: readonly HeadRef[]): string {
  if (heads.length <= 3) return heads.map(headName).join(', ') || 'no head';
  return `${heads.length} heads`;
}

/** Adds edits as one step; an edit of the same kind on the same head is replaced. */
export function addEdits(workbench: WorkbenchState, specs: readonly EditSpec[]): void {
  if (specs.length === 0) return;
  const key = (spec: EditSpec): string =>
    spec.kind === 'act' || spec.kind === 'var' ? spec.kind : `z ${headName(spec.head)}`;
  const replaced = new Set(specs.map(key));
  const labelOf = (id: string): string =>
    workbench.session.prompts.find((each) => each.id === id)?.label ?? id;
  const first = editText(specs[0], labelOf);
  const label = specs.length === 1 ? first : `${first} and ${specs.length - 1} more`;
  workbench.change(label, ({ edits }) => {
    const kept = edits.filter(({ spec }) => !replaced.has(key(spec)));
    const added: { id: string; on: boolean; spec: EditSpec }[] = [];
    for (const spec of specs) added.push({ id: newId('e', [...edits, ...added]), on: true, spec });
    return { edits: [...kept, ...added] };
  });
}

/** Changes what an edit does; steps with the same `merge` become one. */
export function changeEdit(
  workbench: WorkbenchState,
  { id, spec }: EditEntry,
  part: Partial<EditSpec>,
  merge?: string,
): void {
  const next = { ...spec, ...part } as EditSpec;
  workbench.change(
    `Change: ${editText(next)}`,
    ({ edits }) => ({ edits: edits.map((each) => (each.id === id ? { ...each, spec: next } : each)) }),
    merge,
  );
}

export function switchEdit(
  workbench: WorkbenchState,
  { id, spec }: EditEntry,
  on: boolean,
  promptLabel: (id: string) => string,
): void {
  workbench.change(`${on ? 'Switch on' : 'Switch off'}: ${editText(spec, promptLabel)}`, ({ edits }) => ({
    edits: edits.map((each) => (each.id === id ? { ...each, on } : each)),
  }));
}

export function removeEdit(
  workbench: WorkbenchState,
  { id, spec }: EditEntry,
  promptLabel: (id: string) => string,
): void {
  workbench.change(`Remove: ${editText(spec, promptLabel)}`, ({ edits }) => ({
    edits: edits.filter((each) => each.id !== id),
  }));
}

export const editActions: readonly Action[] = [
  {
    id: 'edit.undo',
    label: ({ undoLabel }) => (undoLabel ? `Undo: ${undoLabel}` : 'Undo'),
    group: 'Edit',
    keys: 'CmdOrCtrl+Z',
    when: ({ undoLabel }) => undoLabel !== undefined,
    perform: (workbench) => workbench.undo(),
  },
  {
    id: 'edit.redo',
    label: ({ redoLabel }) => (redoLabel ? `Redo: ${redoLabel}` : 'Redo'),
    group: 'Edit',
    keys: 'CmdOrCtrl+Shift+Z',
    when: ({ redoLabel }) => redoLabel !== undefined,
    perform: (workbench) => workbench.redo(),
  },
  {
    id: 'edit.remove-all',
    label: 'Remove all edits',
    group: 'Edit',
    when: ({ session }) => session.edits.length > 0,
    perform: (workbench) => workbench.change('Remove all edits', () => ({ edits: [] })),
  },
  {
    id: 'analyse.cancel',
    label: 'Cancel what is running',
    group: 'Analyse',
    keys: 'CmdOrCtrl+.',
    when: ({ jobs }) => jobs.running.length > 0,
    perform: ({ jobs }) => jobs.cancelAll(),
  },
];
