import { headName, type HeadRef } from '../../src/instrument/runner.ts';
import type { EditSpec } from '../../src/workbench/session/schema.ts';
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
      return `Ablate ${headName(spec.head)} (${spec.mode})`;
    case 'scale':
      return `Scale ${headName(spec.head)} × ${spec.factor}`;
    case 'patch':
      return `Patch ${headName(spec.head)} from ${promptLabel(spec.from)}`;
    case 'act':
      return `ACT on ${headList(spec.heads)}, β ${spec.beta}`;
    case 'var':
      return `VAR on ${headList(spec.heads)}, p ${spec.p}`;
  }
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
  const label =
    specs.length === 1 ? editText(specs[0]) : `${editText(specs[0])} and ${specs.length - 1} more`;
  workbench.change(label, ({ edits }) => {
    const kept = edits.filter(({ spec }) => !replaced.has(key(spec)));
    const added: { id: string; on: boolean; spec: EditSpec }[] = [];
    for (const spec of specs) added.push({ id: newId('e', [...edits, ...added]), on: true, spec });
    return { edits: [...kept, ...added] };
  });
}

export const editActions: readonly Action[] = [
  {
    id: 'edit.undo',
    label: 'Undo',
    group: 'Edit',
    keys: 'CmdOrCtrl+Z',
    when: ({ undoLabel }) => undoLabel !== undefined,
    perform: (workbench) => workbench.undo(),
  },
  {
    id: 'edit.redo',
    label: 'Redo',
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
