import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Shell, ShellEvent } from '../../renderer/shell/shell.ts';
import { startServer, type LocalServer } from '../../src/shell/server.ts';
import { hasChromium, launchChromium } from '../helpers/chromium.ts';
import { checkpointFolder } from '../helpers/models.ts';
import { openTestHost, type TestHost } from './host.ts';
import { shellBundle } from './shell-bundle.ts';

declare global {
  interface Window {
    shell: Shell;
    events: ShellEvent[];
  }
}

const HTML = { label: 'Report', extension: 'html', mime: 'text/html' };

describe.skipIf(!hasChromium)('the shell in a browser (Chromium, the local server)', () => {
  let host: TestHost;
  let server: LocalServer;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let bundle: string;
  let folder: string;
  let refused: string[] = [];

  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'headscope-picked-'));
    mkdirSync(path.join(folder, 'gpt/onnx'), { recursive: true });
    writeFileSync(path.join(folder, 'gpt/onnx/model.onnx'), 'graph');
    writeFileSync(path.join(folder, 'gpt/tokenizer.json'), '{}');
    writeFileSync(path.join(folder, 'work.headscope'), '{"version":1}');
    host = await openTestHost([checkpointFolder('sink-3l')]);
    server = await startServer(host.handle);
    browser = await launchChromium();
    bundle = await shellBundle();
  });

  afterAll(async () => {
    await browser.close();
    await server.close();
    await host.close();
    rmSync(folder, { recursive: true });
  });

  beforeEach(async () => {
    context = await browser.newContext();
    page = await context.newPage();
    refused = [];
    page.on('console', (message) => {
      if (/Content Security Policy|Refused/.test(message.text())) refused.push(message.text());
    });
    await enter();
  });

  afterEach(() => context.close());

  /** Opens the page as a person does with the printed address, and gives it the shell. */
  async function enter(): Promise<void> {
    await page.goto(server.url);
    await page.evaluate(bundle);
  }

  test('the page is isolated, and the address has lost its key', async () => {
    expect(await page.evaluate(() => [location.href, crossOriginIsolated])).toEqual([
      `http://127.0.0.1:${server.port}/`,
      true,
    ]);
    expect(await page.evaluate(() => [window.shell.kind, window.shell.nativeCpu])).toEqual(['browser', true]);
    const evaluated = await page.evaluate(() => {
      const script = document.createElement('script');
      script.textContent = 'window.injected = true';
      document.body.append(script);
      return 'injected' in window;
    });
    expect(evaluated).toBe(false);
  });

  test('samples have references by which another start finds them', async () => {
    const found = await page.evaluate(async () => {
      const { shell } = window;
      const [first] = await shell.samples();
      const reference = shell.referenceOf(first.source);
      const again = await shell.reopen(reference ?? '');
      const missing = await shell.reopen('sample:of-another-version');
      return { reference, same: JSON.stringify(again) === JSON.stringify(first.source), missing };
    });
    expect(found).toEqual({ reference: 'sample:ioi-4l', same: true, missing: null });
  });

  test('a checkpoint named at the start is opened once, listed, and can be taken off the list', async () => {
    const listen = (): Promise<ShellEvent[]> =>
      page.evaluate(async () => {
        window.events = [];
        window.shell.onEvent((event) => window.events.push(event));
        await window.shell.recents();
        await new Promise((resolve) => setTimeout(resolve, 50));
        return window.events;
      });
    const [event] = await listen();
    expect(event).toMatchObject({ kind: 'open-checkpoint', source: { kind: 'served', name: 'sink-3l' } });
    await enter();
    expect(await listen()).toEqual([]);
    const left = await page.evaluate(async () => {
      const { shell } = window;
      const [recent] = await shell.recents();
      const source = await shell.openRecent(recent.id);
      const reference = shell.referenceOf(source);
      const reopened = await shell.reopen(reference ?? '');
      await shell.forgetRecent(recent.id);
      return {
        recent,
        same: JSON.stringify(reopened) === JSON.stringify(source),
        list: await shell.recents(),
      };
    });
    expect(left.recent).toMatchObject({ name: 'sink-3l' });
    expect(left).toMatchObject({ same: true, list: [] });
    const error = await page.evaluate(() =>
      window.shell.openRecent('opened:/gone').then(
        () => 'found',
        (cause: { code: string }) => cause.code,
      ),
    );
    expect(error).toBe('missing-file');
  });

  test('an .onnx file is chosen with what belongs to it', async () => {
    const [, source] = await Promise.all([
      page
        .waitForEvent('filechooser')
        .then((each) =>
          each.setFiles([
            path.join(folder, 'gpt', 'onnx', 'model.onnx'),
            path.join(folder, 'gpt', 'tokenizer.json'),
          ]),
        ),
      page.evaluate(async () => {
        const opened = await window.shell.openCheckpoint('file');
        if (opened?.kind !== 'files') return opened;
        return { name: opened.name, file: opened.file, files: opened.files.map(({ name }) => name).sort() };
      }),
    ]);
    expect(source).toEqual({ name: 'model', file: 'model.onnx', files: ['model.onnx', 'tokenizer.json'] });
  });

  test('a folder is chosen with the browser’s own dialog', async () => {
    const [chooser, source] = await Promise.all([
      page.waitForEvent('filechooser').then((each) => each.setFiles(path.join(folder, 'gpt'))),
      page.evaluate(async () => {
        const opened = await window.shell.openCheckpoint('folder');
        if (opened?.kind !== 'files') return opened;
        return { name: opened.name, files: opened.files.map(({ name, blob }) => [name, blob.size]).sort() };
      }),
    ]);
    expect(chooser).toBeUndefined();
    expect(source).toEqual({
      name: 'gpt',
      files: [
        ['onnx/model.onnx', 5],
        ['tokenizer.json', 2],
      ],
    });
  });

  test('a session file is opened, and saved under its own name', async () => {
    const [, file] = await Promise.all([
      page.waitForEvent('filechooser').then((each) => each.setFiles(path.join(folder, 'work.headscope'))),
      page.evaluate(() => window.shell.openSession()),
    ]);
    expect(file).toMatchObject({ name: 'work.headscope', text: '{"version":1}' });
    const [download, saved] = await Promise.all([
      page.waitForEvent('download'),
      page.evaluate(
        (handle) => window.shell.saveSession(handle, 'other.headscope', '{"version":2}'),
        file?.handle,
      ),
    ]);
    expect([download.suggestedFilename(), saved?.name]).toEqual(['work.headscope', 'work.headscope']);
    expect(readFileSync(await download.path(), 'utf8')).toBe('{"version":2}');
  });

  test('what is exported arrives byte for byte', async () => {
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.evaluate((kind) => window.shell.saveFile('report.html', kind, Uint8Array.of(0, 255, 10)), HTML),
    ]);
    expect(download.suggestedFilename()).toBe('report.html');
    expect([...readFileSync(await download.path())]).toEqual([0, 255, 10]);
  });

  /** Drops files that the page holds; the browser makes entries of them as of real ones. */
  function drop(files: { name: string; text: string }[]): Promise<unknown> {
    return page.evaluate(async (dropped) => {
      const data = new DataTransfer();
      for (const { name, text } of dropped) data.items.add(new File([text], name));
      const got = await window.shell.openDropped(data);
      if (got && 'kind' in got && got.kind === 'files')
        return { ...got, files: got.files.map(({ name }) => name) };
      return got;
    }, files);
  }

  test('dropped files are a checkpoint, a session, or nothing', async () => {
    expect(await drop([{ name: 'a.onnx', text: 'x' }])).toEqual({
      kind: 'files',
      name: 'a',
      file: 'a.onnx',
      files: ['a.onnx'],
    });
    expect(
      await drop([
        { name: 'a.onnx', text: 'x' },
        { name: 'a.onnx.data', text: 'y' },
        { name: 'tokenizer.json', text: '{}' },
      ]),
    ).toMatchObject({ file: 'a.onnx', files: ['a.onnx', 'a.onnx.data', 'tokenizer.json'] });
    expect(await drop([{ name: 's.HEADSCOPE', text: '{}' }])).toMatchObject({
      name: 's.HEADSCOPE',
      text: '{}',
    });
    expect(await drop([{ name: 'notes.txt', text: 'x' }])).toBeNull();
    expect(await drop([])).toBeNull();
  });

  test('a dropped folder is read with its subfolders, and not deeper', async () => {
    mkdirSync(path.join(folder, 'gpt/onnx/deep/deeper'), { recursive: true });
    writeFileSync(path.join(folder, 'gpt/onnx/deep/deeper/lost.bin'), 'x');
    await page.evaluate(() => {
      document.body.style.height = '500px';
      document.addEventListener('dragover', (event) => event.preventDefault());
      document.addEventListener('drop', (event) => {
        event.preventDefault();
        void window.shell.openDropped(event.dataTransfer!).then((source) => {
          if (source && 'kind' in source && source.kind === 'files')
            document.title = [source.name, ...source.files.map(({ name }) => name).sort()].join(' ');
        });
      });
    });
    const input = await context.newCDPSession(page);
    const data = { items: [], files: [path.join(folder, 'gpt')], dragOperationsMask: 1 };
    for (const type of ['dragEnter', 'dragOver', 'drop'] as const)
      await input.send('Input.dispatchDragEvent', { type, x: 50, y: 50, data });
    await page.waitForFunction(() => document.title !== 'Headscope');
    expect(await page.title()).toBe('gpt onnx/model.onnx tokenizer.json');
  });

  test('the autosaved session and the theme are there after a reload', async () => {
    await page.evaluate(async () => {
      await window.shell.autosave('first');
      await window.shell.autosave('second');
      await window.shell.setTheme('dark');
    });
    await enter();
    expect(await page.evaluate(() => window.shell.autosaved())).toBe('second');
    expect(await page.evaluate(() => window.shell.theme())).toBe('dark');
    await page.evaluate(() => window.shell.clearAutosave());
    expect(await page.evaluate(() => window.shell.autosaved())).toBeNull();
  });

  test('a report is printed as it looks, and its scripts do not run', async () => {
    const html =
      '<!doctype html><style>p{color:rgb(1,2,3)}</style><p style="font-weight:700">Report</p><img alt="" src="data:image/gif;base64,R0lGODlhAQABAAAAACw="><script>parent.ran = true</script>';
    const printed = await page.evaluate(async (text) => {
      // the dialog would wait for a person
      Object.defineProperty(HTMLIFrameElement.prototype, 'contentWindow', {
        get(this: HTMLIFrameElement) {
          return { print: () => (document.title = this.contentDocument?.body.textContent ?? '') };
        },
      });
      const result = await window.shell.pdf(text);
      const frame = document.querySelector('iframe')?.contentDocument;
      const paragraph = frame?.querySelector('p');
      const { color, fontWeight } = frame!.defaultView!.getComputedStyle(paragraph!);
      return { result, color, fontWeight, title: document.title, ran: 'ran' in window };
    }, html);
    expect(printed).toMatchObject({ result: null, color: 'rgb(1, 2, 3)', fontWeight: '700', ran: false });
    expect(printed.title).toContain('Report');
    expect(refused.filter((text) => !/script/i.test(text))).toEqual([]);
  });

  test('the title says what is open and whether it is saved', async () => {
    await page.evaluate(() => window.shell.setTitle('ioi-4l', true));
    expect(await page.title()).toBe('• ioi-4l');
    await page.evaluate(() => window.shell.setTitle('ioi-4l', false));
    expect(await page.title()).toBe('ioi-4l');
  });
});
