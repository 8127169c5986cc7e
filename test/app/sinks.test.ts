import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GoldenSinks } from '../helpers/golden-sinks.ts';
import { readGolden } from '../helpers/golden.ts';
import { checkpointFolder } from '../helpers/models.ts';
import { openApp, type App } from './harness.ts';

const TOKENS = 24;
const ALPHA = 5 / TOKENS;

/** Cells of a table by column, row after row. */
async function cells(page: Page, label: string): Promise<Record<string, string>[]> {
  return page
    .getByRole('grid', { name: label })
    .evaluate((table) =>
      [...table.querySelectorAll('tbody tr')].map((row) =>
        Object.fromEntries(
          [...row.querySelectorAll<HTMLElement>('td')].map((cell) => [
            cell.dataset.column ?? '',
            cell.textContent ?? '',
          ]),
        ),
      ),
    );
}

/** Marked tokens of the strip: position and how it was found. */
const marks = (page: Page): Promise<[number, string][]> =>
  page
    .locator('.strip [data-sink]')
    .evaluateAll((all) =>
      all.map((each): [number, string] => [
        Number((each as HTMLElement).dataset.position),
        (each as HTMLElement).dataset.sink ?? '',
      ]),
    );

/** The numbers behind a figure, shown as a table: series, then numbers. */
async function dataOf(page: Page, title: string): Promise<string[][]> {
  const card = page.locator('.figure-card', { has: page.getByRole('heading', { name: title }) });
  const button = card.getByRole('button', { name: 'Show as a table' });
  await button.click();
  const rows = await card
    .locator('tbody tr')
    .evaluateAll((all) =>
      all.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.textContent ?? '')),
    );
  await button.click();
  return rows;
}
const number = (text: string): number => Number(text.replaceAll('−', '-'));

const settingsOf = (page: Page) => page.getByRole('region', { name: 'Settings of the sink search' });

async function typeInto(page: Page, label: string, text: string): Promise<void> {
  const field = settingsOf(page).getByLabel(label);
  await field.fill(text);
  await field.press('Enter');
}

