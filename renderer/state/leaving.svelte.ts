import { save } from '../actions/save-session.ts';
import { isUnsaved } from './session-saving.svelte.ts';
import type { WorkbenchState } from './workbench.svelte.ts';

export type LeavingAnswer = 'save' | 'discard' | 'stay';

/** The question that is asked before a session with unsaved steps gives way to another. */
class Leaving {
  asking = $state.raw<((answer: LeavingAnswer) => void) | null>(null);

  ask(): Promise<LeavingAnswer> {
    this.asking?.('stay');
    return new Promise((resolve) => {
      this.asking = (answer) => {
        this.asking = null;
        resolve(answer);
      };
    });
  }
}

export const leaving = new Leaving();

/** True when the session may be left: it is saved, was saved now, or the person does not want it. */
export async function mayLeave(workbench: WorkbenchState): Promise<boolean> {
  if (!workbench.checkpoint || !isUnsaved(workbench.session)) return true;
  const answer = await leaving.ask();
  if (answer === 'save') return save(workbench, false);
  return answer === 'discard';
}
