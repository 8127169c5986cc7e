import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { chooseHeads, type CircuitRule } from '../../src/analysis/circuits/choose.ts';
import { rocAuc } from '../../src/analysis/circuits/auc.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { circuitFindings, codeRows, type CircuitFindings } from '../../src/workbench/circuit-findings.ts';
import { runCircuit } from '../../src/workbench/circuit-job.ts';
import { bundledTasks } from '../../src/workbench/tasks.ts';
import { openWorkbench } from '../../src/workbench/workbench.ts';
import { checkpointFolder } from '../helpers/models.ts';
import { openApp, type App } from './harness.ts';

/** A search that takes seconds, with the causal check on all 64 pairs. */
const SETTINGS = { epochs: 60, seeds: 2, permutations: 99, seed: 3 } as const;
const FIELDS: Readonly<Record<keyof typeof SETTINGS, string>> = {
  epochs: 'Epochs',
  seeds: 'Autoencoders',
  permutations: 'Permutations',
  seed: 'Seed',
};
/** Machines that are busy with other work. */
const LONG = 300_000;

interface KnownHead {
  readonly layer: number;
  readonly head: number;
  readonly in_circuit: boolean;
  readonly mean_ablation_effect: number;
  readonly patching_effect: number;
}
const known = (
  JSON.parse(readFileSync(`${checkpointFolder('ioi-4l')}/circuit.json`, 'utf8')) as {
    tasks: { ioi: { heads: KnownHead[]; clean_metric: number; corrupted_metric: number } };
  }
).tasks.ioi;
const nameOf = ({ layer, head }: { layer: number; head: number }): string => `L${layer}H${head}`;

/** The same search in Node, with what a person would have typed. */
async function searchInNode(): Promise<CircuitFindings> {
  const workbench = await openWorkbench(checkpointFolder('ioi-4l'), nodeDevice('cpu', { threads: 1 }));
  try {
    const { tasks } = await bundledTasks(workbench);
    const task = tasks.find(({ name }) => name === 'ioi')!;
    const outcome = await runCircuit(workbench, task.prompts, { ...SETTINGS, verify: true });
    const texts = (side: 'prompt' | 'corrupt') => task.prompts.map(({ item }) => item[side] ?? '');
    return circuitFindings(
      {
        name: 'ioi',
        origin: task.origin,
        accuracy: 1,
        paired: true,
        positives: texts('prompt'),
        negatives: texts('corrupt'),
      },
      outcome,
    );
  } finally {
    await workbench.close();
  }
}

let app: App;
let expected: CircuitFindings;
beforeAll(async () => {
  expected = await searchInNode();
  app = await openApp();
  await app.openSample('ioi-4l', 'cpu');
  await app.page.keyboard.press('Control+4');
}, LONG);
afterAll(() => app.close());

const set = async (label: string, value: string | number): Promise<void> => {
  const field = app.page.getByLabel(label, { exact: true });
  await field.fill(String(value));
  await field.blur();
};
const find = (): Promise<void> => app.page.getByRole('button', { name: 'Find the circuit' }).click();
const numberOf = async (testid: string): Promise<number> =>
  Number(await app.page.getByTestId(testid).getAttribute('data-value'));
const members = async (): Promise<string[]> =>
  ((await app.page.getByTestId('circuit-size').getAttribute('data-members')) ?? '')
    .split(' ')
    .filter((name) => name !== '');
/** Every row of a table on the screen, by column; numbers where they are. */
const rowsOf = async (label: string): Promise<Record<string, string | number>[]> => {
  const rows = await app.page
    .getByRole('grid', { name: label, exact: true })
    .locator('tbody tr[data-row]')
    .evaluateAll((all) =>
      all.map((row) =>
        Object.fromEntries(
          [...row.querySelectorAll('td')].map((cell) => [cell.dataset.column ?? '', cell.textContent.trim()]),
        ),
      ),
    );
  return rows.map((row) =>
    Object.fromEntries(
      Object.entries(row).map(([column, text]) => {
        const number = Number(text.replace(/−/g, '-'));
        return [column, text === '' || Number.isNaN(number) ? text : number];
      }),
    ),
  );
};

it('says what the task is and whether the model can do it', async () => {
  const { page } = app;
  await page.getByTestId('task-accuracy').waitFor();
  expect(await page.getByTestId('task-prompts').textContent()).toContain('64 pairs of equal length');
  expect(await numberOf('task-accuracy')).toBe(1);
});

