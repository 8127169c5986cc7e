import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { readCases } from '../edits/cases.ts';
import { readGolden } from '../helpers/golden.ts';
import { openApp, type App } from './harness.ts';
import {
  compareWith,
  focusHead,
  gridValues,
  hoverPattern,
  logitDifference,
  openHead,
  bestPredictions,
} from './heads-page.ts';

const golden = readGolden('ioi-4l');
const clean = golden.tensor('p0.logits').data.subarray(15 * 342);
const [NOAH, OTTO] = [40, 42];
const T = 16;
const reference = (title: string) =>
  readCases().find((each) => each.model === 'ioi-4l' && each.title === title)!;

let app: App;
beforeAll(async () => {
  app = await openApp();
  await app.openSample('ioi-4l', 'cpu');
});
afterEach(async () => {
  const { page } = app;
  while ((await page.locator('[data-edit]').count()) > 0)
    await page
      .getByRole('button', { name: /^Remove: / })
      .first()
      .click();
  await app.settled();
});
afterAll(() => app.close());

/** Waits for the run with the edits, and compares all that is told with a plain float64 model's logits. */
async function expectLogits(logits: Float32Array): Promise<void> {
  for (const [id, logit] of await bestPredictions(app, logits)) expect(logit).toBeCloseTo(logits[id], 3);
  expect(await logitDifference(app.page)).toBeCloseTo(logits[NOAH] - logits[OTTO], 2);
}
const edits = (count: number): Promise<void> =>
  app.page
    .waitForFunction((wanted) => document.querySelectorAll('[data-edit]').length === wanted, count)
    .then(() => undefined);

it('Z ablates the focused head, and undo takes it back', async () => {
  const { page } = app;
  await focusHead(page, { layer: 1, head: 3 });
  await page.keyboard.press('z');
  await edits(1);
  expect(await page.locator('[data-edit]').textContent()).toContain('Ablate L1H3 (zero)');
  await expectLogits(reference('zero ablation').logits);
  await page.keyboard.press('Control+z');
  await edits(0);
  await expectLogits(clean);
  await page.keyboard.press('Control+Shift+z');
  await edits(1);
  await expectLogits(reference('zero ablation').logits);
});

it('a selection is edited as one step', async () => {
  const { page } = app;
  await openHead(page, { layer: 0, head: 0 });
  for (let i = 0; i < 7; i++) await page.keyboard.press('Shift+ArrowRight');
  await page.keyboard.press('z');
  await edits(8);
  await expectLogits(reference('zero ablation of a layer').logits);
  await page.keyboard.press('Control+z');
  await edits(0);
});

it('the menu scales, and the factor is changed in the list', async () => {
  const { page } = app;
  for (const [layer, head, factor] of [
    [3, 1, '2.5'],
    [0, 0, '-0.5'],
  ] as const) {
    await openHead(page, { layer, head });
    await page.keyboard.press('Shift+F10');
    await page.getByRole('menuitem', { name: /^Scale/ }).click();
    const field = page.getByLabel(`Factor of L${layer}H${head}`);
    await field.fill(factor);
    await field.press('Enter');
  }
  await edits(2);
  await expectLogits(reference('scaling').logits);
});

it('the pattern before and after an edit, and their difference', async () => {
  const { page } = app;
  await openHead(page, { layer: 1, head: 3 });
  await page.keyboard.press('z');
  await openHead(page, { layer: 3, head: 0 });
  await compareWith(page, 'before and after');
  await page.getByTestId('pattern-difference').waitFor();
  await app.settled();
  const before = golden.tensor('p0.l3.attn').data.subarray(0, T * T);
  const cells = await hoverPattern(page, 'pattern-first', 8);
  expect(cells.length).toBeGreaterThanOrEqual(8);
  for (const { query, key, value } of cells)
    expect(Math.abs(value - before[query * T + key])).toBeLessThanOrEqual(1e-4);
  const remark = (await page.getByTestId('pattern-difference-remark').textContent()) ?? '';
  expect(remark).toMatch(/largest [+−]0\.\d+ at query \d+ → key \d+/);
  await compareWith(page, 'nothing');
  // With the edits switched off in the view, everything is as it was.
  const values = await gridValues(page);
  await page.getByRole('checkbox', { name: 'With edits' }).uncheck();
  const plain = await gridValues(page);
  expect(plain[0]).toEqual(values[0]);
  expect(plain[3]).not.toEqual(values[3]);
  await page.getByRole('checkbox', { name: 'With edits' }).check();
});

it('patches from the corrupt prompt, at the last position only, as it is chosen', async () => {
  const { page } = app;
  await openHead(page, { layer: 3, head: 0 });
  await page.keyboard.press('p');
  await edits(1);
  await app.settled();
  const everywhere = await logitDifference(page);
  expect(everywhere).not.toBeCloseTo(clean[NOAH] - clean[OTTO], 2);
  await page.getByLabel('Positions of L3H0 that are edited').selectOption({ label: 'at the last, 15' });
  await page.getByText('Patch L3H0 from ioi, corrupt at 15').waitFor();
  await app.settled();
  // In the last layer only the last position reaches the prediction.
  expect(await logitDifference(page)).toBeCloseTo(everywhere, 3);
  await page.locator('[data-edit] input[type=checkbox]').uncheck();
  await expectLogits(clean);
});
