import { afterAll, beforeAll, expect, it } from 'vitest';
import { readGolden } from '../helpers/golden.ts';
import { openApp, type App } from './harness.ts';
import {
  compareWith,
  gridValues,
  hoverPattern,
  openHead,
  predictedLogits,
  readCell,
  walkPattern,
} from './heads-page.ts';

const golden = readGolden('ioi-4l');
const T = 16;
/** [T, T] of one head of a golden prompt. */
const pattern = (prompt: number, layer: number, head: number): Float32Array =>
  golden.tensor(`p${prompt}.l${layer}.attn`).data.subarray(head * T * T, (head + 1) * T * T);

let app: App;
beforeAll(async () => {
  app = await openApp();
  await app.openSample('ioi-4l', 'cpu');
});
afterAll(() => app.close());

it('says what was recognised', async () => {
  expect(await app.page.getByTestId('recognised').textContent()).toMatch(/4\s*blocks\s*×\s*8\s*heads/);
  expect(await app.page.getByTestId('unrecognised').textContent()).toBe('everything recognised');
});

it('predicts what the golden logits say', async () => {
  const last = golden.tensor('p0.logits').data.subarray(15 * 342);
  const best = [...last.keys()].sort((a, b) => last[b] - last[a]).slice(0, 10);
  const shown = await predictedLogits(app.page);
  expect([...shown.keys()]).toEqual(best);
  for (const [id, logit] of shown) expect(logit).toBeCloseTo(last[id], 3);
});

it('colours the grid by numbers that follow from the golden patterns', async () => {
  const { page } = app;
  const expected: Record<string, (one: Float32Array) => number> = {
    entropy: (one) => -one.reduce((sum, p) => sum + (p > 0 ? p * Math.log2(p) : 0), 0) / T,
    first: (one) =>
      Array.from({ length: T - 1 }, (_, i) => one[(i + 1) * T]).reduce((a, b) => a + b) / (T - 1),
    previous: (one) =>
      Array.from({ length: T - 1 }, (_, i) => one[(i + 1) * T + i]).reduce((a, b) => a + b) / (T - 1),
    distance: (one) => one.reduce((sum, p, i) => sum + p * Math.abs(Math.floor(i / T) - (i % T)), 0) / T,
    sinks: (one) => {
      // a key that at least 8 queries see and that receives more than 5 / T on average
      let share = 0;
      for (let key = 0; key <= T - 8; key++) {
        const sum = Array.from({ length: T - key }, (_, i) => one[(key + i) * T + key]).reduce(
          (a, b) => a + b,
        );
        if (sum / (T - key) > 5 / T) share += sum / T;
      }
      return share;
    },
  };
  for (const [metric, of] of Object.entries(expected)) {
    await page.getByRole('combobox', { name: 'Colour by' }).selectOption(metric);
    expect((await page.getByTestId('metric-says').textContent())?.length).toBeGreaterThan(40);
    const values = await gridValues(page);
    for (let layer = 0; layer < 4; layer++)
      for (let head = 0; head < 8; head++)
        expect(values[layer][head], `${metric} L${layer}H${head}`).toBeCloseTo(
          of(pattern(0, layer, head)),
          3,
        );
  }
});

it('reads patterns out as the golden tensors have them', async () => {
  const { page } = app;
  for (const [layer, head] of [
    [1, 5],
    [3, 1],
  ]) {
    await openHead(page, { layer, head });
    await app.settled();
    const cells = await hoverPattern(page, 'pattern-first', 12);
    expect(cells.length).toBeGreaterThanOrEqual(12);
    const expected = pattern(0, layer, head);
    for (const { query, key, value } of cells)
      expect(Math.abs(value - expected[query * T + key]), `${query} → ${key}`).toBeLessThanOrEqual(1e-4);
  }
});

it('locks and moves a cell by keys, and shows the pattern as text and as a table', async () => {
  const { page } = app;
  await openHead(page, { layer: 3, head: 1 });
  await app.settled();
  const side = page.getByTestId('pattern-first');
  await side.locator('.stage').focus();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowDown');
  const cell = readCell((await side.locator('.locked').textContent()) ?? '')!;
  expect(cell.key).toBe(0);
  expect(cell.value).toBeCloseTo(pattern(0, 3, 1)[cell.query * T], 4);
  const modes = page.getByRole('group', { name: 'Show the pattern as' });
  await modes.getByRole('button', { name: 'Text' }).click();
  expect(await side.locator('[data-position]').count()).toBe(T);
  await modes.getByRole('button', { name: 'Table' }).click();
  expect(await side.locator('tbody tr:not([aria-hidden])').count()).toBeGreaterThan(5);
  await modes.getByRole('button', { name: 'Matrix' }).click();
});

