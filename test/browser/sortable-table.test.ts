import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openStories, type Stories } from '../stories/open.ts';

let stories: Stories;
let page: Page;
beforeAll(async () => {
  stories = await openStories();
  page = await stories.open('story=rows&rows=20000');
  await page.getByRole('grid').waitFor();
}, 120_000);
afterAll(() => stories?.close());

const valueOf = (index: number): number => (index * 7919) % 10007;
const shownRows = (): Promise<{ key: number; top: number }[]> =>
  page
    .locator('tbody tr[data-row]')
    .evaluateAll((rows) =>
      rows.map((row) => ({
        key: Number((row as HTMLElement).dataset.row),
        top: row.getBoundingClientRect().top,
      })),
    );
const attribute = (name: string): Promise<string | null> => page.locator('.story').getAttribute(name);
/** Keys of the rows that stand within the table's window. */
async function inSight(): Promise<number[]> {
  const { y, height } = (await page.locator('.scroll').boundingBox())!;
  return (await shownRows()).filter(({ top }) => top >= y && top < y + height).map(({ key }) => key);
}

it('has only the rows in sight in the document, wherever it is scrolled to', async () => {
  expect((await shownRows()).length).toBeLessThan(60);
  expect((await inSight()).slice(0, 2)).toEqual([0, 1]);
  await page.locator('.scroll').evaluate((element) => element.scrollTo(0, 10_000 * 24));
  await expect.poll(inSight).toContain(10_005);
  expect((await shownRows()).length).toBeLessThan(60);
  const grid = page.getByRole('grid');
  expect(await grid.getAttribute('aria-rowcount')).toBe('20001');
  const last = page.locator('tr[data-row="10005"]');
  expect(await last.getAttribute('aria-rowindex')).toBe('10007');
});

it('goes to the end and back by keys, the current row in sight', async () => {
  await page.getByRole('grid').focus();
  await page.keyboard.press('End');
  await expect.poll(inSight).toContain(19_999);
  expect(await attribute('data-selected')).toBe('19999');
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Enter');
  await expect.poll(() => attribute('data-opened')).toBe('19998');
  await page.keyboard.press('Home');
  await expect.poll(inSight).toContain(0);
  await page.keyboard.press('Shift+ArrowDown');
  await page.keyboard.press('Shift+ArrowDown');
  await expect.poll(() => attribute('data-selected')).toBe('0 1 2');
  const active = await page.getByRole('grid').getAttribute('aria-activedescendant');
  expect(await page.locator(`[id="${active}"]`).getAttribute('data-row')).toBe('2');
});

it('sorts all rows, not only those in sight', async () => {
  await page.getByRole('button', { name: 'Value nats' }).click();
  const order = Array.from({ length: 20_000 }, (_, i) => i).sort((a, b) => valueOf(b) - valueOf(a) || a - b);
  await page.locator('.scroll').evaluate((element) => element.scrollTo(0, 0));
  await expect.poll(async () => (await inSight()).slice(0, 8)).toEqual(order.slice(0, 8));
  expect(await page.getByRole('columnheader', { name: 'Value' }).getAttribute('aria-sort')).toBe(
    'descending',
  );
});

it('selects with Ctrl and Shift', async () => {
  const keys = (await inSight()).slice(0, 4);
  const row = (i: number) => page.locator(`tr[data-row="${keys[i]}"]`);
  await row(0).click();
  await row(2).click({ modifiers: ['Control'] });
  expect(await attribute('data-selected')).toBe(`${keys[0]} ${keys[2]}`);
  await row(3).click({ modifiers: ['Shift'] });
  expect(await attribute('data-selected')).toBe(`${keys[2]} ${keys[3]}`);
});

it('has no fault that axe finds, and no error', async () => {
  await page.addScriptTag({ path: createRequire(import.meta.url).resolve('axe-core') });
  const { violations } = await page.evaluate(() =>
    (window as never as { axe: { run(at: string): Promise<{ violations: { id: string }[] }> } }).axe.run(
      '.story',
    ),
  );
  expect(violations.map(({ id }) => id)).toEqual([]);
  expect(stories.errors).toEqual([]);
});
