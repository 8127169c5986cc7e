import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readSession } from '../../src/workbench/session/file.ts';
import type { CircuitFindings } from '../../src/workbench/circuit-findings.ts';
import { checkpointFolder } from '../helpers/models.ts';
import { saved, textOf } from './downloads.ts';
import { openApp, type App } from './harness.ts';

/* Own examples and an own circuit file in the circuits view, good ones and broken ones. */

/** Machines that are busy with other work. */
const LONG = 300_000;
const PAIRS = 10;
const lines = readFileSync(`${checkpointFolder('induction-2l')}/tasks/induction.jsonl`, 'utf8')
  .split('\n')
  .slice(0, PAIRS);
/** The two heads of the sample, three backups, and one that only looks as if it belonged. */
const TRUTH = new Set(['L0H7', 'L1H1', 'L0H3', 'L1H3', 'L1H4', 'L0H1']);
const circuit = (heads: readonly (readonly [number, number])[]) => ({
  tasks: {
    mine: {
      heads: heads.map(([layer, head]) => ({ layer, head, in_circuit: TRUTH.has(`L${layer}H${head}`) })),
    },
  },
});
const everyHead = Array.from({ length: 16 }, (_, i): [number, number] => [Math.floor(i / 8), i % 8]);

let app: App;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'headscope-'));
  app = await openApp();
  await app.openSample('induction-2l', 'cpu');
  await app.page.keyboard.press('Control+4');
  await app.page.getByTestId('task-accuracy').waitFor();
}, 120_000);
afterAll(async () => {
  await rm(folder, { recursive: true });
  await app.close();
});

/** Opens a file through the dialog behind a button. */
async function give(button: string, name: string, text: string): Promise<void> {
  const file = path.join(folder, name);
  await writeFile(file, text);
  const [chooser] = await Promise.all([
    app.page.waitForEvent('filechooser'),
    app.page.getByRole('button', { name: button }).click(),
  ]);
  await chooser.setFiles(file);
}
const form = () => app.page.getByRole('group', { name: 'Prompts', exact: true });
const choice = () => app.page.getByRole('region', { name: 'Heads of the circuit' });
const chosenSet = async (): Promise<string> =>
  (await form().getByRole('combobox', { name: 'Set' }).locator('option:checked').textContent())!.trim();
const numberOf = async (testid: string): Promise<number> =>
  Number(await app.page.getByTestId(testid).getAttribute('data-value'));
const members = async (): Promise<string[]> =>
  (await app.page.getByTestId('circuit-size').getAttribute('data-members'))!.split(' ');
const set = async (label: string, value: number): Promise<void> => {
  const field = app.page.getByLabel(label, { exact: true });
  await field.fill(String(value));
  await field.blur();
};

it('a file of examples that cannot be used is one sentence, and the chosen set stays', async () => {
  const before = await chosenSet();
  const broken: [string, string, RegExp][] = [
    [
      'prose.jsonl',
      'These are no examples.\nNot one of them.\n',
      /^No line of prose\.jsonl can be used\. Line 1: not JSON /,
    ],
    ['empty.jsonl', '\n\n', /^empty\.jsonl has no line\.$/],
    [
      'misspelt.jsonl',
      lines[0].replace('"corrupt"', '"corupt"'),
      /^No line of misspelt\.jsonl can be used\. Line 1: unknown field "corupt"; /,
    ],
    [
      'positives.jsonl',
      lines
        .map((line) => JSON.stringify({ prompt: (JSON.parse(line) as { prompt: string }).prompt }))
        .join('\n'),
      /^positives\.jsonl has no negative prompt\. /,
    ],
  ];
  for (const [name, text, sentence] of broken) {
    await give('Own file…', name, text);
    const alert = form().getByRole('alert');
    await alert.filter({ hasText: name }).waitFor();
    expect(await alert.innerText()).toMatch(sentence);
    expect(await chosenSet()).toBe(before);
    expect(await app.page.getByRole('button', { name: 'Find the circuit' }).isEnabled()).toBe(true);
  }
});

it('own examples from a file, with the line that cannot be used named', async () => {
  await give(
    'Own file…',
    'mine.jsonl',
    [...lines.slice(0, 3), '{"prompt": 7}', ...lines.slice(3)].join('\n'),
  );
  await form().getByText('One line of mine.jsonl cannot be used. Line 4:').waitFor();
  expect(await form().getByRole('alert').count()).toBe(0);
  expect(await chosenSet()).toBe(`mine (${PAIRS} prompts, own)`);
  await expect
    .poll(() => app.page.getByTestId('task-prompts').textContent())
    .toBe(`${PAIRS} pairs of equal length`);
  expect(await numberOf('task-accuracy')).toBe(1);
});

