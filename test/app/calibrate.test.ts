import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { labelledPrompts } from '../../src/analysis/calibration/score.ts';
import { searchAct } from '../../src/analysis/calibration/search.ts';
import { runAll, type Edit } from '../../src/instrument/runner.ts';
import { parsePromptSet } from '../../src/text/prompt-set.ts';
import { resolvePromptSet } from '../../src/text/resolve.ts';
import { loadTokenizer } from '../../src/text/tokenizer/tokenizer.ts';
import { readGolden } from '../helpers/golden.ts';
import { checkpointFolder, openFolder, type Opened } from '../helpers/models.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { saved, textOf } from './downloads.ts';
import { openApp, type App } from './harness.ts';
import { predictedLogits } from './heads-page.ts';

const actPanel = (page: Page) => page.getByRole('region', { name: 'Turn sinks down (ACT)' });
const varPanel = (page: Page) => page.getByRole('region', { name: 'Move to a span (VAR)' });

async function type(panel: ReturnType<typeof actPanel>, label: string | RegExp, text: string): Promise<void> {
  const field = panel.getByLabel(label);
  await field.fill(text);
  await field.press('Enter');
}

/** Logits at the last token of a prompt under edits, from the runner in Node. */
async function logitsOf(
  model: Opened,
  ids: readonly number[],
  edits: readonly Edit[],
): Promise<Float32Array> {
  const [row] = await runAll(model.runner, { rows: [{ ids, edits }], allowNoEffect: true });
  return row.logits;
}

/** The side panel shows the ten best tokens of these logits, each with its logit. */
async function expectPredictions(page: Page, logits: Float32Array): Promise<void> {
  const shown = await predictedLogits(page);
  const best = [...logits.keys()].sort((a, b) => logits[b] - logits[a]).slice(0, 10);
  expect([...shown.keys()]).toEqual(best);
  for (const [id, logit] of shown) expect(logit).toBeCloseTo(logits[id], 3);
}

const act = (heads: readonly (readonly [number, number])[], beta: number, alpha = 5): Edit[] =>
  heads.map(([layer, head]) => ({ kind: 'act', layer, head, alpha, beta }));
const everyHead = (layers: number, heads: number): [number, number][] =>
  Array.from({ length: layers * heads }, (_, i) => [Math.floor(i / heads), i % heads]);

