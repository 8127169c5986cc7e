import { readSession, writeSession } from '../../src/workbench/session/file.ts';
import type { SessionFile } from '../shell/shell.ts';
import { markSaved, sessionName } from '../state/session-saving.svelte.ts';
import type { WorkbenchState } from '../state/workbench.svelte.ts';
import type { Action } from './action.ts';

/** Opens a session file: its checkpoint is found again, or asked for. */
export async function openSession(workbench: WorkbenchState, file: SessionFile): Promise<void> {
  const session = readSession(file.text);
  const { checkpoint } = session;
  let source =
    checkpoint?.reference === undefined ? null : await workbench.shell.reopen(checkpoint.reference);
  if (!source) {
    workbench.notify(
      'info',
      `Choose the checkpoint “${checkpoint?.name ?? ''}” that this session was made with.`,
    );
    source = await workbench.shell.openCheckpoint();
  }
  if (!source) return;
  await workbench.open(source, session);
  markSaved(workbench, file.handle, file.name);
}

async function save(workbench: WorkbenchState, ask: boolean): Promise<void> {
  const { session, shell } = workbench;
  const saved = await shell.saveSession(
    ask ? undefined : sessionName.handle,
    suggestedName(workbench),
    writeSession(session),
  );
  if (saved) markSaved(workbench, saved.handle, saved.name, session);
}

const suggestedName = ({ session }: WorkbenchState): string =>
  sessionName.name ?? `${session.checkpoint?.name ?? 'session'}.headscope`;

const opened = ({ checkpoint }: WorkbenchState): boolean => checkpoint !== null;

export const fileActions: readonly Action[] = [
  {
    id: 'file.open',
    label: 'Open a checkpoint…',
    group: 'File',
    keys: 'CmdOrCtrl+O',
    perform: async (workbench) => {
      const source = await workbench.shell.openCheckpoint();
      if (source) await workbench.open(source);
    },
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
    perform: (workbench) => save(workbench, false),
  },
  {
    id: 'file.save-session-as',
    label: 'Save the session as…',
    group: 'File',
    keys: 'CmdOrCtrl+Shift+S',
    when: opened,
    perform: (workbench) => save(workbench, true),
  },
  {
    id: 'file.close',
    label: 'Close the checkpoint and show the samples',
    group: 'File',
    when: opened,
    perform: (workbench) => workbench.close(),
  },
];
