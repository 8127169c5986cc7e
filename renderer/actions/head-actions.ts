import { headName, type HeadRef } from '../../src/instrument/runner.ts';
import type { WorkbenchState } from '../state/workbench.svelte.ts';
import type { Action } from './action.ts';
import { addEdits } from './edit-actions.ts';

/** What can be done to heads from any view: context menu, key, palette. */
export interface HeadAction {
  readonly id: string;
  readonly label: (what: string, workbench: WorkbenchState) => string;
  readonly keys?: string;
  readonly when?: (workbench: WorkbenchState) => boolean;
  readonly perform: (workbench: WorkbenchState, heads: readonly HeadRef[]) => void;
}

/** "L3H5", "4 heads" */
export const headsText = (heads: readonly HeadRef[]): string =>
  heads.length === 1 ? headName(heads[0]) : `${heads.length} heads`;

const other = (workbench: WorkbenchState) => {
  const { session } = workbench;
  const prompts = session.prompts.filter(({ id }) => id !== session.active);
  return prompts.find(({ id }) => id === session.compare) ?? prompts[0];
};

export const HEAD_ACTIONS: readonly HeadAction[] = [
  {
    id: 'head.open',
    label: (what) => `Open the pattern of ${what}`,
    keys: 'Enter',
    perform: (workbench, heads) => workbench.look({ page: 'heads', head: heads[0] }),
  },
  {
    id: 'head.ablate-zero',
    label: (what) => `Zero-ablate ${what}`,
    keys: 'Z',
    perform: (workbench, heads) =>
      addEdits(
        workbench,
        heads.map((head) => ({ kind: 'ablate', head, mode: 'zero' })),
      ),
  },
  {
    id: 'head.ablate-mean',
    label: (what) => `Mean-ablate ${what}`,
    keys: 'M',
    perform: (workbench, heads) =>
      addEdits(
        workbench,
        heads.map((head) => ({ kind: 'ablate', head, mode: 'mean' })),
      ),
  },
  {
    id: 'head.patch',
    label: (what, workbench) => `Patch ${what} from “${other(workbench)?.label ?? 'another prompt'}”`,
    keys: 'P',
    when: (workbench) => other(workbench) !== undefined,
    perform: (workbench, heads) => {
      const from = other(workbench);
      if (from)
        addEdits(
          workbench,
          heads.map((head) => ({ kind: 'patch', head, from: from.id })),
        );
    },
  },
  {
    id: 'head.double',
    label: (what) => `Scale ${what} × 2`,
    perform: (workbench, heads) =>
      addEdits(
        workbench,
        heads.map((head) => ({ kind: 'scale', head, factor: 2 })),
      ),
  },
  {
    id: 'head.restore',
    label: (what) => `Remove the edits of ${what}`,
    keys: 'R',
    when: ({ session }) => session.edits.length > 0,
    perform: (workbench, heads) => {
      const chosen = new Set(heads.map(headName));
      workbench.change(`Remove the edits of ${headsText(heads)}`, ({ edits }) => ({
        edits: edits.filter(
          ({ spec }) => spec.kind === 'act' || spec.kind === 'var' || !chosen.has(headName(spec.head)),
        ),
      }));
    },
  },
];

/** The same for the head that is open, from the palette. */
export const headActions: readonly Action[] = HEAD_ACTIONS.filter(({ id }) => id !== 'head.open').map(
  (action) => ({
    id: action.id,
    label: (workbench) => action.label(headName(workbench.session.view.head!), workbench),
    group: 'Head',
    when: (workbench) => workbench.session.view.head !== null && (action.when?.(workbench) ?? true),
    perform: (workbench) => action.perform(workbench, [workbench.session.view.head!]),
  }),
);
