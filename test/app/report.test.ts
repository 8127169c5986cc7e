import { strFromU8, unzipSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { readReport } from '../../src/report/index.ts';
import { formatBytes } from '../../src/report/numbers.ts';
import { planCapture } from '../../src/workbench/capture.ts';
import { hashFiles } from '../../src/workbench/hash.ts';
import { openWorkbench } from '../../src/workbench/workbench.ts';
import { inRepository } from '../helpers/models.ts';
import { saved, textOf } from './downloads.ts';
import { openApp, type App } from './harness.ts';

const SAMPLE = 'sink-3l';
let app: App;
beforeAll(async () => {
  app = await openApp();
  await app.openSample(SAMPLE, 'cpu');
}, 180_000);
afterAll(() => app.close());

const item = (place: number) => app.page.locator('[data-item]').nth(place - 1);
const titles = (): Promise<string[]> =>
  app.page
    .locator('[data-item] header input')
    .evaluateAll((inputs) => inputs.map((input) => (input as HTMLInputElement).value));
/** The first figure of a view. */
const figureCard = () =>
  app.page
    .locator('.figure-card')
    .filter({ has: app.page.getByRole('button', { name: 'Enlarge' }) })
    .first();
const tab = (name: string | RegExp) =>
  app.page.getByRole('group', { name: 'What is shown' }).getByRole('button', { name });
const go = async (keys: string): Promise<void> => {
  await app.page.keyboard.press(keys);
  await app.settled();
};
const saveAs = async (choice: RegExp) =>
  saved(app.page, async () => {
    await app.page.getByRole('button', { name: 'Save report' }).click();
    await app.page.getByRole('menuitem', { name: choice }).click();
  });

describe('the report', () => {
  it('teaches what to do while it is empty', async () => {
    await go('Control+5');
    expect(await app.page.getByRole('heading', { name: 'Nothing is collected yet' }).isVisible()).toBe(true);
  });

  it('collects figures from the views, and each says what it was made with', async () => {
    await go('Control+2');
    const card = figureCard();
    await card.waitFor();
    const title = (await card.locator('h3').textContent())!.trim();
    await card.getByRole('button', { name: 'Add to report' }).click();
    await app.page.getByRole('button', { name: `Undo: Add to the report: ${title}` }).waitFor();
    await go('Control+5');
    expect(await titles()).toEqual([title]);
    const words = await item(1).innerText();
    expect(words).toContain('prompt “');
    expect(words).toContain('onnxruntime-node');
    expect(words).toMatch(/measured error max \|Δ\| \d/);
  });

  it('takes headings, notes and texts, and moves and removes them, each step undone by its name', async () => {
    const { page } = app;
    const [figure] = await titles();
    await item(1).getByLabel('Note').pressSequentially('Mind the <b>first</b> token.');
    await page.getByRole('button', { name: 'Add text' }).click();
    await item(2)
      .getByLabel(/^Heading/)
      .fill('What I asked');
    await item(2).getByLabel('Text', { exact: true }).fill('One.\n\nTwo.');
    await item(2).getByRole('button', { name: 'Move up' }).click();
    expect(await titles()).toEqual(['What I asked', figure]);
    expect(await item(2).getByLabel('Note').inputValue()).toBe('Mind the <b>first</b> token.');
    await item(2).getByRole('button', { name: 'Remove' }).click();
    expect(await titles()).toEqual(['What I asked']);
    await page.getByRole('button', { name: `Undo: Remove from the report: ${figure}` }).click();
    await page.getByRole('button', { name: 'Undo: Move in the report: What I asked' }).click();
    expect(await titles()).toEqual([figure, 'What I asked']);
    await page.getByRole('button', { name: 'Redo: Move in the report: What I asked' }).click();
    expect(await titles()).toEqual(['What I asked', figure]);
    expect(await item(2).getByLabel('Note').inputValue()).toBe('Mind the <b>first</b> token.');
  });

  it('shows the page as it will be saved, and follows changes', async () => {
    const { page } = app;
    await page.getByLabel('Title of the report').fill('First look');
    await page.getByLabel('Title of the report').press('Enter');
    await tab('Preview').click();
    const frame = page.frameLocator('[data-testid="report-preview"]');
    await frame.getByRole('heading', { level: 1, name: 'First look' }).waitFor();
    expect(await frame.locator('aside.note').innerText()).toBe('Mind the <b>first</b> token.');
    expect(await frame.locator('main svg').count()).toBe(1);
    await page.getByLabel('Title of the report').fill('Second look');
    await page.getByLabel('Title of the report').press('Enter');
    await frame.getByRole('heading', { level: 1, name: 'Second look' }).waitFor();
  });

  it('says how large arrays are before anything runs', async () => {
    await tab('Arrays').click();
    const plan = app.page.getByTestId('capture-plan');
    await plan.waitFor();
    const before = Number(await plan.getAttribute('data-bytes'));
    await app.page.getByRole('checkbox', { name: /^q queries/ }).check();
    await app.page.getByLabel('Layers').fill('0,2');
    await app.page.getByLabel('Layers').press('Enter');
    await app.page.waitForFunction(
      (was) =>
        document.querySelector('[data-testid="capture-plan"]')?.getAttribute('data-bytes') !== String(was),
      before,
    );
    await app.page.getByText('blocks.2.attn.hook_q').waitFor();
    const workbench = await openWorkbench(inRepository(`assets/checkpoints/${SAMPLE}`), nodeDevice('cpu'));
    const lengths = (await app.page.getByText(/^\d+ of \d+$/).allInnerTexts()).map((text) =>
      Number(text.split(' ')[0]),
    );
    const rows = lengths.map((length) => ({ ids: Array.from({ length }, () => 0) }));
    const expected = planCapture(workbench.opened.runner, rows, {
      sites: ['pattern', 'z', 'q'],
      layers: [0, 2],
    });
    expect(Number(await plan.getAttribute('data-bytes'))).toBe(expected.bytes);
    await expect.poll(() => plan.innerText()).toContain(formatBytes(expected.fileBytes));
    await app.page.getByRole('checkbox', { name: /^Half precision/ }).check();
    await expect.poll(() => plan.getAttribute('data-bytes')).toBe(String(expected.bytes / 2));
    await workbench.close();
    await app.page.getByRole('checkbox', { name: /report’s .zip/ }).check();
  });

  it('saves everything in one file, with the hash of the model', async () => {
    const { name, bytes } = await saveAs(/^Everything/);
    expect(name).toBe('sink-3l-report.zip');
    const files = unzipSync(bytes);
    const document = readReport(strFromU8(files['report.json']));
    expect(document.title).toBe('Second look');
    expect(document.sections.map(({ title }) => title)).toEqual(await collectedTitles());
    const workbench = await openWorkbench(inRepository(`assets/checkpoints/${SAMPLE}`), nodeDevice('cpu'));
    const { sha256 } = await hashFiles(workbench.checkpoint.sources.values());
    await workbench.close();
    expect(document.provenance.checkpoint.sha256).toBe(sha256);
    const svg = Object.entries(files).find(([file]) => file.endsWith('.svg'))!;
    expect(strFromU8(svg[1])).toContain(`sha256 ${sha256}`);
    expect(strFromU8(files['report.html'])).toContain('Mind the &#60;b&#62;first&#60;/b&#62; token.');
    const arrays = unzipSync(files['arrays.npz']);
    expect(Object.keys(arrays)).toEqual(document.arrays!.map((array) => `${array.name}.npy`));
    expect(Object.keys(arrays)).toContain('blocks.2.attn.hook_q.npy');
    expect(strFromU8(arrays['blocks.2.attn.hook_q.npy'].subarray(0, 128), true)).toContain("'<f2'");
    expect(document.arrays!.at(-1)!.dtype).toBe('float16');
    expect(Object.keys(arrays)).not.toContain('blocks.1.attn.hook_q.npy');
  });

  it('saves each part by itself', async () => {
    const page = await saveAs(/^Page/);
    expect(textOf(page.bytes)).toContain('<h1><bdi>Second look</bdi></h1>');
    expect(textOf(page.bytes)).not.toMatch(/<script|https?:\/\/(?!www\.w3\.org)/);
    const json = await saveAs(/^Document/);
    expect(readReport(textOf(json.bytes)).title).toBe('Second look');
    const tables = unzipSync((await saveAs(/^Tables/)).bytes);
    expect(Object.keys(tables).every((name) => name.endsWith('.csv'))).toBe(true);
    const npz = await saveAs(/^Arrays/);
    expect(Object.keys(unzipSync(npz.bytes))).toContain('blocks.0.attn.hook_pattern.npy');
  });

  it('is prepared for the print dialog', async () => {
    await app.page.getByRole('button', { name: 'Save report' }).click();
    await app.page.getByRole('menuitem', { name: 'Print or save as PDF' }).click();
    const frame = app.page.frameLocator('#print-frame');
    await frame
      .getByRole('heading', { level: 1, name: 'Second look', includeHidden: true })
      .waitFor({ state: 'attached' });
  });

  it('shows a figure as a table, enlarges it, and saves it as every kind', async () => {
    await go('Control+2');
    const { page } = app;
    const card = figureCard();
    const title = (await card.locator('h3').textContent())!.trim();
    await card.getByRole('button', { name: 'Enlarge' }).click();
    const dialog = page.getByRole('dialog', { name: title });
    await dialog.getByRole('img').first().waitFor();
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    const save = async (choice: RegExp) =>
      saved(page, async () => {
        await card.getByRole('button', { name: 'Save the figure' }).click();
        await page.getByRole('menuitem', { name: choice }).click();
      });
    const svg = textOf((await save(/SVG/)).bytes);
    expect(svg).toContain('<svg xmlns=');
    expect(svg).toMatch(/sha256 [0-9a-f]{64} ·/);
    const png = (await save(/PNG/)).bytes;
    expect([...png.subarray(1, 4)]).toEqual([...'PNG'].map((letter) => letter.charCodeAt(0)));
    const csv = textOf((await save(/CSV table/)).bytes);
    const json = JSON.parse(textOf((await save(/JSON/)).bytes)) as {
      figure: { title: string };
      madeWith: { sha256: string };
    };
    expect(json.figure.title).toBe(title);
    expect(json.madeWith.sha256).toMatch(/^[0-9a-f]{64}$/);
    await app.context.grantPermissions(['clipboard-read']);
    // As in the desktop app, which grants no page the clipboard.
    await page.evaluate(() => {
      navigator.clipboard.writeText = () => Promise.reject(new Error('denied'));
    });
    await card.getByRole('button', { name: 'Save the figure' }).click();
    await page.getByRole('menuitem', { name: 'Copy as CSV' }).click();
    await page.locator('.notices').getByText('Copied.').waitFor();
    expect((await page.evaluate(() => navigator.clipboard.readText())).trim().split(/\r?\n/)).toEqual(
      csv.trim().split('\r\n'),
    );
    await card.getByRole('button', { name: 'Show as a table' }).click();
    const shown = await card.locator('tbody tr').count();
    expect(csv.trim().split('\r\n').length - 1).toBe(shown);
  });

  it('makes the full report in steps, which can be cancelled', async () => {
    await go('Control+5');
    const { page } = app;
    await tab('Full report').click();
    const make = page.getByRole('button', { name: 'Make the full report' });
    await page.getByRole('group', { name: 'Prompt sets' }).getByRole('checkbox').first().waitFor();
    await make.click();
    await page.getByTestId('full-step').filter({ hasText: /\w/ }).waitFor();
    await page.getByRole('button', { name: 'Cancel', exact: true }).click();
    await make.waitFor({ timeout: 60_000 });
    expect(await page.locator('.status-bar .job').count()).toBe(0);
    for (const box of await page.getByRole('group', { name: 'Prompt sets' }).getByRole('checkbox').all())
      await box.uncheck();
    await make.click();
    const frame = page.frameLocator('[data-testid="report-preview"]');
    await frame.getByRole('heading', { level: 2, name: 'The model' }).waitFor({ timeout: 120_000 });
    expect(await frame.getByRole('heading', { level: 2 }).allInnerTexts()).toEqual(
      expect.arrayContaining(['The model', 'Attention sinks']),
    );
    const json = readReport(textOf((await saveAs(/^Document/)).bytes));
    expect(json.sections.length).toBeGreaterThanOrEqual(3);
    await page.getByLabel('Preview and save').selectOption('collected');
    await frame.getByRole('heading', { level: 1, name: 'Second look' }).waitFor();
  }, 240_000);
});

async function collectedTitles(): Promise<string[]> {
  await tab(/^Collected/).click();
  return titles();
}
