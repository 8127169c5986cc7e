import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import type { BridgeEvent, OpenedSource, Reply } from '../../renderer/shell/bridge.ts';
import { CHANNEL_NAMES } from '../../renderer/shell/bridge.ts';
import { encodeRun } from '../../src/runtime/wire-tensors.ts';
import { MENU_TABLE } from '../../src/workbench/menu-table.ts';
import { emitApp, fake, invoke } from '../fakes/electron.ts';
import { checkpointFolder } from '../helpers/models.ts';
import { removeTemporary, startDesktop, temporaryFolder } from './start.ts';

vi.mock('electron', () => import('../fakes/electron.ts'));

afterEach(() => emitApp('will-quit'));
afterAll(removeTemporary);

const IOI = checkpointFolder('ioi-4l');

async function value<T>(name: string, args?: unknown): Promise<T> {
  const reply = (await invoke(name, args)) as Reply<T>;
  if ('error' in reply) throw new Error(`${reply.error.code}: ${reply.error.message}`);
  return reply.value;
}
async function errorCode(...asked: Parameters<typeof invoke>): Promise<string> {
  const reply = (await invoke(...asked)) as Reply<unknown>;
  return 'error' in reply ? reply.error.code : 'no error';
}
const page = (url: string, init?: RequestInit): Promise<Response> =>
  fake.protocol!(new Request(`app://headscope${url}`, init));
const events = (): BridgeEvent[] => fake.windows[0].webContents.sent.map(([, event]) => event as BridgeEvent);

describe('the main process (on a double of Electron)', () => {
  test('starts sandboxed, with its scheme, all channels and one window', async () => {
    await startDesktop();
    expect(fake.sandboxed).toBe(true);
    expect(fake.schemes).toEqual(['app']);
    expect([...fake.handlers.keys()].sort()).toEqual([...CHANNEL_NAMES].sort());
    expect(fake.windows.map(({ url }) => url)).toEqual(['app://headscope/']);
    const { preload } = fake.windows[0].options.webPreferences as { preload: string };
    expect(existsSync(preload)).toBe(true);
    expect(fake.errors).toEqual([]);
  });

  test('a second instance ends itself and shows the first', async () => {
    await startDesktop({ hasLock: false });
    expect([fake.quit, fake.windows.length]).toEqual([true, 0]);
    await startDesktop();
    emitApp('second-instance', {}, ['electron', '.'], '/');
    expect(fake.windows[0].focused).toBe(1);
  });

  test('the last window ends the app', async () => {
    await startDesktop();
    emitApp('window-all-closed');
    expect(fake.quit).toBe(process.platform !== 'darwin');
  });
});

