import { writeSession } from '../../src/workbench/session/file.ts';
import { markSaved, sessionName } from '../state/session-saving.svelte.ts';
import type { WorkbenchState } from '../state/workbench.svelte.ts';

/** Saves the session. @param ask where, even when it has a place. @returns false when the person changed their mind */
export async function save(workbench: WorkbenchState, ask: boolean): Promise<boolean> {
  const { session, shell } = workbench;
  const saved = await shell.saveSession(
    ask ? undefined : sessionName.handle,
    sessionName.name ?? `${session.checkpoint?.name ?? 'session'}.headscope`,
    writeSession(session),
  );
  if (!saved) return false;
  markSaved(saved.handle, saved.name, session);
  return true;
}
