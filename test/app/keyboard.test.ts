import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openApp, type App } from './harness.ts';

let app: App;
beforeAll(async () => {
  app = await openApp();
  await app.openSample('induction-2l', 'cpu');
}, 180_000);
afterAll(() => app.close());

const page = (): Promise<string> => app.page.locator('.rail [aria-current="page"]').innerText();
const found = (): Promise<string[]> => app.page.locator('.palette-item').allInnerTexts();
async function palette(words: string): Promise<void> {
  await app.page.keyboard.press('Control+k');
  await app.page.getByPlaceholder('Type a command…').fill(words);
}

describe('the keyboard', () => {
  it('goes to every view', async () => {
    const seen: string[] = [];
    for (const number of ['1', '2', '3', '4', '5']) {
      await app.page.keyboard.press(`Control+${number}`);
      seen.push(await page());
    }
    expect(seen).toEqual(['Heads', 'Sinks', 'Calibrate', 'Circuits', 'Report']);
  });

  it('finds commands by the words of their label and of their group', async () => {
    await palette('full report');
    expect(await found()).toEqual([expect.stringContaining('Make the full report')]);
    await app.page.keyboard.press('Escape');
    await palette('view heads');
    expect((await found())[0]).toContain('Go to Heads');
    await app.page.keyboard.press('Enter');
    expect(await page()).toBe('Heads');
    await palette('qqqq');
    await app.page.getByText('No command has these words.').waitFor();
    await app.page.keyboard.press('Escape');
  });

  it('offers only what can be done now', async () => {
    await palette('undo');
    expect(await found()).toEqual([]);
    await app.page.keyboard.press('Escape');
    await app.page.keyboard.press('Control+5');
    await app.page.getByRole('button', { name: 'Add text' }).click();
    await app.page.getByLabel('Text', { exact: true }).press('Control+k');
    await app.page.getByPlaceholder('Type a command…').fill('undo');
    expect(await found()).toEqual([expect.stringContaining('Undo: Add to the report: Text')]);
    await app.page.keyboard.press('Enter');
    await app.page.getByRole('heading', { name: 'Nothing is collected yet' }).waitFor();
  });

  it('undoes and redoes outside of fields, and leaves fields their own', async () => {
    const { page: at } = app;
    await at.getByRole('button', { name: 'Redo: Add to the report: Text' }).waitFor();
    await at.locator('body').press('Control+Shift+z');
    const field = at.getByLabel('Text', { exact: true });
    await field.pressSequentially('typed');
    await field.press('Control+z');
    expect(await at.locator('[data-item]').count()).toBe(1);
    await at.getByRole('button', { name: 'Preview' }).focus();
    for (let i = 0; i < 3 && (await at.getByRole('button', { name: 'Nothing to undo' }).count()) === 0; i++)
      await at.keyboard.press('Control+z');
    expect(await at.locator('[data-item]').count()).toBe(0);
  });

  it('lists every shortcut, and none twice', async () => {
    await app.page.keyboard.press('?');
    const dialog = app.page.getByRole('dialog', { name: 'Keyboard shortcuts' });
    const keys = await dialog.locator('section').first().locator('kbd').allInnerTexts();
    expect(new Set(keys).size).toBe(keys.length);
    expect(keys).toEqual(
      expect.arrayContaining(['Ctrl+O', 'Ctrl+S', 'Ctrl+Z', 'Ctrl+Shift+Z', 'Ctrl+K', '?']),
    );
    await app.page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
  });

  it('brings the focus back when what was on top is closed', async () => {
    const button = app.page.getByRole('button', { name: 'Arrays', exact: true });
    await button.focus();
    await app.page.keyboard.press('Control+k');
    await app.page.keyboard.press('Escape');
    await app.page.getByRole('dialog').waitFor({ state: 'detached' });
    await app.page.waitForFunction(() => document.activeElement?.textContent?.trim() === 'Arrays');
  });

  it('changes the theme, and keeps it', async () => {
    await palette('theme dark');
    await app.page.keyboard.press('Enter');
    await app.page.waitForFunction(() => document.documentElement.dataset.theme === 'dark');
    await app.page.reload();
    await app.page.waitForFunction(() => document.documentElement.dataset.theme === 'dark');
  });
});