it('shows losses while it trains, and leaves nothing when cancelled', { timeout: LONG }, async () => {
  const { page } = app;
  await set('Epochs', 100_000);
  await find();
  const losses = async (): Promise<number[]> => {
    const text = await page.getByTestId('live-loss').getAttribute('data-curves');
    return (JSON.parse(text ?? '[]') as { losses: number[] }[])[0].losses;
  };
  await expect.poll(async () => (await losses()).length, { timeout: 60_000 }).toBeGreaterThan(3);
  const seen = await losses();
  expect(seen.at(-1)).toBeLessThan(seen[0]);
  expect(await page.getByTestId('live-loss').locator('svg path').count()).toBeGreaterThan(0);
  expect(await page.getByTestId('circuit-stage').textContent()).toMatch(
    /^training autoencoder 1 of 5, epoch \d+ of 100000, loss \d\.\d{4}$/,
  );
  await page.getByTestId('circuit-run').getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('button', { name: 'Find the circuit' }).waitFor();
  expect(await page.getByTestId('circuit-result').count()).toBe(0);
  expect(await page.locator('.status-bar .job').count()).toBe(0);
  expect(await page.getByRole('alert').count()).toBe(0);
});

it('ranks the heads as the same search in Node does', { timeout: LONG }, async () => {
  const { page } = app;
  for (const [setting, value] of Object.entries(SETTINGS))
    await set(FIELDS[setting as keyof typeof SETTINGS], value);
  await find();
  await page.getByTestId('circuit-result').waitFor({ timeout: LONG });
  const rows = await rowsOf('Heads by score');
  const { heads } = expected.document;
  expect(rows.map(({ head }) => head)).toEqual(heads.map(({ name }) => name));
  rows.forEach((row, i) => {
    expect(row.score).toBeCloseTo(heads[i].score, 4);
    expect(row.q).toBeCloseTo(heads[i].q, 3);
    expect(row.ablation).toBeCloseTo(heads[i].effect!.meanAblation, 2);
  });
  expect(await members()).toEqual(heads.filter(({ inCircuit }) => inCircuit).map(({ name }) => name));
});

it('checks causally what the circuit file says', async () => {
  const rows = new Map((await rowsOf('Heads by score')).map((row) => [row.head, row]));
  expect(known.heads).toHaveLength(32);
  for (const head of known.heads) {
    const row = rows.get(nameOf(head))!;
    expect(Math.abs(Number(row.ablation) - head.mean_ablation_effect)).toBeLessThan(1e-3);
    expect(Math.abs(Number(row.patching) - head.patching_effect)).toBeLessThan(1e-3);
  }
  expect(await numberOf('causal-clean')).toBeCloseTo(known.clean_metric, 3);
  expect(await numberOf('causal-corrupt')).toBeCloseTo(known.corrupted_metric, 3);
});

it('compares with the known circuit', async () => {
  const { heads } = expected.document;
  const belongs = new Map(known.heads.map((head) => [nameOf(head), head.in_circuit]));
  const sides = heads.map(({ name }) => belongs.get(name)!);
  const auc = rocAuc(
    heads.map(({ score }) => score),
    sides,
  );
  expect(await numberOf('auc-node')).toBeCloseTo(auc, 10);
  const chosen = await members();
  const right = chosen.filter((name) => belongs.get(name)).length;
  expect(await numberOf('precision')).toBeCloseTo(right / chosen.length, 10);
  expect(await numberOf('recall')).toBeCloseTo(right / sides.filter(Boolean).length, 10);
});

it('chooses heads again at once, as steps that can be undone', async () => {
  const { page } = app;
  const { heads } = expected.document;
  const before = await members();
  const under = (rule: CircuitRule): string[] => {
    const chosen = chooseHeads(
      rule,
      heads.map(({ score }) => score),
      heads.map(({ q }) => q),
    );
    return heads.filter((_, i) => chosen[i]).map(({ name }) => name);
  };
  await set('FDR, number', 0.3);
  expect(await members()).toEqual(under({ by: 'fdr', fdr: 0.3 }));
  expect(await members()).not.toEqual(before);
  await page.getByLabel('Choose by').selectOption('size');
  await set('Heads, number', 5);
  expect(await members()).toEqual(under({ by: 'size', size: 5 }));
  const flagged = (await rowsOf('Heads by score')).filter(({ circuit }) => circuit === '●yes');
  expect(flagged.map(({ head }) => head)).toEqual(under({ by: 'size', size: 5 }));
  await page.getByLabel('Heads by score').focus();
  await page.keyboard.press('Control+z');
  expect(await members()).toEqual(before);
  await page.keyboard.press('Control+Shift+Z');
  expect(await members()).toEqual(under({ by: 'size', size: 5 }));
});

it('draws edges above a threshold', async () => {
  const { page } = app;
  const inside = new Set(await members());
  const edges = expected.document.edges.filter(({ from, to }) => inside.has(from) && inside.has(to));
  const middle = edges[Math.floor(edges.length / 2)].score;
  await set('Edges from, number', middle + 1e-5);
  const drawn = Number(await page.getByTestId('circuit-graph').getAttribute('data-edges'));
  expect(drawn).toBe(edges.filter(({ score }) => score >= middle + 1e-5).length);
  expect(drawn).toBeLessThan(edges.length);
  await set('Edges from, number', 0);
  expect(Number(await page.getByTestId('circuit-graph').getAttribute('data-edges'))).toBe(edges.length);
});

