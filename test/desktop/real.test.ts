import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { _electron, type ElectronApplication, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Bridge } from '../../renderer/shell/bridge.ts';
import { CHANNEL_NAMES } from '../../renderer/shell/bridge.ts';
import { checkpointFolder, inRepository } from '../helpers/models.ts';
import { removeTemporary, temporaryFolder } from './start.ts';

/** A folder with Electron of the version that is asked for; another one would end the test run. */
function electronFolder(): string | undefined {
  const folder = process.env.ELECTRON_OVERRIDE_DIST_PATH ?? inRepository('node_modules/electron/dist');
  const stated = path.join(folder, 'version');
  const { version } = createRequire(import.meta.url)('electron/package.json') as { version: string };
  const isRight = existsSync(stated) && readFileSync(stated, 'utf8').trim().replace(/^v/, '') === version;
  return isRight && (process.platform !== 'linux' || process.env.DISPLAY) ? folder : undefined;
}

const folder = electronFolder();
const PROGRAM = { darwin: 'Electron.app/Contents/MacOS/Electron', win32: 'electron.exe' }[
  process.platform as string
];

describe.skipIf(!folder)('the desktop app on a real Electron', () => {
  let app: ElectronApplication;
  let page: Page;

  beforeAll(async () => {
    app = await _electron.launch({
      executablePath: path.join(folder ?? '', PROGRAM ?? 'electron'),
      args: [inRepository(''), `--user-data-dir=${temporaryFolder()}`, checkpointFolder('sink-3l')],
    });
    page = await app.firstWindow();
    await page.waitForLoadState('load');
  });
  afterAll(async () => {
    await app?.close();
    removeTemporary();
  });

  test('is isolated under its own origin, with the bridge and nothing of Node', async () => {
    const world = await page.evaluate(() => ({
      origin: location.origin,
      isolated: crossOriginIsolated,
      bridge: Object.keys((window as unknown as { headscope: Bridge }).headscope).sort(),
      node: ['require', 'process', 'module'].filter((name) => name in window),
    }));
    expect(world).toEqual({
      origin: 'app://headscope',
      isolated: true,
      bridge: [...CHANNEL_NAMES, 'nativeCpu', 'onEvent'].sort(),
      node: [],
    });
  });

  test('serves ranges, remembers what it was started with, and runs a sample natively', async () => {
    const outcome = await page.evaluate(async () => {
      const { headscope } = window as unknown as { headscope: Bridge };
      const samples = (await (await fetch('/samples.json')).json()) as { source: { base: string } }[];
      const { base } = samples[0].source;
      const part = await fetch(`${base}README.md`, { headers: { range: 'bytes=0-7' } });
      const graph = await (await fetch(`${base}model.onnx`)).arrayBuffer();
      const session = await fetch('/native/sessions', { method: 'POST', body: graph });
      const recents = await headscope.recents(undefined);
      return {
        part: [part.status, await part.text()],
        session: (await session.json()) as unknown,
        recents: 'value' in recents ? recents.value.map(({ name }) => name) : recents.error,
      };
    });
    expect(outcome).toMatchObject({
      part: [206, '# ioi-4l'],
      session: { inputNames: ['input_ids'], outputNames: ['logits'] },
      recents: ['sink-3l'],
    });
  });

  test('prints a page to PDF', async () => {
    const head = await page.evaluate(async () => {
      const { headscope } = window as unknown as { headscope: Bridge };
      const reply = await headscope.pdf({ html: '<!doctype html><h1>Report</h1>' });
      return 'value' in reply ? new TextDecoder().decode(reply.value.slice(0, 5)) : reply.error.message;
    });
    expect(head).toBe('%PDF-');
  });

  test('asks for nothing outside', async () => {
    const outcome = await page.evaluate(() =>
      fetch('https://example.com/').then(
        () => 'answered',
        () => 'refused',
      ),
    );
    expect(outcome).toBe('refused');
  });
});
