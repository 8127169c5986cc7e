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

/** Notes that a session is in a file. */
export function markSaved(handle: string, name: string, session: SessionDocument): void {
  sessionName.handle = handle;
  sessionName.name = name;
  sessionName.saved = session;
}

/** A new session: it has no file, and nothing in it that was worth one. */
export function forgetSaved(session: SessionDocument): void {
  sessionName.handle = undefined;
  sessionName.name = undefined;
  sessionName.saved = session;
}

/** A session that came back after a crash: all of it is in no file. */
export function markUnsaved(): void {
  sessionName.saved = null;
}

/** Where one looks, on which device and what the files hash to are no steps. */
const NO_STEPS: ReadonlySet<string> = new Set(['view', 'device', 'checkpoint']);

/** True when the session holds steps that its file does not. */
export function isUnsaved(session: SessionDocument): boolean {
  const { saved } = sessionName;
  if (saved === session) return false;
  if (saved === null) return true;
  return (Object.keys(session) as (keyof SessionDocument)[]).some(
    (key) => !NO_STEPS.has(key) && session[key] !== saved[key],
  );
}

let writing: Promise<void> = Promise.resolve();
let written: SessionDocument | undefined;

/** Writes the session aside now, after what is being written. */
function writeAside(workbench: WorkbenchState): void {
  const { session, checkpoint, shell } = workbench;
  if (!checkpoint || written === session) return;
  written = session;
  writing = writing
    .then(() => shell.autosave(writeSession(session)))
    .catch((error: unknown) => workbench.report(error));
}

/** Called in an effect: writes the session aside soon after each change, one write at a time, so that a crash loses seconds. */
export function followAutosave(workbench: WorkbenchState): () => void {
  const { session, checkpoint } = workbench;
  const name = sessionName.name ?? session.checkpoint?.name;
  workbench.shell.setTitle(
    name ? `${name} – Headscope` : 'Headscope',
    checkpoint !== null && isUnsaved(session),
  );
  if (!checkpoint) return () => undefined;
  const timer = setTimeout(() => writeAside(workbench), QUIET);
  return () => clearTimeout(timer);
}

/** Called once: a window that is hidden or closed writes at once. */
export function followLeaving(workbench: WorkbenchState): void {
  addEventListener('pagehide', () => writeAside(workbench));
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'hidden') writeAside(workbench);
  });
}
