import { BrowserWindow, dialog, nativeTheme, screen, type Rectangle } from 'electron';
import { guardContents } from './guard.ts';
import { ORIGIN } from './origin.ts';
import type { Settings, SettingsFile } from './settings.ts';

const USUAL = { width: 1280, height: 800 };
/** A page that crashes twice within this time is not loaded again by itself. */
const CRASH_PAUSE_MS = 10_000;

/** The kept place, unless the screen it was on is gone. */
function placeOf(kept: Settings['window']): Partial<Rectangle> & { width: number; height: number } {
  if (!kept) return USUAL;
  const { x, y, width, height } = kept;
  if (x === undefined || y === undefined) return { width, height };
  const { workArea } = screen.getDisplayMatching({ x, y, width, height });
  const isVisible =
    x < workArea.x + workArea.width &&
    x + width > workArea.x &&
    y >= workArea.y &&
    y < workArea.y + workArea.height;
  return isVisible ? { x, y, width, height } : { width, height };
}

function keepState(window: BrowserWindow, settings: SettingsFile): void {
  window.on('close', () => {
    settings.update({ window: { ...window.getNormalBounds(), maximized: window.isMaximized() } });
  });
}

/** A crashed page comes back with its autosaved session. */
function recover(window: BrowserWindow): void {
  let last = -Infinity;
  window.webContents.on('render-process-gone', (_event, { reason }) => {
    if (reason === 'clean-exit') return;
    const again = performance.now() - last < CRASH_PAUSE_MS;
    last = performance.now();
    if (again)
      dialog.showErrorBox(
        'Headscope stopped',
        `The window ended unexpectedly twice in a row (${reason}). Your session was kept; start Headscope again.`,
      );
    else window.reload();
  });
}

/** Opens the app's window: isolated from Node, sandboxed, and kept on its own page. */
export function createWindow(preload: string, settings: SettingsFile): BrowserWindow {
  const window = new BrowserWindow({
    ...placeOf(settings.value.window),
    minWidth: 640,
    minHeight: 480,
    show: false,
    title: 'Headscope',
    backgroundColor: nativeTheme.shouldUseDarkColors ? '#14171b' : '#f6f7f9',
    webPreferences: {
      preload,
      sandbox: true,
      contextIsolation: true,
      nodeIntegration: false,
      webviewTag: false,
      spellcheck: false,
    },
  });
  guardContents(window.webContents);
  keepState(window, settings);
  recover(window);
  window.once('ready-to-show', () => {
    if (settings.value.window?.maximized) window.maximize();
    window.show();
  });
  void window.loadURL(`${ORIGIN}/`);
  return window;
}