it('shows two heads side by side and as a difference', async () => {
  const { page } = app;
  await openHead(page, { layer: 1, head: 5 });
  await compareWith(page, 'another head');
  await page.getByRole('combobox', { name: 'Layer of the other head' }).selectOption('2');
  await page.getByRole('combobox', { name: 'Other head', exact: true }).selectOption('3');
  await page.getByTestId('pattern-difference').waitFor();
  await app.settled();
  const [first, second] = [pattern(0, 1, 5), pattern(0, 2, 3)];
  const remark = (await page.getByTestId('pattern-difference-remark').textContent()) ?? '';
  const [, value, query, key] = /largest ([+−][\d.]+) at query (\d+) → key (\d+)/.exec(remark)!;
  const differences = second.map((a, i) => a - first[i]);
  const most = Math.max(...differences.map(Math.abs));
  expect(Math.abs(Number(value.replace('−', '-')))).toBeCloseTo(most, 4);
  expect(Math.abs(differences[Number(query) * T + Number(key)])).toBeCloseTo(most, 4);
  await compareWith(page, 'nothing');
});

it('compares two heads that were chosen in the grid', async () => {
  const { page } = app;
  await openHead(page, { layer: 0, head: 2 });
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press(' ');
  await page.getByRole('button', { name: 'Compare L0H2 with L0H3' }).click();
  await page.getByTestId('pattern-second').waitFor();
  expect(await page.getByTestId('pattern-second').getAttribute('aria-label')).toContain('L0H3');
  await page.getByRole('button', { name: 'Clear' }).click();
  await compareWith(page, 'nothing');
});

it('shows the same head on the corrupt prompt beside the clean one', async () => {
  const { page } = app;
  await openHead(page, { layer: 3, head: 1 });
  await compareWith(page, 'corrupt');
  await page.getByTestId('pattern-difference').waitFor();
  await app.settled();
  // The prompts are the same up to token 3, and no head looks ahead.
  const clean = pattern(0, 3, 1);
  const cells = await walkPattern(page, 'pattern-first', 'pattern-second', 4);
  expect(cells).toHaveLength(10);
  const differences = cells.map(({ query, key, value }) => ({
    query,
    apart: Math.abs(value - clean[query * T + key]),
  }));
  for (const { query, apart } of differences.filter(({ query }) => query < 3))
    expect(apart, `query ${query}`).toBeLessThanOrEqual(1e-4);
  expect(Math.max(...differences.map(({ apart }) => apart))).toBeGreaterThan(1e-3);
  const remark = (await page.getByTestId('pattern-difference-remark').textContent()) ?? '';
  const largest = /largest [+−](0\.\d+) at query (\d+)/.exec(remark)!;
  expect(Number(largest[2])).toBeGreaterThanOrEqual(3);
  await compareWith(page, 'nothing');
});

it('measures on demand, keeps the result as a step, and shows it again at once', async () => {
  const { page } = app;
  const metric = page.getByRole('combobox', { name: 'Colour by' });
  await metric.selectOption('induction');
  expect((await gridValues(page)).flat().every((value) => value === null)).toBe(true);
  await page.getByRole('button', { name: 'Score the heads on random repeated text' }).click();
  await app.settled();
  await page.waitForFunction(
    () => !document.querySelector('[data-testid="head-grid"]')?.getAttribute('data-values')?.includes('null'),
  );
  expect((await gridValues(page)).flat().every((value) => value !== null && value >= 0 && value <= 1)).toBe(
    true,
  );
  await metric.selectOption('duplicate');
  expect((await gridValues(page)).flat().every((value) => value !== null)).toBe(true);
  await page.keyboard.press('Control+z');
  expect((await gridValues(page)).flat().every((value) => value === null)).toBe(true);
  await page.keyboard.press('Control+Shift+z');
  expect((await gridValues(page)).flat().every((value) => value !== null)).toBe(true);

  await metric.selectOption('attribution');
  await page.getByRole('button', { name: 'Attribute the logit difference to heads' }).click();
  await page.getByText('How this was measured').click();
  const remark = (await page.locator('.remarks').textContent()) ?? '';
  const number = (pattern: RegExp): number => Number(pattern.exec(remark)![1].replace('−', '-'));
  const heads = (await gridValues(page)).flat().reduce<number>((sum, value) => sum + value!, 0);
  const whole = heads + number(/embedding ([−\d.]+)/) + number(/biases ([−\d.]+\d)/);
  const last = golden.tensor('p0.logits').data.subarray(15 * 342);
  expect(whole).toBeCloseTo(last[40] - last[42], 2);
  await metric.selectOption('entropy');
});

it('shows the patterns of all heads, and heads as a table', async () => {
  const { page } = app;
  const modes = page.getByRole('group', { name: 'Show the heads as' });
  await modes.getByRole('button', { name: 'Patterns' }).click();
  await app.settled();
  await page.waitForFunction(() => document.querySelector('[data-heads-drawn="32"]'));
  await modes.getByRole('button', { name: 'Table' }).click();
  const text = await page.getByRole('button', { name: /^L2H5: / }).textContent();
  const one = pattern(0, 2, 5);
  expect(Number(text)).toBeCloseTo(-one.reduce((sum, p) => sum + (p > 0 ? p * Math.log2(p) : 0), 0) / T, 1);
  await modes.getByRole('button', { name: 'Grid' }).click();
});
