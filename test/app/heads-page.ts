import type { Page } from 'playwright-core';
import { expect } from 'vitest';
import type { HeadRef } from '../../src/instrument/runner.ts';
import type { App } from './harness.ts';

/** What a person does and reads in the heads view. */

/** Moves the focus of the grid of heads by keys, as far as needed. */
export async function focusHead(page: Page, { layer, head }: HeadRef): Promise<void> {
  const active = page.locator('[role=gridcell][tabindex="0"]');
  await active.focus();
  const name = (await active.getAttribute('data-head')) ?? '';
  const [, atLayer, atHead] = /^L(\d+)H(\d+)$/.exec(name)!.map(Number);
  for (let i = 0; i < Math.abs(layer - atLayer); i++)
    await page.keyboard.press(layer > atLayer ? 'ArrowDown' : 'ArrowUp');
  for (let i = 0; i < Math.abs(head - atHead); i++)
    await page.keyboard.press(head > atHead ? 'ArrowRight' : 'ArrowLeft');
}

export async function openHead(page: Page, head: HeadRef): Promise<void> {
  await focusHead(page, head);
  await page.keyboard.press('Enter');
}

/** The numbers that the grid is coloured by. */
export async function gridValues(page: Page): Promise<(number | null)[][]> {
  const text = await page.getByTestId('head-grid').getAttribute('data-values');
  return JSON.parse(text ?? '[]') as (number | null)[][];
}

export interface ReadCell {
  readonly query: number;
  readonly key: number;
  readonly value: number;
}

/** "query ‘·Mary’ (12) → key ‘·John’ (4), sink: 0.8312" */
export function readCell(text: string): ReadCell | null {
  const found = /query .*\((\d+)\) → key .*\((\d+)\)(?:, sink)?: ([−-]?[\d.]+(?:e[−-]?\d+)?)/.exec(text);
  if (!found) return null;
  return { query: Number(found[1]), key: Number(found[2]), value: Number(found[3].replaceAll('−', '-')) };
}

/** Moves the pointer over a pattern and reads what it says there, until `count` different cells were read. */
export async function hoverPattern(page: Page, testId: string, count: number): Promise<ReadCell[]> {
  const side = page.getByTestId(testId);
  const box = (await side.locator('.stage').boundingBox())!;
  const read = new Map<string, ReadCell>();
  const [wide, high] = [box.width, box.height];
  // From the middle outwards: the labels are at the top and the left.
  for (let ring = 0; ring < 8 && read.size < count; ring++)
    for (let step = 0; step < 12 && read.size < count; step++) {
      const angle = (step / 12) * 2 * Math.PI;
      const [x, y] = [0.4 + 0.06 * ring * Math.cos(angle), 0.6 + 0.06 * ring * Math.sin(angle)];
      await page.mouse.move(box.x + x * wide, box.y + y * high);
      const cell = readCell((await side.locator('.read-out .hover').textContent()) ?? '');
      if (cell) read.set(`${cell.query} ${cell.key}`, cell);
    }
  return [...read.values()];
}

/** Locks cells of a pattern one after the other by keys, from query 0 on, and reads each from another pattern beside it. */
export async function walkPattern(
  page: Page,
  testId: string,
  readFrom: string,
  queries: number,
): Promise<ReadCell[]> {
  await page.getByTestId(testId).locator('.stage').focus();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Home');
  for (let i = 0; i < 3; i++) await page.keyboard.press('PageUp');
  const read: ReadCell[] = [];
  for (let query = 0; query < queries; query++) {
    if (query > 0) {
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('Home');
    }
    for (let key = 0; key <= query; key++) {
      if (key > 0) await page.keyboard.press('ArrowRight');
      read.push(readCell((await page.getByTestId(readFrom).locator('.locked').textContent()) ?? '')!);
    }
  }
  await page.keyboard.press('Escape');
  return read;
}

/** The logit of a token in the list of predictions. */
export async function predictedLogits(page: Page): Promise<Map<number, number>> {
  const rows = await page
    .locator('.predictions tr[data-token]')
    .evaluateAll((all) =>
      all.map((row) => [
        row.getAttribute('data-token') ?? '',
        row.querySelector('[title^="logit"]')?.getAttribute('title') ?? '',
      ]),
    );
  return new Map(rows.map(([id, title]) => [Number(id), Number(title.replace('logit ', ''))]));
}

export async function logitDifference(page: Page): Promise<number> {
  const text = (await page.getByTestId('logit-difference').textContent()) ?? '';
  return Number(/[−-]?[\d.]+/.exec(text)![0].replace('−', '-'));
}

export const compareWith = async (page: Page, label: string): Promise<void> => {
  const select = page.getByRole('combobox', { name: 'Compare', exact: true });
  const value = await select
    .locator('option')
    .evaluateAll(
      (options, wanted) =>
        options.find((option) => option.textContent.includes(wanted))?.getAttribute('value'),
      label,
    );
  await select.selectOption(value ?? '');
};

/** Waits for the predictions, whose tokens must be the ten best of `logits`. @returns the logits shown, by token id */
export async function bestPredictions(app: App, logits: Float32Array): Promise<Map<number, number>> {
  await app.page.waitForFunction(
    () => document.querySelectorAll('.predictions tr[data-token]').length === 10,
  );
  await app.settled();
  const best = [...logits.keys()].sort((a, b) => logits[b] - logits[a]).slice(0, 10);
  const shown = await predictedLogits(app.page);
  expect([...shown.keys()]).toEqual(best);
  return shown;
}
