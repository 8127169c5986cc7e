import { afterAll, beforeAll, expect, it } from 'vitest';
import { readGolden } from '../helpers/golden.ts';
import { openApp, type App } from './harness.ts';
import { logitDifference, predictedLogits } from './heads-page.ts';

const golden = readGolden('ioi-4l');
let app: App;
beforeAll(async () => {
  app = await openApp();
  await app.openSample('ioi-4l', 'cpu');
});
afterAll(() => app.close());

const row = (index: number) => app.page.locator('[data-prompt]').nth(index);
const ids = (index: number): Promise<number[]> =>
  row(index)
    .locator('.chip')
    .evaluateAll((chips) => chips.map((chip) => Number(chip.getAttribute('data-id'))));

it('shows tokens as chips with ids, special tokens, the count, and what differs', async () => {
  const { page } = app;
  expect(await ids(0)).toEqual(golden.prompts[0]);
  expect(await row(0).getByTestId('token-count').textContent()).toBe('16 of 48');
  expect(await row(0).locator('.chip.special').allTextContents()).toEqual([expect.stringContaining('<bos>')]);
  await page.getByLabel('Token ids').check();
  expect((await row(0).locator('.chip').nth(3).textContent())?.replace(/\s/g, '')).toBe('Noah40');
  await page.getByLabel('Token ids').uncheck();
  const differing = await row(0)
    .locator('.chip.differs')
    .evaluateAll((chips) => chips.map((chip) => Number(chip.getAttribute('data-position'))));
  expect(differing).toEqual([3, 5, 11]);
});

it('runs a prompt again when its text is changed, and undo brings the old one back', async () => {
  const { page } = app;
  const text = row(0).locator('textarea');
  const before = await text.inputValue();
  await text.fill('Then , Noah and Zorblax');
  await text.press('Enter');
  await row(0).getByText('Not in the vocabulary').waitFor();
  await app.settled();
  expect(await row(0).getByTestId('token-count').textContent()).toBe('6 of 48');
  expect(await row(0).getByText('Not in the vocabulary').textContent()).toContain('“Zorblax”');
  await page.getByRole('button', { name: /^Undo: Change the text/ }).click();
  await page.waitForFunction(
    () => document.querySelectorAll('[data-prompt]:first-child .chip').length === 16,
  );
  await app.settled();
  expect(await text.inputValue()).toBe(before);
  const logits = golden.tensor('p0.logits').data.subarray(15 * 342);
  for (const [id, logit] of await predictedLogits(page)) expect(logit).toBeCloseTo(logits[id], 3);
});

it('says that a prompt is too long', async () => {
  const { page } = app;
  const text = row(0).locator('textarea');
  await text.fill('and '.repeat(60));
  await text.press('Enter');
  await row(0).getByText('61 tokens are more than the 48').waitFor();
  await app.settled();
  await page.getByRole('button', { name: /^Undo: Change the text/ }).click();
  await page.waitForFunction(
    () => document.querySelectorAll('[data-prompt]:first-child .chip').length === 16,
  );
  await app.settled();
});

it('selects the focus span by dragging and by keys', async () => {
  const { page } = app;
  const chip = row(0).locator('.chip');
  const [from, to] = [(await chip.nth(4).boundingBox())!, (await chip.nth(7).boundingBox())!];
  await page.mouse.move(from.x + from.width / 2, from.y + from.height / 2);
  await page.mouse.down();
  await page.mouse.move(to.x + to.width / 2, to.y + to.height / 2, { steps: 6 });
  await page.mouse.up();
  expect(await row(0).getByTestId('focus-span').textContent()).toContain('focus 4–7');
  expect(await row(0).locator('.chip.selected').count()).toBe(4);
  await chip.nth(4).focus();
  await page.keyboard.press('Escape');
  expect(await row(0).getByTestId('focus-span').count()).toBe(0);
  await page.keyboard.press('Shift+ArrowRight');
  await page.keyboard.press('Shift+ArrowRight');
  expect(await row(0).getByTestId('focus-span').textContent()).toContain('focus 4–6');
  await page.keyboard.press('Shift+ArrowLeft');
  expect(await row(0).getByTestId('focus-span').textContent()).toContain('focus 4–5');
  await row(0).getByRole('button', { name: 'Clear the focus span' }).click();
  expect(await row(0).getByTestId('focus-span').count()).toBe(0);
});

