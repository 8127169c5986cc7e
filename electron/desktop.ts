import { app, dialog, nativeTheme, session, type BrowserWindow } from 'electron';
import path from 'node:path';
import { openShell, type ShellHost } from '../src/shell/services.ts';
import { HeadscopeError } from '../src/errors.ts';
import { Dialogs } from './dialogs.ts';
import { PageEvents } from './events.ts';
import { guardSession } from './guard.ts';
import { createHandlers, openItem, type Desk } from './handlers.ts';
import { registerIpc } from './ipc.ts';
import { installMenu } from './menu.ts';
import { utilityNative } from './native-process.ts';
import { appPaths } from './paths.ts';
import { handleScheme } from './protocol.ts';
import { Recents } from './recents.ts';
import { SessionFiles } from './session-files.ts';
import type { SettingsFile } from './settings.ts';
import { createWindow } from './window.ts';

/** A file of the app's own in the user's data folder. */
export const dataFile = (name: string): string => path.join(app.getPath('userData'), name);

/** The running app: one window and what it works with. */
export class Desktop {
  private readonly host: ShellHost;
  private readonly desk: Desk;
  private readonly preload: string;
  private window?: BrowserWindow;

  private constructor(host: ShellHost, settings: SettingsFile, preload: string) {
    this.host = host;
    this.preload = preload;
    const window = (): BrowserWindow => this.show();
    this.desk = {
      window,
      settings,
      recents: new Recents(dataFile('recents.json'), host.folders),
      sessions: new SessionFiles(dataFile('autosave.headscope')),
      dialogs: new Dialogs(window, settings),
      events: new PageEvents(),
      pages: host.pages,
    };
  }

  /** Starts everything that needs the app to be ready, and opens the window. */
  static async start(settings: SettingsFile): Promise<Desktop> {
    const paths = appPaths();
    const host = await openShell(paths, utilityNative(paths.nativeChild));
    const desktop = new Desktop(host, settings, paths.preload);
    const { events } = desktop.desk;
    handleScheme(host.handle);
    guardSession(session.defaultSession);
    nativeTheme.themeSource = settings.value.theme;
    registerIpc(createHandlers(desktop.desk));
    installMenu({
      action: (id) => events.send({ kind: 'action', id }),
      gpu: settings.value.gpu,
      setGpu: (gpu) => settings.update({ gpu }),
    });
    desktop.show();
    return desktop;
  }

  /** The window; a new one when it was closed. */
  show(): BrowserWindow {
    if (this.window && !this.window.isDestroyed()) return this.window;
    const window = createWindow(this.preload, this.desk.settings);
    this.window = window;
    this.desk.events.loading(window.webContents);
    window.webContents.on('did-navigate', () => this.desk.events.loading(window.webContents));
    // What a page made at the native runtime goes with the page.
    window.webContents.on('render-process-gone', () => this.host.native.close());
    window.on('closed', () => {
      this.window = undefined;
      this.host.native.close();
    });
    return window;
  }

  focus(): void {
    const window = this.show();
    if (window.isMinimized()) window.restore();
    window.focus();
  }

  /** Opens a file that the system handed over. */
  async open(target: string): Promise<void> {
    this.focus();
    try {
      this.desk.events.send({ kind: 'open', item: await openItem(this.desk, target) });
    } catch (error) {
      if (!(error instanceof HeadscopeError)) throw error;
      dialog.showErrorBox('This could not be opened', error.message);
    }
  }

  close(): Promise<void> {
    return this.host.close();
  }
}