describe('ACT on sink-delim-2l', () => {
  const golden = readGolden('sink-delim-2l');
  const [ids] = golden.prompts;
  let app: App;
  let model: Opened;
  beforeAll(async () => {
    app = await openApp();
    model = await openFolder(checkpointFolder('sink-delim-2l'));
    await app.openSample('sink-delim-2l', 'cpu');
    await app.page.getByRole('button', { name: 'Calibrate' }).click();
  });
  afterAll(async () => {
    await model.closeAll();
    await app.close();
  });

  it('changes the predictions as the runner does, with the published settings', async () => {
    const { page } = app;
    await expectPredictions(page, golden.tensor('p0.logits').data.slice(-golden.tensor('p0.logits').dims[1]));
    await actPanel(page).getByRole('switch').click();
    await app.settled();
    await expectPredictions(page, await logitsOf(model, ids, act(everyHead(2, 4), 0.4)));
    expect(await page.locator('[data-edit]').textContent()).toContain('ACT on 8 heads, β 0.4');
  });

  it('shows what became of the pattern', async () => {
    const { page } = app;
    await page
      .getByRole('region', { name: 'Pattern before and after' })
      .getByLabel(/^Head/)
      .selectOption('L0H1');
    await app.settled();
    const taps = [{ site: 'pattern' as const, layers: [0] }];
    const rows = [{ ids }, { ids, edits: act(everyHead(2, 4), 0.4) }];
    const [before, after] = await runAll(model.runner, { rows, taps, logits: 'none', allowNoEffect: true });
    const one = (row: typeof before): Float32Array =>
      row.tap('pattern', 0).data.subarray(24 * 24, 2 * 24 * 24);
    const largest = Number(await page.getByTestId('pattern-difference').getAttribute('data-largest'));
    expect(largest).toBeCloseTo(maxAbs(one(before), one(after)), 4);
    expect(largest).toBeGreaterThan(0.1);
  });

  it('follows β as it is moved, one step of undo for the whole move; β = 1 leaves everything', async () => {
    const { page } = app;
    const slider = actPanel(page).getByLabel('β', { exact: true });
    await slider.focus();
    for (let i = 0; i < 6; i++) await page.keyboard.press('ArrowLeft');
    await app.settled();
    await expectPredictions(page, await logitsOf(model, ids, act(everyHead(2, 4), 0.34)));
    await page.keyboard.press('End');
    await app.settled();
    await expectPredictions(page, golden.tensor('p0.logits').data.slice(-golden.tensor('p0.logits').dims[1]));
    expect(await page.getByTestId('pattern-difference').textContent()).toContain('do not change');
    await page.locator('.top-bar').getByRole('button', { name: /^Undo/ }).click();
    await app.settled();
    expect(await page.locator('[data-edit]').textContent()).toContain('β 0.4');
    await expectPredictions(page, await logitsOf(model, ids, act(everyHead(2, 4), 0.4)));
  });

  it('calibrates the heads that are chosen, by α or by the absolute rule', async () => {
    const { page } = app;
    await actPanel(page).getByRole('button', { name: 'None' }).click();
    await actPanel(page).getByRole('button', { name: /^L0H1/ }).click();
    await actPanel(page).getByRole('checkbox', { name: 'L1' }).click();
    await type(actPanel(page), 'α, number', '2');
    await app.settled();
    const heads: [number, number][] = [
      [0, 1],
      [1, 0],
      [1, 1],
      [1, 2],
      [1, 3],
    ];
    await expectPredictions(page, await logitsOf(model, ids, act(heads, 0.4, 2)));
    await actPanel(page).getByLabel('absolute').click();
    await type(actPanel(page), 'Threshold, number', '0.15');
    await app.settled();
    const edits = heads.map(([layer, head]): Edit => ({
      kind: 'act',
      layer,
      head,
      absolute: 0.15,
      beta: 0.4,
    }));
    await expectPredictions(page, await logitsOf(model, ids, edits));
  });

  it('says plainly when nothing can change', async () => {
    const { page } = app;
    await type(actPanel(page), 'Threshold, number', '1');
    await app.settled();
    expect(await page.getByTestId('act-effect').textContent()).toContain('no sink can be found');
    await actPanel(page).getByRole('button', { name: 'Reset' }).click();
    await app.settled();
    expect(await page.locator('[data-edit]').count()).toBe(0);
  });

  it('saves a calibration and uses it again on another prompt', async () => {
    const { page } = app;
    await actPanel(page).getByRole('button', { name: 'None' }).click();
    await actPanel(page).getByRole('button', { name: /^L0H0/ }).click();
    await actPanel(page).getByRole('button', { name: /^L1H2/ }).click();
    await type(actPanel(page), 'β, number', '0.1');
    await app.settled();
    const file = await saved(page, () =>
      actPanel(page).getByRole('button', { name: 'Save calibration…' }).click(),
    );
    expect(file.name).toBe('sink-delim-2l-calibration.json');
    const calibration = { kind: 'act', version: 1, heads: ['L0H0', 'L1H2'], alpha: 5, beta: 0.1 };
    expect(JSON.parse(textOf(file.bytes))).toEqual(calibration);
    await actPanel(page).getByRole('button', { name: 'Reset' }).click();
    const prompt = page.locator('[data-prompt] textarea').first();
    await app.settled();

    const folder = await mkdtemp(path.join(tmpdir(), 'headscope-'));
    try {
      const load = async (name: string, text: string): Promise<void> => {
        await writeFile(path.join(folder, name), text);
        const [chooser] = await Promise.all([
          page.waitForEvent('filechooser'),
          actPanel(page).getByRole('button', { name: 'Load calibration…' }).click(),
        ]);
        await chooser.setFiles(path.join(folder, name));
      };
      await load('wrong.json', JSON.stringify({ ...calibration, heads: ['L7H0'] }));
      await actPanel(page).getByRole('alert').waitFor();
      expect(await actPanel(page).getByRole('alert').textContent()).toContain('L7H0');
      expect(await page.locator('[data-edit]').count()).toBe(0);
      await load('good.json', textOf(file.bytes));
      await page.locator('[data-edit]').waitFor();
    } finally {
      await rm(folder, { recursive: true });
    }
    const other = 'C E . U 2 i 2 X t X 5 J D w Q W q t q i q w Q i';
    await prompt.fill(other);
    await prompt.press('Enter');
    await page.locator('[data-prompt] .chip[aria-label^="C, position 0"]').waitFor();
    await app.settled();
    await expectPredictions(
      page,
      await logitsOf(
        model,
        golden.prompts[1],
        act(
          [
            [0, 0],
            [1, 2],
          ],
          0.1,
        ),
      ),
    );
  });

  it('exports the calibrated model as one file', async () => {
    const { page } = app;
    const file = await saved(page, () =>
      actPanel(page).getByRole('button', { name: 'Export calibrated model…' }).click(),
    );
    expect(file.name).toBe('sink-delim-2l-calibrated.onnx');
    const folder = await mkdtemp(path.join(tmpdir(), 'headscope-'));
    await writeFile(path.join(folder, 'model.onnx'), file.bytes);
    const exported = await openFolder(folder);
    try {
      const expected = await logitsOf(
        model,
        ids,
        act(
          [
            [0, 0],
            [1, 2],
          ],
          0.1,
        ),
      );
      expect(maxAbs(await logitsOf(exported, ids, []), expected)).toBeLessThan(1e-4);
    } finally {
      await exported.closeAll();
      await rm(folder, { recursive: true });
    }
  });
});