describe('what is refused', () => {
  test('requests that leave the app', async () => {
    await startDesktop();
    const isCancelled = (url: string): boolean => {
      let cancelled = false;
      fake.requestFilter!({ url }, ({ cancel }) => (cancelled = cancel));
      return cancelled;
    };
    const urls = {
      'app://headscope/main.js': false,
      'blob:app://headscope/1-2': false,
      'data:image/png;base64,AA': false,
      'https://example.com/': true,
      'http://127.0.0.1/': true,
      'ws://127.0.0.1/': true,
      'file:///etc/passwd': true,
      'app://headscope.evil/': true,
      'app://other/': true,
      'data:text/html,x': true,
      'blob:https://example.com/1': true,
    };
    for (const [url, refused] of Object.entries(urls))
      expect([url, isCancelled(url)]).toEqual([url, refused]);
    expect((await fake.protocol!(new Request('app://other/index.html'))).status).toBe(404);
  });

  test('permissions, new windows and leaving the page', async () => {
    await startDesktop();
    let granted = true;
    fake.permissionRequest!({}, 'media', (answer) => (granted = answer));
    expect([granted, fake.permissionCheck!(), fake.devicePermission!()]).toEqual([false, false, false]);
    const [{ webContents }] = fake.windows;
    expect(webContents.openHandler!()).toEqual({ action: 'deny' });
    const stays = (name: string, url: string): boolean => {
      let prevented = false;
      webContents.emit(name, { url, preventDefault: () => (prevented = true) });
      return prevented;
    };
    expect(stays('will-navigate', 'https://example.com/')).toBe(true);
    expect(stays('will-redirect', 'https://example.com/')).toBe(true);
    expect(stays('will-navigate', 'app://headscope/')).toBe(false);
    expect(stays('will-attach-webview', 'app://headscope/')).toBe(true);
  });

  test.each([
    ['a foreign page', { url: 'https://example.com/' }],
    ['a name that begins alike', { url: 'app://headscope.evil/' }],
    ['an inner frame', { parent: { url: 'app://headscope/', parent: null } }],
    ['a page that is printed', { url: 'app://headscope/print/abc' }],
    ['a frame that is gone', null],
  ])('channels asked by %s', async (_who, frame) => {
    await startDesktop();
    for (const name of CHANNEL_NAMES) expect(await errorCode(name, undefined, frame)).toBe('refused');
  });

  test.each([
    ['openRecent', undefined],
    ['openRecent', { id: 7 }],
    ['openRecent', { id: 'x', more: 1 }],
    ['openRecent', 'x'],
    ['setTheme', { choice: 'blue' }],
    ['saveFile', { suggested: 'a', kind: { label: '', extension: '../sh', mime: '' }, data: 'x' }],
    ['saveFile', { suggested: 'a', kind: { label: '', extension: 'csv', mime: '' }, data: [1, 2] }],
    ['autosave', { text: null }],
    ['setTitle', { title: 'a', unsaved: 'yes' }],
    ['recents', { path: '/etc/passwd' }],
  ])('%s with %j', async (name, args) => {
    await startDesktop();
    expect(await errorCode(name, args)).toBe('bad-message');
  });
});

describe('checkpoints', () => {
  test('opened by the dialog, remembered without a path, opened again in the next start', async () => {
    const { userData } = await startDesktop();
    expect(await value('openCheckpoint', { what: 'folder' })).toBeNull();
    fake.openDialog = { canceled: false, filePaths: [path.join(IOI, 'model.onnx')] };
    const { source, reference } = await value<OpenedSource>('openCheckpoint', { what: 'file' });
    expect(source).toMatchObject({ kind: 'served', name: 'ioi-4l', file: 'model.onnx' });
    const config = await (await page(`${source.base}config.json`)).text();
    expect(config).toBe(readFileSync(path.join(IOI, 'config.json'), 'utf8'));

    const [recent] = await value<{ id: string; name: string }[]>('recents');
    expect(recent).toMatchObject({ id: reference, name: 'ioi-4l' });
    expect(JSON.stringify(source) + reference).not.toContain(path.dirname(IOI));

    await startDesktop({ userData });
    const again = await value<OpenedSource>('openRecent', { id: reference });
    expect(again.reference).toBe(reference);
    expect(again.source.base).not.toBe(source.base);
    expect(await value('reopen', { reference })).toEqual(again);
    expect(await value('reopen', { reference: 'another machine’s' })).toBeNull();
    await value('forgetRecent', { id: reference });
    expect(await value('recents')).toEqual([]);
    expect(await value('reopen', { reference })).toEqual(again);
  });

  test('one that is gone is said', async () => {
    await startDesktop();
    expect(await errorCode('openRecent', { id: 'never' })).toBe('missing-file');
    expect(await errorCode('openDropped', { path: '/nowhere/model.onnx' })).toBe('missing-file');
    expect(await value('openDropped', { path: path.join(IOI, 'config.json') })).toBeNull();
    expect(await value('openDropped', { path: '' })).toBeNull();
  });

  test('given on the command line, by a second start and by the system reach the page once it listens', async () => {
    await startDesktop({ argv: [IOI, '--flag'] });
    await vi.waitUntil(() => fake.windows[0].focused > 0);
    emitApp('second-instance', {}, ['electron', '.', 'model.onnx'], IOI);
    let prevented = false;
    emitApp('open-file', { preventDefault: () => (prevented = true) }, checkpointFolder('sink-3l'));
    await vi.waitUntil(() => fake.windows[0].focused >= 4);
    expect([prevented, events()]).toEqual([true, []]);
    await value('listening');
    await vi.waitUntil(() => events().length === 3);
    const names = events().map((event) =>
      event.kind === 'open' && event.item.kind === 'checkpoint' ? event.item.opened.source.name : event,
    );
    expect(names.sort()).toEqual(['ioi-4l', 'ioi-4l', 'sink-3l']);
  });

  test('a file that is no model is said in a box', async () => {
    await startDesktop({ argv: [path.join(IOI, 'config.json')] });
    await vi.waitUntil(() => fake.errors.length > 0);
    expect(fake.errors[0][1]).toMatch(/config\.json is no \.onnx file/);
  });

  test('samples and the native runtime answer under the app’s own origin', async () => {
    await startDesktop();
    const samples = (await (await page('/samples.json')).json()) as { source: { base: string } }[];
    expect(samples.length).toBe(5);
    const graph = await (await page(`${samples[0].source.base}model.onnx`)).arrayBuffer();
    const session = await page('/native/sessions', { method: 'POST', body: graph });
    expect(await session.json()).toMatchObject({ inputNames: ['input_ids'], outputNames: ['logits'] });
  });
});

