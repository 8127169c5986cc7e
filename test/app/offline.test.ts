import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inRepository } from '../helpers/models.ts';
import { openApp, type App } from './harness.ts';

/** What would load and run something if it were ever taken for HTML: a token, and a folder's name. */
const TOKEN = '<img/src=x/onerror=globalThis.hacked=1>';
const FOLDER = '<img src=x onerror=alert(1)>';

/** The same data with one word, wherever it stands by itself, exchanged. */
function exchange(value: unknown, word: string): unknown {
  if (typeof value === 'string')
    return value
      .split(' ')
      .map((each) => (each === word ? TOKEN : each))
      .join(' ');
  if (Array.isArray(value)) return value.map((each) => exchange(each, word));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, exchange(each, word)]));
}

/** A copy of a sample in which the first word of its task is markup. */
async function hostileCopy(sample: string, task: string): Promise<string> {
  const copy = path.join(await mkdtemp(path.join(tmpdir(), 'headscope-')), FOLDER);
  await cp(inRepository(`assets/checkpoints/${sample}`), copy, { recursive: true });
  const tasks = path.join(copy, 'tasks', task);
  const items = (await readFile(tasks, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { prompt: string });
  const [word] = items[0].prompt.split(' ');
  await writeFile(tasks, items.map((item) => JSON.stringify(exchange(item, word))).join('\n'));
  const file = path.join(copy, 'tokenizer.json');
  const tokenizer = JSON.parse(await readFile(file, 'utf8')) as { model: { vocab: Record<string, number> } };
  const { vocab } = tokenizer.model;
  tokenizer.model.vocab = Object.fromEntries(
    Object.entries(vocab).map(([token, id]) => [token === word ? TOKEN : token, id]),
  );
  expect(word in vocab).toBe(true);
  await writeFile(file, JSON.stringify(tokenizer));
  return copy;
}

let app: App;
let folder: string;
/** Every address that pages and workers asked for. */
const asked = new Set<string>();

beforeAll(async () => {
  folder = await hostileCopy('induction-2l', 'induction.jsonl');
  app = await openApp({ checkpoints: [folder] });
  app.context.on('request', (request) => asked.add(request.url()));
}, 120_000);
afterAll(async () => {
  await app.close();
  await rm(path.dirname(folder), { recursive: true });
});

const go = async (number: number): Promise<void> => {
  await app.page.keyboard.press(`Control+${number}`);
  await app.settled();
};
const expectTextOnly = async (): Promise<void> => {
  expect(await app.page.locator('img').count()).toBe(0);
  expect(await app.page.evaluate(() => (globalThis as { hacked?: number }).hacked)).toBeUndefined();
};

describe('nothing leaves, nothing of a model runs', () => {
  it('lets no page run text as a program; the engine’s scripts alone may', async () => {
    const policyOf = async (address: string): Promise<string> =>
      (await app.context.request.get(new URL(address, app.url).href)).headers()['content-security-policy'];
    const home = await policyOf('/');
    expect(home).toContain("default-src 'none'");
    expect(home).not.toContain('unsafe-eval');
    expect(home).not.toMatch(/script-src[^;]*unsafe-inline/);
    const scripts = await app.page.evaluate(() =>
      performance.getEntriesByType('resource').map(({ name }) => name),
    );
    const worker = scripts.concat([...asked]).find((name) => /\/engine\/worker-.*\.js$/.test(name));
    for (const name of scripts.filter((each) => each.includes('/assets/')))
      expect(await policyOf(name)).not.toContain('unsafe-eval');
    if (worker) expect(await policyOf(worker)).toContain("'unsafe-eval'");
    // In a call of its own: what a test evaluates is let through.
    const made = await app.page.evaluate(
      () =>
        new Promise<boolean>((resolve) =>
          setTimeout(() => {
            try {
              // eslint-disable-next-line @typescript-eslint/no-implied-eval -- what must not be possible
              new Function('return 1');
              resolve(true);
            } catch {
              resolve(false);
            }
          }),
        ),
    );
    expect(made).toBe(false);
    // Asking for it is a violation that this test made itself.
    await expect.poll(() => app.troubles).toEqual(['console: policy violation: script-src eval']);
    app.troubles.length = 0;
  });

  it('shows names and tokens of a model as text, in every view', async () => {
    const { page } = app;
    const model = page.getByTestId('status-model');
    await model.waitFor({ timeout: 60_000 });
    await app.settled();
    await page.locator('.top-bar .model').filter({ hasText: '<img' }).waitFor();
    await page.locator('main, .middle').getByText('<img').first().waitFor();
    for (const number of [1, 2, 3, 4, 5]) {
      await go(number);
      await expectTextOnly();
    }
  });

  it('drives the whole way from a prompt to a report', async () => {
    const { page } = app;
    await go(1);
    await page.getByRole('grid').first().focus();
    await page.keyboard.press('z');
    await page.locator('[data-edit]').waitFor();
    await app.settled();
    await go(2);
    const card = page.locator('.figure-card').filter({ has: page.getByRole('button', { name: 'Enlarge' }) });
    await card.first().getByRole('button', { name: 'Add to report' }).click();
    await go(3);
    await page.getByRole('switch').first().check();
    await page.locator('[data-edit]').nth(1).waitFor();
    await app.settled();
    await go(4);
    for (const [field, value] of [
      ['Epochs', '25'],
      ['Autoencoders', '1'],
      ['Permutations', '99'],
      [/^Pairs/, '4'],
    ] as const) {
      await page.getByLabel(field).fill(value);
      await page.getByLabel(field).press('Tab');
    }
    await page.getByRole('button', { name: 'Find the circuit' }).click();
    await page.getByTestId('circuit-result').waitFor({ timeout: 120_000 });
    await expectTextOnly();
    await page.locator('.figure-card').last().getByRole('button', { name: 'Add to report' }).click();
    await go(5);
    expect(await page.locator('[data-item]').count()).toBe(2);
    await page.getByRole('button', { name: 'Preview', exact: true }).click();
    const frame = page.frameLocator('[data-testid="report-preview"]');
    await frame.getByRole('heading', { level: 1 }).filter({ hasText: '<img' }).waitFor();
    expect(await frame.locator('img').count()).toBe(0);
    await expectTextOnly();
  }, 240_000);

  it('asked only the program itself', () => {
    const { origin } = new URL(app.url);
    const others = [...asked].filter(
      (address) => !/^(data|blob):/.test(address) && new URL(address).origin !== origin,
    );
    expect(others).toEqual([]);
    expect(asked.size).toBeGreaterThan(3);
    expect(app.troubles).toEqual([]);
  });
});
