import type { CheckpointSource } from '../../src/workbench/engine/source.ts';
import { readSession } from '../../src/workbench/session/file.ts';
import type { SessionDocument } from '../../src/workbench/session/schema.ts';
import type { SessionFile } from '../shell/shell.ts';
import { mayLeave } from '../state/leaving.svelte.ts';
import { checkHashes } from '../state/model-hash.ts';
import { markSaved, markUnsaved } from '../state/session-saving.svelte.ts';
import type { WorkbenchState } from '../state/workbench.svelte.ts';
import type { Action } from './action.ts';
import { save } from './save-session.ts';

/** The checkpoint of a session: found again by the shell, or asked for; null when the person changed their mind. */
async function checkpointOf(
  workbench: WorkbenchState,
  session: SessionDocument,
): Promise<CheckpointSource | null> {
  const { shell } = workbench;
  const { checkpoint } = session;
  const found = checkpoint?.reference === undefined ? null : await shell.reopen(checkpoint.reference);
  if (found) return found;
  workbench.notify(
    'info',
    `Choose the checkpoint “${checkpoint?.name ?? ''}” that this session was made with.`,
  );
  return shell.openCheckpoint('folder');
}

async function goOnWith(workbench: WorkbenchState, session: SessionDocument): Promise<boolean> {
  const source = await checkpointOf(workbench, session);
  if (!source || !(await workbench.open(source, session))) return false;
  if (session.checkpoint?.hashes)
    void checkHashes(workbench, session.checkpoint.hashes).catch((error: unknown) => workbench.report(error));
  return true;
}

/** Opens a session file: its checkpoint is found again, or asked for. What is open stays when the file cannot be read. */
export async function openSession(workbench: WorkbenchState, file: SessionFile): Promise<void> {
  const session = readSession(file.text);
  if (!(await mayLeave(workbench))) return;
  if (await goOnWith(workbench, session)) markSaved(file.handle, file.name, workbench.session);
}

/** Goes on with a session that was written aside; it is in no file of the person's yet. */
export async function recoverSession(workbench: WorkbenchState, text: string): Promise<void> {
  if (await goOnWith(workbench, readSession(text))) markUnsaved();
}

/** Opens a checkpoint with a new session. */
export async function openCheckpoint(workbench: WorkbenchState, source: CheckpointSource): Promise<void> {
  if (await mayLeave(workbench)) await workbench.open(source);
}

async function chooseCheckpoint(workbench: WorkbenchState, what: 'folder' | 'file'): Promise<void> {
  const source = await workbench.shell.openCheckpoint(what);
  if (source) await openCheckpoint(workbench, source);
}

const opened = ({ checkpoint }: WorkbenchState): boolean => checkpoint !== null;

export const fileActions: readonly Action[] = [
  {
    id: 'file.open',
    label: 'Open the folder of a checkpoint…',
    group: 'File',
    keys: 'CmdOrCtrl+O',
    perform: (workbench) => chooseCheckpoint(workbench, 'folder'),
  },
  {
    id: 'file.open-file',
    label: 'Open an .onnx file…',
    group: 'File',
    keys: 'CmdOrCtrl+Alt+O',
    perform: (workbench) => chooseCheckpoint(workbench, 'file'),
  },
  {
    id: 'file.open-session',
    label: 'Open a session…',
    group: 'File',
    keys: 'CmdOrCtrl+Shift+O',
    perform: async (workbench) => {
      const file = await workbench.shell.openSession();
      if (file) await openSession(workbench, file);
    },
  },
  {
    id: 'file.save-session',
    label: 'Save the session',
    group: 'File',
    keys: 'CmdOrCtrl+S',
    when: opened,
    perform: async (workbench) => void (await save(workbench, false)),
  },
  {
    id: 'file.save-session-as',
    label: 'Save the session as…',
    group: 'File',
    keys: 'CmdOrCtrl+Shift+S',
    when: opened,
    perform: async (workbench) => void (await save(workbench, true)),
  },
  {
    id: 'file.close',
    label: 'Close the checkpoint and show the samples',
    group: 'File',
    when: opened,
    perform: async (workbench) => {
      if (await mayLeave(workbench)) await workbench.close();
    },
  },
];