describe('sink-3l, whose first token is a sink', () => {
  const golden = readGolden('sink-3l');
  const sinks = new GoldenSinks(golden);
  let app: App;
  beforeAll(async () => {
    app = await openApp();
    await app.openSample('sink-3l', 'cpu');
    await app.page.getByRole('button', { name: 'Sinks' }).click();
    await app.page.locator('.strip [data-sink]').first().waitFor();
  });
  afterAll(() => app.close());

  it('marks <bos> alone, by attention, apart from hidden sinks', async () => {
    const { page } = app;
    expect(sinks.positions(ALPHA)).toEqual([0]);
    expect(await marks(page)).toEqual([[0, 'attention']]);
    expect(await page.locator('.strip [data-sink]').getAttribute('aria-label')).toContain('first token');
    expect(await page.getByTestId('sinks-first').textContent()).toBe('is a sink');
    expect(await page.getByTestId('sinks-hidden').textContent()).toBe('0');
    expect(await page.getByTestId('sinks-threshold').textContent()).toBe(ALPHA.toFixed(3));
  });

  it('says that there is no massive activation, and which rule said so', async () => {
    const { page } = app;
    expect(await page.getByTestId('sinks-dims').textContent()).toContain('none stands out');
    const notes = await page.getByTestId('sinks-notes').textContent();
    expect(notes).toContain('No sink dimension was found');
    expect(notes).toContain('4.0 is used as its threshold instead of 20');
  });

  it('shows the evidence that the golden patterns hold', async () => {
    const [row] = await cells(app.page, 'Sinks of “prompts”');
    const heads = sinks.headsOn(0, ALPHA);
    const mean = heads.reduce((sum, { received }) => sum + received, 0) / heads.length;
    expect(row.token).toBe('<bos>');
    expect(number(row.received)).toBeCloseTo(mean, 3);
    expect(row.heads).toBe(String(heads.length));
    expect(row.strongest).toContain(
      heads
        .slice(0, 3)
        .map(({ name }) => name)
        .join(' '),
    );
    expect(number(row.ratio)).toBeLessThan(0.75);
  });

  it('draws the share of attention on sinks as the golden patterns have it', async () => {
    const rows = await dataOf(app.page, 'Attention that goes to sinks, by layer');
    const first = rows.filter(([series]) => series === 'first token');
    expect(first).toHaveLength(3);
    first.forEach(([, , share], layer) => expect(number(share)).toBeCloseTo(sinks.share(layer, [0]), 3));
  });

  it('colours the heads that feed the sink, and opens the pattern of one', async () => {
    const { page } = app;
    const cell = page.getByRole('gridcell', { name: /^L0H0,/ });
    const received = sinks.headsOn(0, ALPHA).find(({ name }) => name === 'L0H0')!.received;
    expect(await cell.getAttribute('aria-label')).toContain(
      `attention received ${received.toPrecision(3).slice(0, 4)}`,
    );
    await cell.focus();
    await page.keyboard.press('Enter');
    expect(await page.getByRole('button', { name: 'Heads', exact: true }).getAttribute('aria-current')).toBe(
      'page',
    );
    await page.getByRole('button', { name: 'Sinks' }).click();
    await app.settled();
  });

  it('follows α, the absolute rule, and typed dimensions with τ at once', async () => {
    const { page } = app;
    await typeInto(page, 'α, number', '2');
    await app.settled();
    expect((await marks(page)).map(([position]) => position)).toEqual(sinks.positions(2 / TOKENS));
    await page.getByLabel('absolute').click();
    await typeInto(page, 'Threshold, number', '0.3');
    await app.settled();
    expect((await marks(page)).map(([position]) => position)).toEqual(sinks.positions(0.3));
    await typeInto(page, 'Sink dimensions', '3 40');
    await typeInto(page, 'τ, number', '2');
    await app.settled();
    const dims = [3, 40];
    const phi = (k: number): number => Math.max(...[0, 1, 2].map((layer) => sinks.phi(layer, k, dims)));
    const over = Array.from({ length: TOKENS }, (_, k) => k).filter((k) => phi(k) > 2);
    const byState = (await marks(page)).filter(([, found]) => found.includes('hidden state'));
    expect(byState.map(([position]) => position)).toEqual(over);
    const rows = (await cells(page, 'Sinks of “prompts”')).filter((row) => row.phi !== '–');
    expect(rows.map((row) => Number(row.position))).toEqual(over);
    for (const row of rows) expect(number(row.phi)).toBeCloseTo(phi(Number(row.position)), 2);
    const curve = (await dataOf(page, 'φ in the stream that enters each layer')).filter(([series]) =>
      series.startsWith('largest of'),
    );
    curve.forEach(([, , value], layer) => {
      const others = Array.from({ length: TOKENS }, (_, k) => k).filter((k) => !over.includes(k));
      expect(number(value)).toBeCloseTo(Math.max(...others.map((k) => sinks.phi(layer, k, dims))), 2);
    });
    const both = Array.from({ length: TOKENS }, (_, k) => k).filter(
      (k) => over.includes(k) && sinks.positions(0.3).includes(k),
    );
    const attentionOnly = sinks.positions(0.3).length - both.length;
    expect((await page.getByTestId('sinks-agreement').textContent())?.replace(/\s+/g, ' ')).toContain(
      `${both.length} both · ${attentionOnly} attention only · ${over.length - both.length} hidden state only`,
    );
    await typeInto(page, 'Sink dimensions', '3 x');
    expect(await page.getByText('“x” is no dimension').isVisible()).toBe(true);
    await page.getByRole('button', { name: 'Back to the published settings' }).click();
    await app.settled();
    expect(await marks(page)).toEqual([[0, 'attention']]);
  });

  it('keeps a result as a step that can be undone', async () => {
    const { page } = app;
    await page.getByRole('button', { name: 'Keep result' }).click();
    const kept = settingsOf(page).getByLabel(/^Result/);
    expect(await kept.locator('option').allTextContents()).toEqual(['Live', 'prompts · α 5']);
    await page.keyboard.press('Control+z');
    expect(await kept.count()).toBe(0);
    expect(await marks(page)).toEqual([[0, 'attention']]);
  });

  it('finds over a prompt set the heads that sinks.json names', async () => {
    const { page } = app;
    const scope = settingsOf(page).getByLabel(/^Prompts/);
    await scope.selectOption({ label: 'prompts (4 prompts, tasks/prompts.jsonl)' });
    await page.getByRole('button', { name: 'Find sinks', exact: true }).click();
    const table = page.locator('.figure-card', { hasText: 'Tokens that are sinks again and again' });
    await table.locator('tbody tr').first().waitFor();
    const row = await table.locator('tbody tr').first().locator('td').allTextContents();
    const { heads } = JSON.parse(readFileSync(`${checkpointFolder('sink-3l')}/sinks.json`, 'utf8')) as {
      heads: { layer: number; head: number; first_attention: number }[];
    };
    const named = heads.filter((head) => head.first_attention > 0.5);
    expect(named.length).toBeGreaterThan(0);
    expect(row[0]).toBe('<bos>');
    expect(row[1]).toBe('first');
    for (const { layer, head } of named) expect(row[4].split(' ')).toContain(`L${layer}H${head}`);
    expect(await page.getByLabel('Prompt in detail').locator('option').count()).toBe(4);
  });
});

describe('sink-delim-2l, whose delimiters are hidden sinks', () => {
  const sinks = new GoldenSinks(readGolden('sink-delim-2l'));
  let app: App;
  beforeAll(async () => {
    app = await openApp({ width: 1920, height: 1080, colorScheme: 'dark' });
    await app.openSample('sink-delim-2l', 'cpu');
    await app.page.getByRole('button', { name: 'Sinks' }).click();
    await app.page.locator('.strip [data-sink]').first().waitFor();
  });
  afterAll(() => app.close());

  it('shows “.” as a hidden sink with the heads that feed it', async () => {
    const { page } = app;
    const expected = sinks.positions(ALPHA);
    expect((await marks(page)).map(([position]) => position)).toEqual(expected);
    const rows = await cells(page, 'Sinks of “prompts”');
    const dot = rows.find(({ token }) => token === '.')!;
    expect(Number(dot.position)).toBeGreaterThan(0);
    const heads = sinks.headsOn(Number(dot.position), ALPHA);
    expect(dot.heads).toBe(String(heads.length));
    expect(await page.getByTestId('sinks-hidden').textContent()).toBe(
      String(expected.filter((position) => position > 0).length),
    );
    await page.locator(`.strip [data-sink][data-position="${dot.position}"]`).click();
    await page.getByRole('heading', { name: `Heads that feed “.” at ${dot.position}` }).waitFor();
    expect(await page.locator('tr.selected [data-column="token"]').textContent()).toBe('.');
  });

  it('sorts the evidence by any column', async () => {
    const { page } = app;
    await page
      .getByRole('grid', { name: 'Sinks of “prompts”' })
      .getByRole('button', { name: /^Received/ })
      .click();
    const received = (await cells(page, 'Sinks of “prompts”')).map((row) => number(row.received));
    expect(received.length).toBeGreaterThan(1);
    expect(received).toEqual([...received].sort((a, b) => b - a));
  });
});
