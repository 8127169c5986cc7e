import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSession } from '../../src/workbench/session/file.ts';
import { saved, textOf } from './downloads.ts';
import { openApp, type App } from './harness.ts';
import { runCommand } from './palette.ts';

let app: App;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'headscope-'));
  app = await openApp();
  await app.openSample('induction-2l', 'cpu');
}, 180_000);
afterAll(async () => {
  await rm(folder, { recursive: true });
  await app.close();
});

/** A command, as the palette finds it by words of its label. */
const command = (words: string): Promise<void> => runCommand(app.page, words);
const write = async (text: string): Promise<void> => {
  await app.page.keyboard.press('Control+5');
  await app.page.getByRole('button', { name: 'Add text' }).click();
  await app.page.getByLabel('Text', { exact: true }).last().fill(text);
};
const texts = (): Promise<string[]> =>
  app.page
    .locator('[data-item] textarea')
    .evaluateAll((all) => all.map((each) => (each as HTMLTextAreaElement).value));
async function openFile(name: string, text: string): Promise<void> {
  const file = path.join(folder, name);
  await writeFile(file, text);
  const [chooser] = await Promise.all([app.page.waitForEvent('filechooser'), command('Open a session')]);
  await chooser.setFiles(file);
}
const reload = async (): Promise<void> => {
  await app.page.reload();
  await app.page.locator('[data-sample]').first().waitFor();
};

describe('a session', () => {
  it('is marked until it is saved', async () => {
    expect(await app.page.title()).toBe('induction-2l – Headscope');
    await write('kept words');
    await app.page.waitForFunction(() => document.title.startsWith('• '));
    const { name, bytes } = await saved(app.page, () => app.page.keyboard.press('Control+s'));
    expect(name).toBe('induction-2l.headscope');
    await writeFile(path.join(folder, 'saved.headscope'), bytes);
    await app.page.waitForFunction(() => document.title === 'induction-2l.headscope – Headscope');
    const session = readSession(textOf(bytes));
    expect(session.checkpoint).toMatchObject({ name: 'induction-2l', file: 'model.onnx' });
    expect(session.device).toBe('cpu');
    expect(session.report.items).toMatchObject([{ content: { type: 'text', text: 'kept words' } }]);
    expect(session.view.page).toBe('report');
  });

  it('asks before unsaved steps give way, and stays when told so', async () => {
    await write('unsaved words');
    await command('Close the checkpoint');
    const dialog = app.page.getByRole('alertdialog', { name: 'Save this session first?' });
    await dialog.getByRole('button', { name: 'Stay here' }).click();
    expect(await texts()).toEqual(['kept words', 'unsaved words']);
    await command('Close the checkpoint');
    await dialog.getByRole('button', { name: 'Do not save' }).click();
    await app.page.locator('[data-sample]').first().waitFor();
  });

  it('comes back from its file with everything in it', async () => {
    await openFile('again.headscope', readFileSync(path.join(folder, 'saved.headscope'), 'utf8'));
    await app.page.getByTestId('status-model').waitFor();
    await app.settled();
    expect(await texts()).toEqual(['kept words']);
    expect(await app.page.title()).toBe('again.headscope – Headscope');
    expect(await app.page.locator('.rail [aria-current="page"]').innerText()).toBe('Report');
  });

  it('refuses damaged and newer files with a sentence, and keeps what is open', async () => {
    const text = readFileSync(path.join(folder, 'saved.headscope'), 'utf8');
    const expected: [string, RegExp][] = [
      [text.slice(0, 300), /damaged/],
      [text.replace('"version": 1', '"version": 99'), /newer Headscope/],
      [text.replace('"headscope-session"', '"something"'), /not a Headscope session/],
    ];
    for (const [broken, message] of expected) {
      await openFile('broken.headscope', broken);
      const notice = app.page.locator('.notices [role="alert"]').last();
      await notice.filter({ hasText: message }).waitFor();
      await notice.getByRole('button', { name: 'Close this message' }).click();
      expect(await texts()).toEqual(['kept words']);
    }
  });

  it('says when the model is another than it was made with', async () => {
    const session = readSession(readFileSync(path.join(folder, 'saved.headscope'), 'utf8'));
    const hashes = {
      files: [{ name: 'model.onnx', bytes: 1, sha256: '0'.repeat(64) }],
      sha256: '1'.repeat(64),
    };
    await openFile(
      'other.headscope',
      JSON.stringify({ ...session, checkpoint: { ...session.checkpoint, hashes } }),
    );
    const notice = app.page
      .locator('.notices .warning')
      .filter({ hasText: 'is not the one that this session' });
    await notice.waitFor();
    expect(await notice.innerText()).toContain('model.onnx');
  });

  it('is written aside within seconds, and found again after the window was lost', async () => {
    await write('after the last save');
    await app.page.waitForTimeout(2500);
    await reload();
    await app.page.getByRole('button', { name: 'Go on' }).click();
    await app.page.getByTestId('status-model').waitFor();
    await app.settled();
    expect(await texts()).toEqual(['kept words', 'after the last save']);
    expect(await app.page.title()).toMatch(/^• /);
  });

  it('is written aside at once when the window is left', async () => {
    await write('a moment before');
    await app.page.evaluate(() => dispatchEvent(new Event('pagehide')));
    await app.page.waitForTimeout(300);
    await reload();
    await app.page.getByRole('button', { name: 'Go on' }).click();
    await app.page.getByTestId('status-model').waitFor();
    expect((await texts()).at(-1)).toBe('a moment before');
  });
});