it('shows which code fires on which prompt', async () => {
  const { page } = app;
  const head = expected.document.heads[0].name;
  await page.getByTestId('codes').getByLabel('Autoencoder').selectOption({ label: 'seed 4' });
  const shown = await rowsOf(`Codes of ${head}`);
  const codes = codeRows(expected, head, 1);
  expect(shown).toHaveLength(codes.length);
  shown.forEach((row, i) => {
    expect(row.code).toBe(codes[i].code);
    expect(row.positives).toBe(codes[i].positives.length);
    expect(row.negatives).toBe(codes[i].negatives.length);
    expect(row.unique).toBe(codes[i].unique ? '●yes' : 'no');
  });
  const first = await rowsOf(`Code of ${head} on each prompt`);
  expect(first).toHaveLength(64);
  for (const { code, positives, unique } of codes)
    for (const prompt of positives) expect(first[prompt]['positive-code']).toBe(unique ? `${code} ●` : code);
  expect(first[7].positive).toBe(expected.task.positives[7]);
});

it('sorts and walks through the ranking by keyboard', async () => {
  const { page } = app;
  const grid = page.getByRole('grid', { name: 'Heads by score', exact: true });
  await grid.getByRole('button', { name: 'Ablation' }).click();
  const effects = (await rowsOf('Heads by score')).map(({ ablation }) => Number(ablation));
  expect(effects).toEqual([...effects].sort((a, b) => b - a));
  await grid.focus();
  await page.keyboard.press('Home');
  await page.keyboard.press('Shift+ArrowDown');
  const selected = grid.locator('tr[aria-selected="true"]');
  expect(await selected.count()).toBe(2);
  await page.keyboard.press('m');
  const names = await selected.evaluateAll((rows) => rows.map((row) => row.getAttribute('data-row')));
  for (const name of names) await page.getByText(`Ablate ${name} (mean)`).first().waitFor();
  await page.keyboard.press('Control+z');
  await grid.getByRole('button', { name: 'Score' }).click();
});

it('ablates what is outside the circuit in one step', async () => {
  const { page } = app;
  await page.getByRole('button', { name: 'Ablate everything outside' }).click();
  await app.settled();
  const outside = expected.document.heads.slice(5);
  for (const { name } of outside.slice(0, 3)) await page.getByText(`Ablate ${name} (mean)`).first().waitFor();
  expect(await page.getByText(/^Ablate L\dH\d \(mean\)$/).count()).toBe(27);
  await page.getByRole('grid', { name: 'Heads by score', exact: true }).focus();
  await page.keyboard.press('Control+z');
  expect(await page.getByText(/^Ablate L\dH\d \(mean\)$/).count()).toBe(0);
});

it('offers a head’s actions on its node, and opens its pattern', async () => {
  const { page } = app;
  const { name } = expected.document.heads[0];
  const node = page.getByTestId('circuit-graph').locator('svg text', { hasText: name }).first();
  await node.scrollIntoViewIfNeeded();
  await node.click({ button: 'right', force: true });
  await page.getByRole('menu', { name: `Actions of ${name}` }).waitFor();
  await page.keyboard.press('Escape');
  await node.click({ force: true });
  await page.getByTestId('head-grid').waitFor();
  await page.getByRole('heading', { name: `Pattern of ${name}` }).waitFor();
  await app.settled();
  await page.keyboard.press('Control+4');
});

it('takes own examples, five pairs of them', { timeout: LONG }, async () => {
  const { page } = app;
  const { positives, negatives } = expected.task;
  await page.getByRole('button', { name: 'Find the heads of a task' }).click();
  await page.getByRole('button', { name: 'Own examples' }).click();
  await page.getByLabel('Positive: it can do it').fill(positives.slice(0, 5).join('\n'));
  await page.getByLabel('Negative: it cannot').fill(negatives.slice(0, 4).join('\n'));
  await page.getByText('there are 5 and 4').waitFor();
  expect(await page.getByRole('button', { name: 'Find the circuit' }).isDisabled()).toBe(true);
  await page.getByLabel('Negative: it cannot').fill(negatives.slice(0, 5).join('\n'));
  await expect.poll(() => page.getByTestId('task-prompts').textContent()).toContain('5 pairs');
  await find();
  await page.getByRole('heading', { name: /^own examples/ }).waitFor({ timeout: LONG });
  expect(
    await page.getByText(/5 positives and 5 negatives a permutation test has little power/).count(),
  ).toBe(1);
  expect(await rowsOf('Heads by score')).toHaveLength(32);
  const results = page.getByRole('combobox', { name: 'Result' });
  expect(await results.locator('option').count()).toBe(2);
  await results.selectOption({ index: 0 });
  expect((await rowsOf('Heads by score')).map(({ head }) => head)).toEqual(
    expected.document.heads.map(({ name }) => name),
  );
});
