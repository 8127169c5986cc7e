import type { Bridge } from './bridge.ts';
import { BrowserShell } from './browser.ts';
import { ElectronShell } from './electron.ts';
import type { Shell } from './shell.ts';

export type * from './shell.ts';

/** The shell of where the page runs: the desktop app has put its bridge into the window, a browser has none. */
export function createShell(): Shell {
  const { headscope } = window as { headscope?: Bridge };
  return headscope ? new ElectronShell(headscope) : new BrowserShell();
}
