import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { labelledPrompts } from '../../src/analysis/calibration/score.ts';
import { searchAct } from '../../src/analysis/calibration/search.ts';
import type { ActSearch } from '../../src/analysis/calibration/search-document.ts';
import { runAll, type Edit } from '../../src/instrument/runner.ts';
import type { Heatmap } from '../../src/report/figure-schema.ts';
import { readReport } from '../../src/report/index.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { parsePromptSet } from '../../src/text/prompt-set.ts';
import { resolvePromptSet, type ResolvedPrompt } from '../../src/text/resolve.ts';
import { runCircuit, type CircuitReport } from '../../src/workbench/circuit-job.ts';
import { readSession } from '../../src/workbench/session/file.ts';
import type { SessionDocument } from '../../src/workbench/session/schema.ts';
import { openWorkbench, type Workbench } from '../../src/workbench/workbench.ts';
import { checkpointFolder } from '../helpers/models.ts';
import { saved, textOf } from './downloads.ts';
import { openApp, type App } from './harness.ts';
import { predictedLogits } from './heads-page.ts';
import { runCommand } from './palette.ts';

/* Longer work on WebGPU (SwiftShader where there is no graphics card), compared with the same work on the native CPU. */

const SEARCH = { epochs: 6, seeds: 1, permutations: 99, verifyPairs: 4 } as const;
const FIELDS = {
  epochs: 'Epochs',
  seeds: 'Autoencoders',
  permutations: 'Permutations',
  verifyPairs: 'Pairs (0: all)',
} as const;
/** Machines that are busy with other work. */
const LONG = 300_000;
const PAIRS = 10;
/** The span holds what the last token looks at; with ρ = 1 even heads that look at its sinks are treated. */
const FOCUS = [8, 18] as const;
const VAR = { dims: [3, 9], tau: 1, rho: 1, summ: 0.2, p: 0.1, focus: FOCUS };
const examples = readFileSync(`${checkpointFolder('induction-2l')}/tasks/induction.jsonl`, 'utf8')
  .split('\n')
  .slice(0, PAIRS)
  .join('\n');

let app: App;
let folder: string;
let reference: Workbench;
let prompts: readonly ResolvedPrompt[];
let circuit: CircuitReport;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'headscope-'));
  await writeFile(path.join(folder, 'ten.jsonl'), examples);
  reference = await openWorkbench(checkpointFolder('induction-2l'), nodeDevice('cpu', { threads: 1 }));
  prompts = resolvePromptSet(reference.tokenizer, parsePromptSet(examples)).prompts;
  circuit = (await runCircuit(reference, prompts, { ...SEARCH, verify: true })).document;
  app = await openApp();
  await app.openSample('induction-2l', 'webgpu');
}, LONG);
afterAll(async () => {
  await reference.close();
  await rm(folder, { recursive: true });
  await app.close();
});

const number = (text: string): number => Number(text.replaceAll('−', '-'));
const choose = async (file: string, act: () => Promise<void>): Promise<void> => {
  const [chooser] = await Promise.all([app.page.waitForEvent('filechooser'), act()]);
  await chooser.setFiles(path.join(folder, file));
};

/** Logits at the last token of the first prompt under edits, on the native CPU. */
async function logitsOf(edits: readonly Edit[]): Promise<Float32Array> {
  const rows = [{ ids: prompts[0].ids, edits }];
  return (await runAll(reference.opened.runner, { rows, allowNoEffect: true }))[0].logits;
}
async function expectPredictions(page: Page, logits: Float32Array): Promise<void> {
  const shown = await predictedLogits(page);
  expect(shown.size).toBe(10);
  const tenth = [...logits].sort((a, b) => b - a)[9];
  for (const [id, logit] of shown) {
    expect(Math.abs(logit - logits[id])).toBeLessThanOrEqual(1e-3);
    expect(logit).toBeGreaterThanOrEqual(tenth - 1e-3);
  }
}

/** The session as it is saved now; its file is kept too. */
async function currentSession(): Promise<SessionDocument> {
  const { bytes } = await saved(app.page, () => app.page.keyboard.press('Control+s'));
  await writeFile(path.join(folder, 'work.headscope'), bytes);
  return readSession(textOf(bytes));
}

/** Rows of the ranking by head, cells by column. */
async function ranking(page: Page): Promise<Map<string, Record<string, string>>> {
  const rows = await page
    .getByRole('grid', { name: 'Heads by score', exact: true })
    .locator('tbody tr[data-row]')
    .evaluateAll((all) =>
      all.map((row) =>
        [...row.querySelectorAll('td')].map((cell) => [cell.dataset.column ?? '', cell.textContent.trim()]),
      ),
    );
  return new Map(rows.map((cells) => [cells[0][1], Object.fromEntries(cells) as Record<string, string>]));
}

