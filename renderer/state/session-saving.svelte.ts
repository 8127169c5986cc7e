import { writeSession } from '../../src/workbench/session/file.ts';
import type { SessionDocument } from '../../src/workbench/session/schema.ts';
import type { WorkbenchState } from './workbench.svelte.ts';

/** Milliseconds of quiet after a change before it is written aside. */
const QUIET = 1500;

/** Where the session is saved, and which state of it. */
class SessionName {
  handle = $state<string | undefined>(undefined);
  name = $state<string | undefined>(undefined);
  saved = $state.raw<SessionDocument | null>(null);
}

export const sessionName = new SessionName();

export function markSaved(
  workbench: WorkbenchState,
  handle: string,
  name: string,
  session: SessionDocument = workbench.session,
): void {
  sessionName.handle = handle;
  sessionName.name = name;
  sessionName.saved = session;
}

/** Called when another checkpoint begins a new session. */
export function forgetSaved(session: SessionDocument): void {
  sessionName.handle = undefined;
  sessionName.name = undefined;
  sessionName.saved = session;
}

/** True when the session holds steps that its file does not. Where one looks is no step. */
export function isUnsaved(session: SessionDocument): boolean {
  const { saved } = sessionName;
  if (saved === session || saved === null) return false;
  return (Object.keys(session) as (keyof SessionDocument)[]).some(
    (key) => key !== 'view' && session[key] !== saved[key],
  );
}

let writing: Promise<void> = Promise.resolve();

/** Called in an effect: writes the session aside soon after each change, one write at a time, so that a crash loses seconds. */
export function followAutosave(workbench: WorkbenchState): () => void {
  const { session, checkpoint } = workbench;
  const name = sessionName.name ?? session.checkpoint?.name;
  workbench.shell.setTitle(name ? `${name} – Headscope` : 'Headscope', isUnsaved(session));
  if (!checkpoint) return () => undefined;
  const timer = setTimeout(() => {
    writing = writing
      .then(() => workbench.shell.autosave(writeSession(session)))
      .catch((error: unknown) => workbench.report(error));
  }, QUIET);
  return () => clearTimeout(timer);
}
