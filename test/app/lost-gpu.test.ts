import { afterAll, beforeAll, expect, it } from 'vitest';
import { readCases } from '../edits/cases.ts';
import { readGolden } from '../helpers/golden.ts';
import { openApp, type App } from './harness.ts';
import { focusHead, hoverPattern, openHead, bestPredictions } from './heads-page.ts';

/* A graphics card that goes away while the app is open: its process dies, or a driver is reset and the device is gone. */

const T = 16;
const golden = readGolden('ioi-4l');
const clean = golden.tensor('p0.logits').data.subarray((T - 1) * 342);
const ablated = readCases().find(
  ({ model, title }) => model === 'ioi-4l' && title === 'zero ablation',
)!.logits;

let app: App;
beforeAll(async () => {
  app = await openApp();
  await app.openSample('ioi-4l', 'webgpu');
  await focusHead(app.page, { layer: 1, head: 3 });
  await app.page.keyboard.press('z');
  await expectPredictions(ablated);
}, 240_000);
afterAll(() => app.close());

const banner = () => app.page.getByTestId('engine-stopped');
const device = () => app.page.locator('.top-bar .picker select');

async function expectPredictions(logits: Float32Array): Promise<void> {
  for (const [id, logit] of await bestPredictions(app, logits))
    expect(Math.abs(logit - logits[id])).toBeLessThanOrEqual(1e-3);
}

/** What a person has done so far. */
async function session(): Promise<{ prompts: string[]; edits: string[] }> {
  const { page } = app;
  return {
    prompts: await page
      .locator('[data-prompt] textarea')
      .evaluateAll((all) => all.map((each) => (each as HTMLTextAreaElement).value)),
    edits: await page.locator('[data-edit]').allInnerTexts(),
  };
}
const undoLabel = (): Promise<string | null> =>
  app.page.getByRole('button', { name: /^(Undo|Nothing to undo)/ }).getAttribute('aria-label');

/** The pattern of L1H3, whose layer the edit leaves as it was. */
async function expectPattern(): Promise<void> {
  await openHead(app.page, { layer: 1, head: 3 });
  await app.settled();
  const cells = await hoverPattern(app.page, 'pattern-first', 8);
  expect(cells.length).toBeGreaterThanOrEqual(8);
  const pattern = golden.tensor('p0.l1.attn').data.subarray(3 * T * T);
  for (const { query, key, value } of cells)
    expect(Math.abs(value - pattern[query * T + key])).toBeLessThanOrEqual(1e-4);
}

/** The loss is told of once, with both ways on; nothing is left running. */
async function expectBanner(reason: RegExp): Promise<void> {
  await banner().waitFor();
  expect(await banner().innerText()).toMatch(/^The graphics card stopped answering \(.*[^.]\)\. /);
  expect(await banner().innerText()).toMatch(reason);
  expect(await banner().getByRole('button').allInnerTexts()).toEqual(['Try again', 'Use the CPU']);
  await app.settled();
  // ONNX Runtime's own last words, some of them in colours.
  for (let i = app.troubles.length - 1; i >= 0; i--)
    if (/Aborted\(\)|\[E:onnxruntime|\[m$|device (is|was) (lost|destroyed)/i.test(app.troubles[i]))
      app.troubles.splice(i, 1);
}
async function choose(way: string): Promise<void> {
  await banner().getByRole('button', { name: way }).click();
  await banner().waitFor({ state: 'detached', timeout: 120_000 });
  await app.settled();
}

it('a graphics process that died is told of, and WebGPU goes on when it is tried again', async () => {
  const { page } = app;
  const before = await session();
  const undo = await undoLabel();
  const control = await page.context().browser()!.newBrowserCDPSession();
  await control.send('Browser.crashGpuProcess');
  await openHead(page, { layer: 3, head: 0 });
  await expectBanner(/instance|lost/i);
  expect(await session()).toEqual(before);
  await choose('Try again');
  expect(await device().inputValue()).toBe('webgpu');
  expect(await session()).toEqual(before);
  expect(await undoLabel()).toBe(undo);
  await expectPredictions(ablated);
  await expectPattern();
  await page.keyboard.press('Control+z');
  await expectPredictions(clean);
  await page.keyboard.press('Control+Shift+z');
  await expectPredictions(ablated);
}, 240_000);

it('a device that is gone in the middle of a run is told of, and the CPU goes on', async () => {
  const { page } = app;
  const before = await session();
  const undo = await undoLabel();
  await page.workers()[0].evaluate(() => {
    const methods = GPUDevice.prototype as unknown as Record<string, (...args: unknown[]) => unknown>;
    const begin = methods.createCommandEncoder;
    methods.createCommandEncoder = function (this: GPUDevice, ...args) {
      this.destroy();
      return begin.apply(this, args);
    };
  });
  await openHead(page, { layer: 2, head: 5 });
  await expectBanner(/destroyed/);
  expect(await session()).toEqual(before);
  await choose('Use the CPU');
  expect(await device().inputValue()).toBe('cpu');
  expect(await session()).toEqual(before);
  expect(await undoLabel()).toBe(undo);
  await expectPredictions(ablated);
  await expectPattern();
}, 240_000);

it('WebGPU can be chosen again afterwards', async () => {
  const { page } = app;
  const before = await session();
  await device().selectOption('webgpu');
  await page.waitForFunction(() => !document.querySelector('.status-bar .job'), undefined, {
    timeout: 120_000,
  });
  expect(await device().inputValue()).toBe('webgpu');
  await expectPredictions(ablated);
  expect(await session()).toEqual(before);
}, 240_000);
