import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readGolden } from '../helpers/golden.ts';
import { checkpointFolder } from '../helpers/models.ts';
import { phiOf, PlainGpt2, type Pattern, type PlainRun } from '../helpers/plain-gpt2.ts';
import { plantedCopy } from '../helpers/planted.ts';
import { openApp, type App } from './harness.ts';
import { predictedLogits } from './heads-page.ts';

/* Massive activations, which no sample has: ioi-4l with two residual dimensions made huge at the first token and at every comma. */

const DIMS = [21, 77];
const [BIG, SMALL] = [120, -90];
const COMMA = 196;
/** Half the largest φ that a width of 128 allows. */
const TAU = Math.sqrt(128) / 2;
const golden = readGolden('ioi-4l');
const [ids] = golden.prompts;
const SINKS = [0, ...ids.flatMap((id, i) => (id === COMMA ? [i] : []))];
/** What is dragged over: "Then , Noah and Otto walked to the". */
const FOCUS = [1, 9] as const;

let app: App;
let folder: string;
let model: PlainGpt2;
let plain: PlainRun;
beforeAll(async () => {
  folder = await plantedCopy('ioi-4l', 'massive', [
    { weight: 'transformer.wpe.weight', row: 0, dim: DIMS[0], value: BIG },
    { weight: 'transformer.wpe.weight', row: 0, dim: DIMS[1], value: SMALL },
    { weight: 'transformer.wte.weight', row: COMMA, dim: DIMS[0], value: 0.8 * BIG },
    { weight: 'transformer.wte.weight', row: COMMA, dim: DIMS[1], value: 0.8 * SMALL },
  ]);
  model = await PlainGpt2.read(folder);
  plain = model.run(ids);
  app = await openApp({ checkpoints: [folder] });
  await app.page.getByTestId('status-model').waitFor();
  await app.page.locator('.top-bar .picker select').selectOption('cpu');
  await app.settled();
}, 120_000);
afterAll(async () => {
  await rm(path.dirname(folder), { recursive: true });
  await app.close();
});

const varPanel = () => app.page.getByRole('region', { name: 'Move to a span (VAR)' });
const number = (text: string): number => Number(text.replaceAll('−', '-'));

async function expectPredictions(logits: Float64Array): Promise<void> {
  await app.settled();
  const shown = await predictedLogits(app.page);
  const best = [...logits.keys()].sort((a, b) => logits[b] - logits[a]).slice(0, 10);
  expect([...shown.keys()]).toEqual(best);
  for (const [id, logit] of shown) expect(Math.abs(logit - logits[id])).toBeLessThan(1e-3);
}

/** The numbers behind a figure, shown as a table. */
async function dataOf(page: Page, title: string): Promise<string[][]> {
  const card = page.locator('.figure-card', { has: page.getByRole('heading', { name: title }) });
  const button = card.getByRole('button', { name: 'Show as a table' });
  await button.click();
  const rows = await card
    .locator('tbody tr')
    .evaluateAll((all) => all.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.textContent)));
  await button.click();
  return rows;
}

/** VAR as it is published, layer by layer: which pairs of head and query are treated, and their rows afterwards. */
function redistribute(
  pattern: Pattern,
  resid: readonly Float64Array[],
  { tau = TAU, rho = 0.5, summ = 0.2, p = 0.6 },
): { pattern: Pattern; treated: number } {
  const [start, end] = FOCUS;
  const sinks = resid.flatMap((row, k) => (phiOf(row, DIMS) > tau ? [k] : []));
  const inside = (k: number): boolean => k >= start && k < end;
  const others = ids.flatMap((_, k) => (inside(k) && !sinks.includes(k) ? [k] : []));
  const sum = (row: Float64Array, keys: readonly number[]): number =>
    keys.reduce((all, k) => all + row[k], 0);
  let treated = 0;
  const after = pattern.map((rows) =>
    rows.map((row, q) => {
      const onSpanSinks = sum(row, sinks.filter(inside));
      const onSpan = onSpanSinks + sum(row, others);
      if (q < end || !sinks.some(inside) || onSpan < summ || onSpanSinks > rho * onSpan) return row;
      treated++;
      const freed = (1 - p) * sum(row, sinks);
      const onOthers = sum(row, others);
      return row.map((share, k) => {
        if (sinks.includes(k)) return p * share;
        return others.includes(k) ? share + (freed * share) / onOthers : share;
      });
    }),
  );
  return { pattern: after, treated };
}
const edited = (settings: Parameters<typeof redistribute>[2]): PlainRun =>
  model.run(ids, (pattern, resid) => redistribute(pattern, resid, settings).pattern);

it('the plain model is the model', async () => {
  const sample = (await PlainGpt2.read(checkpointFolder('ioi-4l'))).run(ids);
  const [{ length }] = [ids];
  for (let layer = 0; layer < 4; layer++) {
    const { data } = golden.tensor(`p0.l${layer}.attn`);
    sample.pattern[layer].forEach((rows, head) =>
      rows.forEach((row, q) =>
        row.forEach((share, k) =>
          expect(Math.abs(share - data[(head * length + q) * length + k])).toBeLessThan(1e-4),
        ),
      ),
    );
  }
  const logits = golden.tensor('p0.logits').data.subarray((length - 1) * sample.logits.length);
  sample.logits.forEach((logit, id) => expect(Math.abs(logit - logits[id])).toBeLessThan(1e-3));
});