it('ablates and patches every head of a task as the CPU does', { timeout: LONG }, async () => {
  const { page } = app;
  await page.keyboard.press('Control+4');
  await page.getByTestId('task-accuracy').waitFor();
  await choose('ten.jsonl', () => page.getByRole('button', { name: 'Own file…' }).click());
  await page.getByText(`${PAIRS} pairs of equal length`).waitFor();
  for (const [setting, label] of Object.entries(FIELDS)) {
    const field = page.getByLabel(label, { exact: true });
    await field.fill(String(SEARCH[setting as keyof typeof SEARCH]));
    await field.blur();
  }
  await page.getByRole('button', { name: 'Find the circuit' }).click();
  await page.getByTestId('circuit-result').waitFor({ timeout: LONG });
  await app.settled();
  const rows = await ranking(page);
  expect(rows.size).toBe(16);
  for (const { name, effect } of circuit.heads) {
    const row = rows.get(name)!;
    expect(Math.abs(number(row.ablation) - effect!.meanAblation)).toBeLessThanOrEqual(1e-3);
    expect(Math.abs(number(row.patching) - effect!.patching!)).toBeLessThanOrEqual(1e-3);
  }
  for (const [testid, value] of [
    ['causal-clean', circuit.causal!.clean],
    ['causal-corrupt', circuit.causal!.corrupt],
  ] as const)
    expect(Number(await page.getByTestId(testid).getAttribute('data-value'))).toBeCloseTo(value, 3);
});

it('sees that heads which write nothing do nothing, and that the two of the circuit do most', async () => {
  const rows = await ranking(app.page);
  const { heads } = JSON.parse(readFileSync(`${checkpointFolder('induction-2l')}/circuit.json`, 'utf8')) as {
    heads: { layer: number; head: number; ov_norm: number; role: string | null }[];
  };
  const effect = ({ layer, head }: (typeof heads)[number]): number =>
    Math.abs(number(rows.get(`L${layer}H${head}`)!.ablation));
  const silent = heads.filter(({ ov_norm }) => ov_norm === 0);
  expect(silent.length).toBeGreaterThan(8);
  for (const head of silent) expect(effect(head)).toBeLessThan(0.01);
  const main = heads.filter(({ role }) => role === 'previous_token' || role === 'induction');
  const others = heads.filter((head) => !main.includes(head));
  expect(main).toHaveLength(2);
  expect(Math.min(...main.map(effect))).toBeGreaterThan(Math.max(...others.map(effect)));
});

it('collects a figure, and the report holds its numbers', async () => {
  const { page } = app;
  const title = `Effect of mean-ablating each head on the ${circuit.causal!.metric.replace('-', ' ')}`;
  const card = page.locator('.figure-card', { has: page.getByRole('heading', { name: title }) });
  await card.getByRole('button', { name: 'Add to report' }).click();
  await page.keyboard.press('Control+5');
  const { bytes } = await saved(page, async () => {
    await page.getByRole('button', { name: 'Save report' }).click();
    await page.getByRole('menuitem', { name: /^Document/ }).click();
  });
  const report = readReport(textOf(bytes));
  expect(report.provenance.device).toContain('WebGPU');
  const [figure] = report.sections[0].figures;
  expect(figure).toMatchObject({ kind: 'heatmap', title });
  const values = (figure as Heatmap).values;
  expect(values).toHaveLength(16);
  for (const { layer, head, effect } of circuit.heads)
    expect(Math.abs(values[8 * layer + head]! - effect!.meanAblation)).toBeLessThanOrEqual(1e-3);
});