describe('sessions and files', () => {
  const HTML = { label: 'Report', extension: 'html', mime: 'text/html' };

  test('a session is saved where it was opened, without asking', async () => {
    await startDesktop();
    const target = path.join(temporaryFolder(), 'mine.headscope');
    fake.saveDialog = { canceled: false, filePath: target };
    const first = await value<{ handle: string; name: string }>('saveSession', {
      suggested: 'mine',
      text: 'one',
    });
    expect([first.name, readFileSync(target, 'utf8')]).toEqual(['mine.headscope', 'one']);
    fake.saveDialog = { canceled: true };
    expect(await value('saveSession', { handle: first.handle, suggested: 'x', text: 'two' })).toEqual(first);
    fake.openDialog = { canceled: false, filePaths: [target] };
    expect(await value('openSession')).toEqual({ ...first, text: 'two' });
    expect(await value('saveSession', { handle: 'guessed', suggested: 'x', text: 'three' })).toBeNull();
    expect(readFileSync(target, 'utf8')).toBe('two');
    expect(readdirSync(path.dirname(target))).toEqual(['mine.headscope']);
  });

  test('what is exported is written whole, under a name that stays in the chosen folder', async () => {
    await startDesktop();
    const folder = temporaryFolder();
    const bytes = Uint8Array.of(0, 1, 255);
    fake.saveDialog = { canceled: false, filePath: path.join(folder, 'report') };
    expect(await value('saveFile', { suggested: '../../etc/x', kind: HTML, data: bytes })).toEqual({
      name: 'report.html',
    });
    expect(new Uint8Array(readFileSync(path.join(folder, 'report.html')))).toEqual(bytes);
    const { defaultPath } = fake.dialogOptions[0] as { defaultPath: string };
    expect(defaultPath).not.toMatch(/[\\/]/);
    fake.saveDialog = { canceled: false, filePath: '/nowhere/report.html' };
    expect(await errorCode('saveFile', { suggested: 'x', kind: HTML, data: 'x' })).toBe('write-failed');
  });

  test('the autosaved session survives the end of the program', async () => {
    const { userData } = await startDesktop();
    expect(await value('autosaved')).toBeNull();
    await value('autosave', { text: 'first' });
    await value('autosave', { text: 'second' });
    await startDesktop({ userData });
    expect(await value('autosaved')).toBe('second');
    await value('clearAutosave');
    expect(await value('autosaved')).toBeNull();
  });

  test('a page becomes PDF in a hidden window without scripts', async () => {
    await startDesktop();
    const bytes = await value<Uint8Array>('pdf', { html: '<p>Figure 1</p>' });
    expect(new TextDecoder().decode(bytes)).toBe('%PDF of <p>Figure 1</p>');
    const printer = fake.windows[1];
    expect(printer.options.webPreferences).toMatchObject({ javascript: false, sandbox: true });
    expect([printer.shown, printer.isDestroyed()]).toEqual([false, true]);
  });
});