it('runs as the plain model does', async () => {
  await expectPredictions(plain.logits);
});

it('finds the planted dimensions and the tokens that they make sinks', async () => {
  const { page } = app;
  await page.keyboard.press('Control+2');
  await page.locator('.strip [data-sink]').first().waitFor();
  await app.settled();
  expect(await page.getByTestId('sinks-dims').innerText()).toMatch(/^21, 77\b/);
  const phi = ids.map((_, k) => Math.max(...plain.resid.slice(0, 4).map((rows) => phiOf(rows[k], DIMS))));
  expect(ids.flatMap((_, k) => (phi[k] > TAU ? [k] : []))).toEqual(SINKS);
  const byState = await page
    .locator('.strip [data-sink]')
    .evaluateAll((all) =>
      all
        .filter((each) => /hidden state|both/.test((each as HTMLElement).dataset.sink ?? ''))
        .map((each) => Number((each as HTMLElement).dataset.position)),
    );
  expect(byState).toEqual(SINKS);
  const rows = await page
    .getByRole('grid', { name: /^Sinks of/ })
    .locator('tbody tr')
    .evaluateAll((all) =>
      all.map((row) =>
        Object.fromEntries(
          [...row.querySelectorAll<HTMLElement>('td')].map((cell) => [
            cell.dataset.column ?? '',
            cell.textContent,
          ]),
        ),
      ),
    );
  const withPhi = rows.filter((row) => row.phi !== '–');
  expect(withPhi.map((row) => Number(row.position)).sort((a, b) => a - b)).toEqual(SINKS);
  for (const row of withPhi) expect(number(row.phi)).toBeCloseTo(phi[Number(row.position)], 2);
  for (const row of withPhi) expect(row.dims).toBe('21 77');
  const others = ids.flatMap((_, k) => (SINKS.includes(k) ? [] : [k]));
  const curves = (await dataOf(page, 'φ in the stream that enters each layer')).map(
    ([series, layer, value]) => [series, Number(layer), number(value)] as const,
  );
  expect(curves).toHaveLength(4 * (SINKS.length + 1));
  for (const [series, layer, value] of curves) {
    const position = / at (\d+)$/.exec(series)?.[1];
    const tokens = position === undefined ? others : [Number(position)];
    expect(value).toBeCloseTo(Math.max(...tokens.map((k) => phiOf(plain.resid[layer][k], DIMS))), 2);
  }
});

it('moves attention from the sinks into the span without a typed dimension', async () => {
  const { page } = app;
  await page.keyboard.press('Control+3');
  await app.settled();
  const chips = page.getByRole('region', { name: 'Prompts' }).locator('[data-position]');
  const [from, to] = [
    (await chips.nth(FOCUS[0]).boundingBox())!,
    (await chips.nth(FOCUS[1] - 1).boundingBox())!,
  ];
  await page.mouse.move(from.x + 6, from.y + 6);
  await page.mouse.down();
  await page.mouse.move(to.x + 6, to.y + 6, { steps: 5 });
  await page.mouse.up();
  await app.settled();
  expect(await page.getByTestId('var-dims').innerText()).toBe('21, 77 found');
  await varPanel().getByRole('switch').click();
  await app.settled();
  const after = edited({});
  expect(Math.max(...after.logits.map((logit, id) => Math.abs(logit - plain.logits[id])))).toBeGreaterThan(
    0.01,
  );
  await expectPredictions(after.logits);
  const treated = plain.pattern
    .map((pattern, layer) => redistribute(pattern, plain.resid[layer], {}).treated)
    .reduce((a, b) => a + b, 0);
  expect(treated).toBeGreaterThan(0);
  expect(await page.getByTestId('var-effect').innerText()).toBe(
    `1 sink in the span and 1 outside; ${treated} pairs of head and query are treated.`,
  );
});

it('shows the pattern that VAR makes', async () => {
  const { page } = app;
  const after = edited({}).pattern[2];
  const change = plain.pattern[2].map((rows, head) =>
    Math.max(...rows.flatMap((row, q) => [...row.map((share, k) => Math.abs(after[head][q][k] - share))])),
  );
  const head = change.indexOf(Math.max(...change));
  await page
    .getByRole('region', { name: 'Pattern before and after' })
    .getByLabel(/^Head/)
    .selectOption(`L2H${head}`);
  await app.settled();
  const largest = Number(await page.getByTestId('pattern-difference').getAttribute('data-largest'));
  expect(largest).toBeGreaterThan(0.01);
  expect(largest).toBeCloseTo(change[head], 4);
});

it('follows p, ρ and τ', async () => {
  const { page } = app;
  const type = async (label: string, text: string): Promise<void> => {
    const field = varPanel().getByLabel(`${label}, number`);
    await field.fill(text);
    await field.press('Enter');
  };
  await type('p', '0');
  await expectPredictions(edited({ p: 0 }).logits);
  await type('ρ', '0.05');
  await expectPredictions(edited({ p: 0, rho: 0.05 }).logits);
  // More than φ is anywhere: no token is a sink.
  await type('τ', '9.2');
  await expectPredictions(plain.logits);
  expect(await page.getByTestId('var-effect').innerText()).toContain('nothing was changed');
});
