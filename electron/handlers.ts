import { nativeTheme, type BrowserWindow } from 'electron';
import path from 'node:path';
import type { OpenedItem } from '../renderer/shell/bridge.ts';
import { HeadscopeError } from '../src/errors.ts';
import type { PrintPages } from '../src/shell/print-pages.ts';
import { writeFileAtomic } from '../src/workbench/node-output.ts';
import { SESSION, type Dialogs } from './dialogs.ts';
import type { PageEvents } from './events.ts';
import type { Handlers } from './ipc.ts';
import { printToPdf } from './pdf.ts';
import type { Recents } from './recents.ts';
import { readText, type SessionFiles } from './session-files.ts';
import type { SettingsFile } from './settings.ts';

/** What the channels act on. */
export interface Desk {
  readonly window: () => BrowserWindow;
  readonly settings: SettingsFile;
  readonly recents: Recents;
  readonly sessions: SessionFiles;
  readonly dialogs: Dialogs;
  readonly events: PageEvents;
  readonly pages: PrintPages;
}

const isSession = (target: string): boolean => path.extname(target).toLowerCase() === '.headscope';

/**
 * Opens what a person dropped or double-clicked: a session, or a checkpoint's folder or .onnx file.
 * @throws HeadscopeError `missing-file`, `not-a-model`
 */
export async function openItem({ recents, sessions }: Desk, target: string): Promise<OpenedItem> {
  return isSession(target)
    ? { kind: 'session', file: await sessions.open(target) }
    : { kind: 'checkpoint', opened: await recents.open(target) };
}

/** What each channel does. */
export function createHandlers(desk: Desk): Handlers {
  const { window, settings, recents, sessions, dialogs, events, pages } = desk;
  return {
    async openCheckpoint({ what }) {
      const target = await dialogs.checkpoint(what);
      return target === undefined ? null : recents.open(target);
    },
    async openDropped({ path: target }) {
      if (target === '') return null; // made by the page, not dropped
      try {
        return await openItem(desk, target);
      } catch (error) {
        if (error instanceof HeadscopeError && error.code === 'not-a-model') return null;
        throw error;
      }
    },
    recents: () => recents.list(),
    openRecent: ({ id }) => recents.openAgain(id),
    forgetRecent: ({ id }) => (recents.forget(id), null),
    reopen: ({ reference }) => recents.reopen(reference),
    async saveFile({ suggested, kind, data }) {
      const target = await dialogs.save(suggested, kind);
      if (target === undefined) return null;
      await writeFileAtomic(target, (append) => append(data));
      return { name: path.basename(target) };
    },
    async openText({ kinds }) {
      const target = await dialogs.text(kinds);
      return target === undefined ? null : { name: path.basename(target), text: await readText(target) };
    },
    async openSession() {
      const target = await dialogs.text([SESSION]);
      return target === undefined ? null : sessions.open(target);
    },
    async saveSession({ handle, suggested, text }) {
      const target = sessions.pathOf(handle) ?? (await dialogs.save(suggested, SESSION));
      return target === undefined ? null : sessions.save(target, text);
    },
    autosave: ({ text }) => (sessions.autosave(text), null),
    autosaved: () => sessions.autosaved(),
    async clearAutosave() {
      await sessions.clearAutosave();
      return null;
    },
    pdf: ({ html }) => printToPdf(html, pages),
    setTitle({ title, unsaved }) {
      window().setTitle(unsaved ? `• ${title}` : title);
      window().setDocumentEdited(unsaved);
      return null;
    },
    theme: () => settings.value.theme,
    setTheme({ choice }) {
      settings.update({ theme: choice });
      nativeTheme.themeSource = choice;
      return null;
    },
    listening: () => (events.listen(), null),
  };
}