/** Processes that a process started, and those that they started. */
function descendants(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return (children === '' ? [] : children.split(' ').map(Number)).flatMap((child) => [
    child,
    ...descendants(child),
  ]);
}

describe('an engine that is gone', () => {
  const banner = () => app.page.getByTestId('engine-stopped');
  const expectTrouble = (pattern: RegExp): void => {
    for (let i = app.troubles.length - 1; i >= 0; i--)
      if (pattern.test(app.troubles[i])) app.troubles.splice(i, 1);
  };

  it('is started again, and the session is as it was, steps and all', async () => {
    const before = await texts();
    const undo = await app.page
      .getByRole('button', { name: /^(Undo|Nothing to undo)/ })
      .getAttribute('aria-label');
    await app.page.workers()[0].evaluate(
      () =>
        void setTimeout(() => {
          throw new Error('out of memory');
        }, 1),
    );
    await banner().waitFor();
    await banner().getByRole('button', { name: 'Try again' }).click();
    await banner().waitFor({ state: 'detached' });
    await app.settled();
    expect(await texts()).toEqual(before);
    expect(
      await app.page.getByRole('button', { name: /^(Undo|Nothing to undo)/ }).getAttribute('aria-label'),
    ).toBe(undo);
    expectTrouble(/out of memory/);
  });

  it('goes on with the CPU when that is asked for', async () => {
    const picker = app.page.locator('.top-bar .picker select');
    await picker.selectOption('wasm');
    await app.page.waitForFunction(() => !document.querySelector('.status-bar .job'));
    await app.settled();
    await app.page.workers()[0].evaluate(
      () =>
        void setTimeout(() => {
          throw new Error('out of memory');
        }, 1),
    );
    await banner().getByRole('button', { name: 'Use the CPU' }).click();
    await banner().waitFor({ state: 'detached' });
    await app.settled();
    expect(await picker.inputValue()).toBe('cpu');
    expectTrouble(/out of memory/);
  });

  it('may have been the native process: the next one goes on', async () => {
    const { page } = app;
    await page.keyboard.press('Control+5');
    await page.getByRole('button', { name: 'Arrays', exact: true }).click();
    await page.getByTestId('capture-plan').waitFor();
    const [native] = descendants(app.server.pid!).filter((pid) =>
      readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('native-child'),
    );
    process.kill(native, 'SIGKILL');
    // A run that was going on tells of it by itself; otherwise the next one does.
    if (!(await banner().isVisible())) await page.getByRole('button', { name: 'Save arrays.npz' }).click();
    await banner().waitFor();
    await banner().getByRole('button', { name: 'Try again' }).click();
    await banner().waitFor({ state: 'detached' });
    await app.settled();
    expectTrouble(/503|engine-stopped|Failed to load resource/);
  });

  it('can be stopped when it does not answer', async () => {
    const { page } = app;
    void page
      .workers()[0]
      .evaluate(() => {
        for (;;);
      })
      .catch(() => undefined);
    await page.getByRole('button', { name: 'Save arrays.npz' }).click();
    await page
      .locator('.status-bar')
      .getByRole('button', { name: /^Cancel/ })
      .first()
      .click();
    await page.getByRole('button', { name: 'Stop the engine' }).first().click({ timeout: 10_000 });
    await app.settled();
    const { bytes } = await saved(page, () => page.getByRole('button', { name: 'Save arrays.npz' }).click());
    expect(bytes.length).toBeGreaterThan(1000);
  });
});