it('takes answers of one token, and says why others are none', async () => {
  const { page } = app;
  const answer = row(0).getByLabel(/^Answer of/);
  await answer.fill('Noah and');
  await answer.press('Enter');
  await row(0).getByText('2 tokens').waitFor();
  expect(await answer.getAttribute('aria-invalid')).toBe('true');
  await answer.fill('Emma');
  await answer.press('Enter');
  await page.waitForFunction(
    () =>
      document.querySelector('[data-prompt]:first-child input[aria-label^="Answer"]')?.ariaInvalid ===
      'false',
  );
  await app.settled();
  const logits = golden.tensor('p0.logits').data.subarray(15 * 342);
  const emma = Number(await row(1).locator('.chip').nth(3).getAttribute('data-id'));
  expect(await logitDifference(page)).toBeCloseTo(logits[emma] - logits[42], 2);
  await page.getByRole('button', { name: 'Undo: Change the answer' }).click();
});

it('adds, names, duplicates, compares and removes prompts', async () => {
  const { page } = app;
  await row(1)
    .getByRole('button', { name: /^Duplicate/ })
    .click();
  expect(await page.locator('[data-prompt]').count()).toBe(3);
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  expect(await page.locator('[data-prompt]').count()).toBe(4);
  const fresh = row(3);
  await fresh.locator('textarea').fill('Then , Noah');
  await fresh.locator('textarea').press('Enter');
  await fresh.locator('.chip').nth(3).waitFor();
  await fresh.getByLabel('Name of the prompt').fill('mine');
  await fresh.getByLabel('Name of the prompt').press('Enter');
  await page.getByText('Next token after “mine”').waitFor();
  await row(0).getByRole('radio').check();
  await fresh.getByRole('button', { name: 'Compare with mine' }).click();
  expect(await fresh.getAttribute('class')).toContain('compared');
  await fresh.getByRole('button', { name: 'Remove mine' }).click();
  await row(2)
    .getByRole('button', { name: /^Remove/ })
    .click();
  expect(await page.locator('[data-prompt]').count()).toBe(2);
  await row(1)
    .getByRole('button', { name: /^Compare with/ })
    .click();
  await app.settled();
});

it('opens prompt sets as tables; a row becomes the clean and the corrupt prompt', async () => {
  const { page } = app;
  await page.getByRole('button', { name: 'Prompt sets…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Prompt sets' });
  await dialog.locator('tbody tr').first().waitFor();
  expect(await dialog.getByRole('status').textContent()).toContain('64 of 64');
  await dialog.getByLabel('Filter').fill('necklace');
  const first = dialog.locator('tbody tr').first();
  const cells = await first.locator('td').allTextContents();
  expect(cells[1]).toContain('necklace');
  await first.click();
  await dialog.waitFor({ state: 'detached' });
  await app.settled();
  expect(await row(0).locator('textarea').inputValue()).toBe(cells[1].trim());
  expect(await row(1).locator('textarea').inputValue()).toBe(cells[2].trim());
  expect(
    await row(0)
      .getByLabel(/^Answer of/)
      .inputValue(),
  ).toBe(cells[3].trim());
  await page.getByRole('button', { name: /^Undo: Use prompt/ }).click();
  await app.settled();
  expect(await ids(0)).toEqual(golden.prompts[0]);
});

it('opens an own prompt set and says which lines cannot be used', async () => {
  const { page } = app;
  await page.getByRole('button', { name: 'Prompt sets…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Prompt sets' });
  await dialog.locator('tbody tr').first().waitFor();
  const text =
    '{"prompt":"Then , Noah and Otto","answer":"walked"}\nnot JSON\n{"prompt":"Then","answer":"Noah and"}\n';
  const [chooser] = await Promise.all([
    page.waitForEvent('filechooser'),
    dialog.getByRole('button', { name: 'Own file…' }).click(),
  ]);
  await chooser.setFiles({ name: 'mine.jsonl', mimeType: 'application/jsonl', buffer: Buffer.from(text) });
  await dialog.getByText('2 lines cannot be used').click();
  expect(await dialog.locator('.problems li').allTextContents()).toEqual([
    expect.stringMatching(/^Line 2:/),
    expect.stringMatching(/^Line 3:/),
  ]);
  expect(await dialog.locator('tbody tr').count()).toBe(1);
  expect(await dialog.locator('[data-set="mine"]').count()).toBe(1);
  await dialog.getByRole('button', { name: 'Close' }).click();
  await dialog.waitFor({ state: 'detached' });
});

it('folds away to one line', async () => {
  const { page } = app;
  const fold = page.getByRole('button', { name: 'Prompts', exact: true });
  await fold.click();
  const box = await page.getByRole('region', { name: 'Prompts' }).boundingBox();
  expect(box!.height).toBeLessThan(45);
  await fold.click();
  expect(await page.locator('[data-prompt]').count()).toBe(2);
});
