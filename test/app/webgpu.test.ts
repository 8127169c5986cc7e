import { afterAll, beforeAll, expect, it } from 'vitest';
import { readCases } from '../edits/cases.ts';
import { readGolden } from '../helpers/golden.ts';
import { openApp, type App } from './harness.ts';
import { focusHead, gridValues, hoverPattern, openHead, predictedLogits } from './heads-page.ts';

/* The way through the app on WebGPU (SwiftShader where there is no graphics card). */

const golden = readGolden('ioi-4l');
const T = 16;
const VOCAB = 342;

let app: App;
beforeAll(async () => {
  app = await openApp();
  await app.openSample('ioi-4l', 'webgpu');
}, 240_000);
afterAll(() => app.close());

it('names the adapter, flags a software one, and has compared it with the CPU', async () => {
  const { page } = app;
  const picker = page.locator('.top-bar .picker select');
  const chosen = await picker.locator('option:checked').textContent();
  expect(chosen).toContain('WebGPU');
  if (chosen?.toLowerCase().includes('swiftshader')) expect(chosen).toContain('software');
  expect(await page.getByTestId('self-test').textContent()).toMatch(/\d/);
  expect(await page.getByTestId('measured').textContent()).toMatch(/^\s*Δ [\d.e−-]+\s*$/);
});

it('predicts and shows patterns as the golden tensors have them', async () => {
  const { page } = app;
  const last = golden.tensor('p0.logits').data.subarray(15 * VOCAB);
  for (const [id, logit] of await predictedLogits(page))
    expect(Math.abs(logit - last[id])).toBeLessThanOrEqual(1e-3);
  await openHead(page, { layer: 2, head: 3 });
  await app.settled();
  const cells = await hoverPattern(page, 'pattern-first', 12);
  expect(cells.length).toBeGreaterThanOrEqual(12);
  const pattern = golden.tensor('p0.l2.attn').data.subarray(3 * T * T);
  for (const { query, key, value } of cells)
    expect(Math.abs(value - pattern[query * T + key])).toBeLessThanOrEqual(1e-4);
});

it('colours the grid by summaries reduced on the device', async () => {
  const { page } = app;
  await page.getByRole('combobox', { name: 'Colour by' }).selectOption('first');
  const values = await gridValues(page);
  for (let layer = 0; layer < 4; layer++) {
    const all = golden.tensor(`p0.l${layer}.attn`).data;
    for (let head = 0; head < 8; head++) {
      let sum = 0;
      for (let query = 1; query < T; query++) sum += all[(head * T + query) * T];
      expect(values[layer][head]).toBeCloseTo(sum / (T - 1), 4);
    }
  }
});

it('ablates a head as the float64 reference does', async () => {
  const { page } = app;
  const wanted = readCases().find(({ model, title }) => model === 'ioi-4l' && title === 'zero ablation')!;
  await focusHead(page, { layer: 1, head: 3 });
  await page.keyboard.press('z');
  await page.locator('[data-edit]').waitFor();
  await app.settled();
  const { logits } = wanted;
  for (const [id, logit] of await predictedLogits(page))
    expect(Math.abs(logit - logits[id])).toBeLessThanOrEqual(1e-3);
  await page.keyboard.press('Control+z');
  await app.settled();
});

it('finds sinks and calibrates', async () => {
  const { page } = app;
  await page.keyboard.press('Control+2');
  await page.getByText('Sinks on the tokens').waitFor();
  await app.settled();
  await page.keyboard.press('Control+3');
  await page.getByRole('switch').first().check();
  await app.settled();
  expect(await page.locator('[data-edit]').textContent()).toContain('ACT');
  await page.keyboard.press('Control+z');
  await app.settled();
});

it('trains autoencoders and ranks every head', async () => {
  const { page } = app;
  await page.keyboard.press('Control+4');
  for (const [field, value] of [
    ['Epochs', '6'],
    ['Autoencoders', '1'],
  ] as const) {
    await page.getByLabel(field).fill(value);
    await page.getByLabel(field).press('Tab');
  }
  await page.getByLabel('Ablate and patch every head').uncheck();
  await page.getByRole('button', { name: 'Find the circuit' }).click();
  await page.getByTestId('circuit-result').waitFor({ timeout: 200_000 });
  await app.settled();
  const heads = await page
    .getByTestId('circuit-result')
    .getByText(/^L\dH\d$/)
    .allTextContents();
  expect(new Set(heads).size).toBe(32);
}, 240_000);