describe('settings', () => {
  test('theme and window come back', async () => {
    const { userData } = await startDesktop();
    expect(await value('theme')).toBe('system');
    await value('setTheme', { choice: 'dark' });
    expect(fake.theme).toBe('dark');
    fake.windows[0].bounds = { x: 100, y: 50, width: 1000, height: 700 };
    fake.windows[0].maximized = true;
    fake.windows[0].close();
    await startDesktop({ userData });
    expect([await value('theme'), fake.theme]).toEqual(['dark', 'dark']);
    expect(fake.windows[0].options).toMatchObject({ x: 100, y: 50, width: 1000, height: 700 });
    fake.windows[0].emit('ready-to-show');
    expect([fake.windows[0].shown, fake.windows[0].maximized]).toEqual([true, true]);
  });

  test('a window on a screen that is gone comes back where it can be seen', async () => {
    const { userData } = await startDesktop();
    fake.windows[0].bounds = { x: 5000, y: 50, width: 1000, height: 700 };
    fake.windows[0].close();
    await startDesktop({ userData });
    expect(fake.windows[0].options).toMatchObject({ width: 1000, height: 700 });
    expect(fake.windows[0].options.x).toBeUndefined();
  });

  test.each(['{', '[1]', '"x"', '{"theme": 7, "window": {"width": -1}}'])(
    'damaged settings %s do no harm',
    async (text) => {
      const userData = temporaryFolder();
      writeFileSync(path.join(userData, 'settings.json'), text);
      writeFileSync(path.join(userData, 'recents.json'), text);
      await startDesktop({ userData });
      expect(fake.errors).toEqual([]);
      expect([await value('theme'), await value('recents')]).toEqual(['system', []]);
      expect(readFileSync(path.join(userData, 'recents.json.damaged'), 'utf8')).toBe(text);
    },
  );

  test('graphics switches are set on Linux when they were chosen', async () => {
    const { userData } = await startDesktop();
    expect(fake.switches).toEqual([]);
    writeFileSync(path.join(userData, 'settings.json'), '{"gpu": "vulkan"}');
    await startDesktop({ userData });
    const wanted = process.platform === 'linux' ? ['enable-unsafe-webgpu', 'enable-features'] : [];
    expect(fake.switches.map(([name]) => name)).toEqual(wanted);
  });
});

describe('the menu', () => {
  test('has every entry of the table, each an action of the page', async () => {
    await startDesktop();
    await value('listening');
    const entries = fake.menu.flatMap(({ submenu }) => submenu ?? []);
    for (const { id, label, accelerator } of MENU_TABLE) {
      const entry = entries.find((each) => each.id === id);
      expect(entry).toMatchObject({ label, registerAccelerator: false });
      expect(entry?.accelerator).toBe(accelerator);
      entry?.click?.();
    }
    expect(events()).toEqual(MENU_TABLE.map(({ id }) => ({ kind: 'action', id })));
  });
});

describe('a page that crashes', () => {
  test('takes its native sessions with it', async () => {
    await startDesktop();
    const samples = (await (await page('/samples.json')).json()) as { source: { base: string } }[];
    const graph = await (await page(`${samples[0].source.base}model.onnx`)).arrayBuffer();
    const made = await page('/native/sessions', { method: 'POST', body: graph });
    const { id } = (await made.json()) as { id: string };
    fake.windows[0].webContents.emit('render-process-gone', {}, { reason: 'crashed' });
    const empty = encodeRun({}, []) as Uint8Array<ArrayBuffer>;
    const answer = await page(`/native/sessions/${id}/run`, { method: 'POST', body: empty });
    expect(await answer.json()).toMatchObject({ code: 'engine-stopped' });
  });

  test('is loaded again once, and not for ever', async () => {
    await startDesktop();
    const [window] = fake.windows;
    window.webContents.emit('render-process-gone', {}, { reason: 'oom' });
    expect([window.reloads, fake.errors.length]).toEqual([1, 0]);
    window.webContents.emit('render-process-gone', {}, { reason: 'oom' });
    expect([window.reloads, fake.errors.length]).toEqual([1, 1]);
  });
});