it('finds a circuit in them', { timeout: LONG }, async () => {
  const { page } = app;
  await set('Epochs', 60);
  await set('Autoencoders', 2);
  await page.getByRole('button', { name: 'Find the circuit' }).click();
  await page.getByTestId('circuit-result').waitFor({ timeout: LONG });
  await page.getByRole('heading', { name: /^mine/ }).waitFor();
  await page.getByLabel('Choose by').selectOption('size');
  await set('Heads, number', 5);
  expect(await members()).toHaveLength(5);
  expect(await choice().getByText('Compare with a file…').count()).toBe(1);
});

it('a circuit file that cannot be used is one sentence, and the result stays', async () => {
  const before = await members();
  const broken: [string, string, RegExp][] = [
    ['prose.json', 'L0H7 and L1H1', /^The circuit file is no JSON\.$/],
    ['null.json', 'null', /^null\.json has no heads with "in_circuit" for the task mine\.$/],
    ['holes.json', '{"heads": [null]}', /^holes\.json has no heads with "in_circuit" for the task mine\.$/],
    [
      'other.json',
      JSON.stringify(circuit([[7, 0]])),
      /^other\.json names none of this model’s heads; is it of another model\?$/,
    ],
  ];
  for (const [name, text, sentence] of broken) {
    await give('Compare with a file…', name, text);
    const alert = choice().getByRole('alert');
    await alert.waitFor();
    await expect.poll(() => alert.innerText()).toMatch(sentence);
    expect(await members()).toEqual(before);
    expect(await app.page.getByTestId('precision').count()).toBe(0);
  }
});

/** Share of the pairs (a head that belongs, one that does not) in which the first has the larger number; ties count half. */
function areaUnderRoc(inside: readonly number[], outside: readonly number[]): number {
  let right = 0;
  for (const a of inside) for (const b of outside) right += a > b ? 1 : a === b ? 0.5 : 0;
  return right / (inside.length * outside.length);
}

/** The scores behind the table, as a saved session holds them. */
async function findings(): Promise<CircuitFindings> {
  const { bytes } = await saved(app.page, () => app.page.keyboard.press('Control+s'));
  return readSession(textOf(bytes)).results.at(-1)!.data as CircuitFindings;
}

it('compares with an own circuit file', async () => {
  const { page } = app;
  await give('Compare with a file…', 'circuit.json', JSON.stringify(circuit(everyHead)));
  await page.getByTestId('precision').waitFor();
  expect(await choice().getByRole('alert').count()).toBe(0);
  expect(await choice().locator('.known').innerText()).toContain('circuit.json');
  const chosen = await members();
  const right = chosen.filter((name) => TRUTH.has(name)).length;
  expect(right).toBeGreaterThan(0);
  expect(await numberOf('precision')).toBeCloseTo(right / 5, 10);
  expect(await numberOf('recall')).toBeCloseTo(right / TRUTH.size, 10);
  const { heads } = (await findings()).document;
  expect(heads).toHaveLength(16);
  const [inside, outside] = [true, false].map((side) => heads.filter(({ name }) => TRUTH.has(name) === side));
  const area = (of: (head: (typeof heads)[number]) => number): number =>
    areaUnderRoc(inside.map(of), outside.map(of));
  expect(await numberOf('auc-node')).toBeCloseTo(
    area(({ score }) => score),
    10,
  );
  expect(await numberOf('auc-edge')).toBeCloseTo(
    area(({ votes }) => votes),
    10,
  );
  const known = await page
    .getByRole('grid', { name: 'Heads by score', exact: true })
    .locator('tbody tr[data-row]')
    .evaluateAll((rows) =>
      rows.map((row) => [
        row.getAttribute('data-row') ?? '',
        row.querySelector('[data-column="known"]')?.textContent.trim() ?? '',
      ]),
    );
  expect(known).toHaveLength(16);
  for (const [name, flag] of known) expect(flag).toBe(TRUTH.has(name) ? '●yes' : 'no');
});

it('keeps the comparison when the next file is broken, and follows the heads that are chosen', async () => {
  const { page } = app;
  await give('Other…', 'null.json', 'null');
  await choice().getByRole('alert').waitFor();
  expect(await choice().locator('.known').innerText()).toContain('circuit.json');
  await set('Heads, number', 2);
  const right = (await members()).filter((name) => TRUTH.has(name)).length;
  expect(await numberOf('precision')).toBeCloseTo(right / 2, 10);
  expect(await numberOf('recall')).toBeCloseTo(right / TRUTH.size, 10);
  await page.locator('.top-bar').getByRole('button', { name: /^Undo/ }).click();
  expect(await members()).toHaveLength(5);
  await page
    .locator('.top-bar')
    .getByRole('button', { name: /^Undo: Compare with circuit.json/ })
    .click();
  expect(await page.getByTestId('precision').count()).toBe(0);
});
