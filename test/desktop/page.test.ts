import path from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Bridge } from '../../renderer/shell/bridge.ts';
import { CHANNEL_NAMES } from '../../renderer/shell/bridge.ts';
import type { Shell, ShellEvent } from '../../renderer/shell/shell.ts';
import { emitApp, fake } from '../fakes/electron.ts';
import { hasChromium, launchChromium } from '../helpers/chromium.ts';
import { checkpointFolder } from '../helpers/models.ts';
import { shellBundle } from '../shell/shell-bundle.ts';
import { openDesktopPage, type DesktopPage } from './in-chromium.ts';
import { removeTemporary, startDesktop } from './start.ts';

vi.mock('electron', () => import('../fakes/electron.ts'));

type World = Window & { headscope: Bridge; shell: Shell; events: ShellEvent[] };

describe.skipIf(!hasChromium)('the desktop page (Chromium; main process on a double of Electron)', () => {
  let browser: Browser;
  let desktop: DesktopPage;
  let bundle: string;

  beforeAll(async () => {
    browser = await launchChromium();
    bundle = await shellBundle();
  });
  afterAll(async () => {
    await browser.close();
    removeTemporary();
  });
  beforeEach(async () => {
    await startDesktop();
    desktop = await openDesktopPage(browser);
  });
  afterEach(async () => {
    await desktop.close();
    emitApp('will-quit');
  });

  test('is isolated, has the bridge and nothing of Node, and asks for nothing outside', async () => {
    const { page, left, complaints } = desktop;
    await page.waitForLoadState('networkidle');
    const world = await page.evaluate(() => ({
      isolated: crossOriginIsolated,
      bridge: Object.keys((window as unknown as World).headscope).sort(),
      node: ['require', 'process', 'module', 'global', 'Buffer'].filter((name) => name in window),
    }));
    expect(world).toEqual({
      isolated: true,
      bridge: [...CHANNEL_NAMES, 'nativeCpu', 'onEvent'].sort(),
      node: [],
    });
    expect(left).toEqual([]);
    expect(complaints).toEqual([]);
  });

  test('cannot leave, embed or run text as a script', async () => {
    const { page, left } = desktop;
    const outcome = await page.evaluate(async () => {
      const blocked: string[] = [];
      document.addEventListener('securitypolicyviolation', (event) => blocked.push(event.effectiveDirective));
      const script = document.createElement('script');
      script.textContent = 'window.injected = true';
      const picture = document.createElement('img');
      picture.src = 'https://example.com/pixel.png';
      const frame = document.createElement('iframe');
      frame.src = 'https://example.com/';
      document.body.append(script, picture, frame);
      await fetch('https://example.com/').catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 100));
      return { blocked: [...new Set(blocked)].sort(), injected: 'injected' in window };
    });
    expect(outcome).toEqual({
      blocked: ['connect-src', 'frame-src', 'img-src', 'script-src-elem'],
      injected: false,
    });
    expect(left).toEqual([]);
  });

  test('the shell opens, drops, saves and hears of the menu through the bridge', async () => {
    const { page } = desktop;
    await page.evaluate(bundle);
    const ioi = checkpointFolder('ioi-4l');
    fake.openDialog = { canceled: false, filePaths: [path.join(ioi, 'model.onnx')] };
    const opened = await page.evaluate(async () => {
      const { shell } = window as unknown as World;
      const source = await shell.openCheckpoint('file');
      if (source?.kind !== 'served') throw new Error('nothing was opened');
      const part = await fetch(`${source.base}config.json`, { headers: { range: 'bytes=0-0' } });
      return {
        kind: shell.kind,
        source,
        part: [part.status, await part.text()],
        reference: shell.referenceOf(source),
        recents: await shell.recents(),
        again: await shell.reopen(shell.referenceOf(source) ?? ''),
      };
    });
    expect(opened).toMatchObject({ kind: 'desktop', part: [206, '{'], recents: [{ name: 'ioi-4l' }] });
    expect(opened.recents[0].id).toBe(opened.reference);
    expect(opened.again).toMatchObject({ base: opened.source.base });

    const dropped = await page.evaluate(async (folder) => {
      Object.assign(window, { __paths: { 'sink-3l': folder } });
      const data = new DataTransfer();
      data.items.add(new File([''], 'sink-3l'));
      const { shell } = window as unknown as World;
      const source = await shell.openDropped(data);
      const forged = new DataTransfer();
      forged.items.add(new File([''], '/etc/passwd'));
      return [source, await shell.openDropped(forged)];
    }, checkpointFolder('sink-3l'));
    expect(dropped).toEqual([expect.objectContaining({ kind: 'served', name: 'sink-3l' }), null]);

    await page.evaluate(() => {
      const world = window as unknown as World;
      world.events = [];
      world.shell.onEvent((event) => world.events.push(event));
    });
    fake.menu.flatMap(({ submenu }) => submenu ?? []).find(({ id }) => id === 'view.sinks')!.click!();
    emitApp('second-instance', {}, ['electron', '.', ioi], '/');
    const heard = await page.waitForFunction(() => {
      const { events } = window as unknown as World;
      return events.length === 2 && events;
    });
    expect(await heard.jsonValue()).toMatchObject([
      { kind: 'action', id: 'view.sinks' },
      { kind: 'open-checkpoint', source: { name: 'ioi-4l' } },
    ]);
  });

  test('errors cross the bridge with their codes', async () => {
    const { page } = desktop;
    await page.evaluate(bundle);
    const error = await page.evaluate(() =>
      (window as unknown as World).shell.openRecent('never').then(
        () => null,
        ({ code, message, exit }: { code: string; message: string; exit: number }) => ({
          code,
          message,
          exit,
        }),
      ),
    );
    expect(error).toMatchObject({ code: 'missing-file', exit: 2 });
    expect(error?.message).toMatch(/was not opened here before/);
  });

  test('a report becomes PDF bytes', async () => {
    const { page } = desktop;
    await page.evaluate(bundle);
    const text = await page.evaluate(async () => {
      const bytes = await (window as unknown as World).shell.pdf('<p>Figure</p>');
      return bytes && new TextDecoder().decode(bytes);
    });
    expect(text).toBe('%PDF of <p>Figure</p>');
  });
});