describe('VAR and the head search on ioi-4l', () => {
  const [ids] = readGolden('ioi-4l').prompts;
  let app: App;
  let model: Opened;
  beforeAll(async () => {
    app = await openApp();
    model = await openFolder(checkpointFolder('ioi-4l'));
    await app.openSample('ioi-4l', 'cpu');
    await app.page.getByRole('button', { name: 'Calibrate' }).click();
  });
  afterAll(async () => {
    await model.closeAll();
    await app.close();
  });
  beforeEach(() => app.settled());

  const variation = (p: number, tau: number): Edit[] =>
    everyHead(4, 8).map(([layer, head]) => ({
      kind: 'var',
      ...{ layer, head, dims: [3, 9], tau, rho: 0.5, summ: 0.2, p },
      focus: [1, 9],
    }));

  it('teaches how to choose a focus span, and that the model has no sink dimension', async () => {
    const { page } = app;
    expect(await page.getByTestId('var-focus').textContent()).toContain('Drag over the tokens');
    expect(await page.getByTestId('var-dims').textContent()).toContain('VAR changes nothing');
    expect(await varPanel(page).getByRole('switch').isDisabled()).toBe(true);
  });

  it('moves attention into the span that was dragged over, as the runner does', async () => {
    const { page } = app;
    const chips = page.getByRole('region', { name: 'Prompts' }).locator('[data-position]');
    const [from, to] = [(await chips.nth(1).boundingBox())!, (await chips.nth(8).boundingBox())!];
    await page.mouse.move(from.x + 6, from.y + 6);
    await page.mouse.down();
    await page.mouse.move(to.x + 6, to.y + 6, { steps: 5 });
    await page.mouse.up();
    expect(await page.getByTestId('var-focus').textContent()).toContain('tokens 1 to 8');
    await type(varPanel(page), /^Dimensions/, '3 9');
    await varPanel(page).getByRole('switch').click();
    await app.settled();
    expect(await page.getByTestId('var-effect').textContent()).toContain('nothing was changed');
    await type(varPanel(page), 'τ, number', '1');
    await app.settled();
    await expectPredictions(page, await logitsOf(model, ids, variation(0.6, 1)));
    expect(await page.getByTestId('var-effect').textContent()).toMatch(
      /\d+ pairs of head and query\s+are treated/,
    );
    await page.getByRole('heading', { name: 'Attention to the focus span' }).waitFor();
    await type(varPanel(page), 'p, number', '1');
    await app.settled();
    await expectPredictions(page, await logitsOf(model, ids, []));
  });

  it('works together with ACT', async () => {
    const { page } = app;
    await type(varPanel(page), 'p, number', '0.3');
    await actPanel(page).getByRole('switch').click();
    await app.settled();
    const edits = [...variation(0.3, 1), ...act(everyHead(4, 8), 0.4)];
    await expectPredictions(page, await logitsOf(model, ids, edits));
    await varPanel(page).getByRole('button', { name: 'Reset' }).click();
    await actPanel(page).getByRole('button', { name: 'Reset' }).click();
    await app.settled();
    await expectPredictions(page, await logitsOf(model, ids, []));
  });

  it('finds the heads that are worth calibrating, with the numbers of the analysis', async () => {
    const { page } = app;
    const panel = page.getByRole('region', { name: 'Which heads are worth calibrating?' });
    await panel.getByLabel(/^Prompt set/).selectOption({ label: 'ioi (64 prompts, tasks/ioi.jsonl)' });
    await panel.getByLabel(/^Improve/).selectOption('logprob');
    await panel.getByLabel(/^Keep/).selectOption('gain');
    await type(panel, /^Seed/, '4');
    await panel.getByRole('button', { name: 'Search heads' }).click();
    await page.getByTestId('search-kept').waitFor({ timeout: 60_000 });

    const text = (file: string): string => readFileSync(`${checkpointFolder('ioi-4l')}/${file}`, 'utf8');
    const tokenizer = loadTokenizer(text('tokenizer.json'), text('tokenizer_config.json'));
    const { prompts } = resolvePromptSet(tokenizer, parsePromptSet(text('tasks/ioi.jsonl')));
    const expected = await searchAct(model.runner, labelledPrompts(prompts), {
      metric: 'logprob',
      keep: 'gain',
      seed: 4,
    });
    expect(expected.calibrated.heads.length).toBeGreaterThan(0);
    expect(await page.getByTestId('search-kept').textContent()).toBe(expected.calibrated.heads.join(' '));
    expect(await page.getByTestId('search-chance').textContent()).toBe(expected.keptByChance.toFixed(1));
    const shown = (await page.getByTestId('search-heldout').textContent())!.replaceAll('−', '-');
    const [gain, , low, high] = [...shown.matchAll(/[+-]?\d+(\.\d+)?(e-?\d+)?/g)].map(([each]) =>
      Number(each),
    );
    const { heldOut } = expected;
    expect(gain).toBeCloseTo(heldOut.gain, 5);
    expect(low).toBeCloseTo(heldOut.ci95[0], 5);
    expect(high).toBeCloseTo(heldOut.ci95[1], 5);

    await page.getByRole('button', { name: 'Apply to prompts' }).click();
    await app.settled();
    const heads = expected.calibrated.heads.map((name): [number, number] => [
      Number(name[1]),
      Number(name[3]),
    ]);
    await expectPredictions(page, await logitsOf(model, ids, act(heads, 0.4)));
  });

  it('is cancelled without leaving anything, and a kept result can be undone', async () => {
    const { page } = app;
    const panel = page.getByRole('region', { name: 'Which heads are worth calibrating?' });
    await panel.getByLabel(/^Combine/).selectOption('greedy');
    await panel.getByRole('button', { name: 'Search heads' }).click();
    await page.getByRole('button', { name: /^Cancel: Head search/ }).click();
    await app.settled();
    expect(await panel.getByRole('alert').count()).toBe(0);
    expect(await panel.getByLabel(/^Result/).count()).toBe(0);
    const undo = page.locator('.top-bar').getByRole('button', { name: /^Undo/ });
    await undo.click(); // applying it
    await undo.click(); // finding it
    await app.settled();
    expect(await page.getByTestId('search-kept').count()).toBe(0);
  });
});
