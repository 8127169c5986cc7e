import { readFileSync } from 'node:fs';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { startServer, type LocalServer } from '../../src/shell/server.ts';
import { fake, invoke } from '../fakes/electron.ts';
import { inRepository } from '../helpers/models.ts';

/*
 * The page of the desktop app without Electron: the built main process runs on the double, its scheme is mounted on a loopback server, and Chromium
 * loads the page with the built preload script, whose Electron modules are replaced by the few functions it uses.
 */

/** What stands in for Electron's renderer modules; channels are asked through the double, with the frame's own address as the sender. */
const RENDERER_MODULES = `
  const listeners = [];
  window.__tell = (channel, event) => listeners.forEach((each) => each.channel === channel && each.listener({}, event));
  const modules = {
    contextBridge: { exposeInMainWorld: (name, api) => { window[name] = Object.freeze(api); } },
    ipcRenderer: {
      invoke: (name, args) => window.__invoke(name, args),
      on: (channel, listener) => void listeners.push({ channel, listener }),
    },
    webUtils: { getPathForFile: (file) => (window.__paths ?? {})[file.name] ?? '' },
  };
  const process = { platform: 'linux', arch: 'x64' };
  const require = (name) => { if (name !== 'electron') throw new Error('no ' + name); return modules; };
`;

export interface DesktopPage {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Requests that would have left the app; they were stopped. */
  readonly left: string[];
  /** What the page's Content Security Policy refused, and errors of its scripts. */
  readonly complaints: string[];
  close(): Promise<void>;
}

const isLoopback = (url: string): boolean => /^(http:\/\/127\.0\.0\.1:\d+\/|blob:|data:)/.test(url);

/** Opens the page of the app that `startDesktop` started. */
export async function openDesktopPage(
  browser: Browser,
  options: { preload?: boolean } = {},
): Promise<DesktopPage> {
  const server: LocalServer = await startServer((request) => {
    const { pathname, search } = new URL(request.url);
    return fake.protocol!(new Request(`app://headscope${pathname}${search}`, request));
  });
  const context = await browser.newContext();
  const page = await context.newPage();
  const left: string[] = [];
  const complaints: string[] = [];
  await context.route(
    (url) => !isLoopback(url.href),
    (route) => (left.push(route.request().url()), route.abort()),
  );
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    if (/Content Security Policy|Refused/.test(message.text())) complaints.push(message.text());
  });
  await context.exposeBinding('__invoke', ({ frame }, name: string, args: unknown) =>
    invoke(name, args, {
      url: frame.url().replace(/^http:\/\/127\.0\.0\.1:\d+/, 'app://headscope'),
      parent: frame.parentFrame() ? { url: '', parent: null } : null,
    }),
  );
  if (options.preload !== false) {
    const preload = readFileSync(inRepository('out/electron/preload.cjs'), 'utf8');
    await context.addInitScript(`(() => { ${RENDERER_MODULES} ${preload} })()`);
  }
  fake.windows[0].webContents.on('double:sent', (...message: unknown[]) => {
    void page.evaluate(
      ([channel, event]) => (window as unknown as { __tell(...all: unknown[]): void }).__tell(channel, event),
      message,
    );
  });
  await page.goto(server.url);
  return {
    page,
    context,
    left,
    complaints,
    close: async () => {
      await context.close();
      await server.close();
    },
  };
}
