import type { WorkbenchState } from '../state/workbench.svelte.ts';
import type { Action } from './action.ts';
import { editActions } from './edit-actions.ts';
import { fileActions } from './file-actions.ts';
import { headActions } from './head-actions.ts';
import { isTyping, matches } from './keys.ts';
import { reportActions } from './report-export.ts';
import { viewActions } from './view-actions.ts';

/** Everything a person can do that has a name. */
export const ACTIONS: readonly Action[] = [
  ...fileActions,
  ...editActions,
  ...viewActions,
  ...reportActions,
  ...headActions,
];

const BY_ID = new Map(ACTIONS.map((action) => [action.id, action]));

export const available = (workbench: WorkbenchState, action: Action): boolean =>
  action.when?.(workbench) ?? true;

/** Does an action by its id; one that does not apply now does nothing. */
export function act(workbench: WorkbenchState, id: string): void {
  const action = BY_ID.get(id);
  if (!action || !available(workbench, action)) return;
  void (async () => {
    try {
      await action.perform(workbench);
    } catch (error) {
      workbench.report(error);
    }
  })();
}

/** The shortcut that a key press is, if any. */
export function runShortcut(workbench: WorkbenchState, event: KeyboardEvent): void {
  if (event.defaultPrevented) return;
  const typing = isTyping(event.target);
  const action = ACTIONS.find(
    ({ keys }) =>
      keys !== undefined &&
      matches(keys, event) &&
      !(typing && (!keys.includes('CmdOrCtrl') || /\+[ZCVXA]$/i.test(keys))),
  );
  if (!action || !available(workbench, action)) return;
  event.preventDefault();
  act(workbench, action.id);
}