it('redistributes attention as the CPU does', async () => {
  const { page } = app;
  const [start, end] = FOCUS;
  await page.keyboard.press('Control+3');
  await app.settled();
  const chips = page.getByRole('region', { name: 'Prompts' }).locator('[data-position]');
  const [from, to] = [(await chips.nth(start).boundingBox())!, (await chips.nth(end - 1).boundingBox())!];
  await page.mouse.move(from.x + 6, from.y + 6);
  await page.mouse.down();
  await page.mouse.move(to.x + 6, to.y + 6, { steps: 5 });
  await page.mouse.up();
  const panel = page.getByRole('region', { name: 'Move to a span (VAR)' });
  const type = async (label: string | RegExp, text: string): Promise<void> => {
    await panel.getByLabel(label).fill(text);
    await panel.getByLabel(label).press('Enter');
  };
  await type(/^Dimensions/, VAR.dims.join(' '));
  await panel.getByRole('switch').click();
  for (const [setting, value] of [
    ['τ', VAR.tau],
    ['ρ', VAR.rho],
    ['p', VAR.p],
  ] as const)
    await type(`${setting}, number`, String(value));
  await app.settled();
  expect(await panel.getByTestId('var-effect').innerText()).toMatch(
    /\d+ pairs of head and query are treated/,
  );
  const edits = Array.from({ length: 16 }, (_, i): Edit => ({
    kind: 'var',
    layer: Math.floor(i / 8),
    head: i % 8,
    ...VAR,
  }));
  const [plain, edited] = [await logitsOf([]), await logitsOf(edits)];
  expect(Math.max(...plain.map((logit, id) => Math.abs(logit - edited[id])))).toBeGreaterThan(0.5);
  await expectPredictions(page, edited);
});

it('searches the heads worth calibrating as the CPU does', { timeout: LONG }, async () => {
  const { page } = app;
  const panel = page.getByRole('region', { name: 'Which heads are worth calibrating?' });
  await panel.getByLabel(/^Prompt set/).selectOption({ label: `ten (${PAIRS} prompts, own)` });
  await panel.getByLabel(/^Improve/).selectOption('logprob');
  await panel.getByLabel(/^Keep/).selectOption('gain');
  await panel.getByRole('button', { name: 'Search heads' }).click();
  await page.getByTestId('search-kept').waitFor({ timeout: LONG });
  const expected = await searchAct(reference.opened.runner, labelledPrompts(prompts), {
    metric: 'logprob',
    keep: 'gain',
  });
  // Gains of heads that write next to nothing are rounding.
  const sure = expected.heads.filter(({ gain }) => Math.abs(gain) > 1e-4);
  expect(sure.length).toBeGreaterThan(1);
  const kept = (await page.getByTestId('search-kept').innerText()).split(' ');
  for (const { name, kept: wanted } of sure) expect(kept.includes(name)).toBe(wanted);
  const { search } = (await currentSession()).results.at(-1)!.data as { search: ActSearch };
  expect(search.heads.map(({ name }) => name)).toEqual(expected.heads.map(({ name }) => name));
  search.heads.forEach(({ gain }, i) => expect(gain).toBeCloseTo(expected.heads[i].gain, 4));
  const [gain] = /[+−][\d.e−]+/.exec(await page.getByTestId('search-heldout').innerText())!;
  expect(number(gain)).toBeCloseTo(expected.heldOut.gain, 4);
});

it('is the same again from its session file, in another window', { timeout: LONG }, async () => {
  const { page, context } = app;
  const shown = async (from: Page) => {
    await from.keyboard.press('Control+4');
    const rows = await ranking(from);
    await from.keyboard.press('Control+3');
    return {
      rows,
      device: await from.locator('.top-bar .picker select').inputValue(),
      edits: await from.locator('[data-edit]').allInnerTexts(),
      kept: await from.getByTestId('search-kept').innerText(),
      heldOut: await from.getByTestId('search-heldout').innerText(),
      logits: [...(await predictedLogits(from))],
    };
  };
  const { logits: wanted, ...before } = await shown(page);
  await currentSession();
  const fresh = await context.newPage();
  fresh.setDefaultTimeout(90_000);
  fresh.on('pageerror', (error) => app.troubles.push(`page error: ${error.message}`));
  await fresh.goto(app.url);
  await fresh.locator('[data-sample]').first().waitFor();
  const [chooser] = await Promise.all([
    fresh.waitForEvent('filechooser'),
    runCommand(fresh, 'Open a session'),
  ]);
  await chooser.setFiles(path.join(folder, 'work.headscope'));
  await fresh.getByTestId('status-model').waitFor({ timeout: 60_000 });
  await fresh.waitForFunction(
    () =>
      document.querySelectorAll('.predictions tr[data-token]').length === 10 &&
      !document.querySelector('.status-bar .job, [aria-busy="true"]'),
    undefined,
    { timeout: 60_000 },
  );
  const { logits, ...after } = await shown(fresh);
  expect(after).toEqual(before);
  expect(after.device).toBe('webgpu');
  expect(after.edits).toHaveLength(1);
  expect(logits.map(([id]) => id)).toEqual(wanted.map(([id]) => id));
  logits.forEach(([, logit], i) => expect(Math.abs(logit - wanted[i][1])).toBeLessThanOrEqual(1e-4));
  await fresh.close();
});
