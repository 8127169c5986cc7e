import { mkdir, rm, writeFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import { openApp, type App } from '../test/app/harness.ts';
import { inRepository } from '../test/helpers/models.ts';

/**
 * Pictures of every view, light and dark, in two sizes of window, into docs/screenshots. The content is that of bundled samples with fixed
 * seeds, so that the same program makes the same pictures. `npm run build` must have run.
 */
const OUT = inRepository('docs/screenshots');
const SIZES = [
  { width: 1280, height: 800 },
  { width: 1920, height: 1080 },
];
const THEMES = ['light', 'dark'] as const;

interface Scene {
  readonly name: string;
  readonly sample: string;
  /** What a person does before the picture is taken. */
  readonly prepare: (app: App) => Promise<void>;
}

const go =
  (number: number) =>
  async (app: App): Promise<void> => {
    await app.page.keyboard.press(`Control+${number}`);
    await app.settled();
  };

const addFirstFigures = async ({ page }: App, count: number): Promise<void> => {
  const buttons = page.locator('.figure-card').getByRole('button', { name: 'Add to report' });
  for (let i = 0; i < count; i++) await buttons.nth(i).click();
};

/** In the order in which one session goes through them. */
const SCENES: readonly Scene[] = [
  { name: 'heads', sample: 'ioi-4l', prepare: go(1) },
  {
    name: 'pattern',
    sample: 'ioi-4l',
    async prepare(app) {
      await go(1)(app);
      await app.page.getByRole('grid').first().focus();
      await app.page.keyboard.press('ArrowDown');
      await app.page.keyboard.press('ArrowDown');
      await app.page.keyboard.press('Enter');
      await app.settled();
    },
  },
  {
    name: 'circuits',
    sample: 'ioi-4l',
    async prepare(app) {
      await go(4)(app);
      const { page } = app;
      for (const [field, value] of [
        ['Epochs', '100'],
        ['Autoencoders', '2'],
        [/^Pairs/, '16'],
      ] as const) {
        await page.getByLabel(field).fill(value);
        await page.getByLabel(field).press('Tab');
      }
      await page.getByRole('button', { name: 'Find the circuit' }).click();
      await page.getByTestId('circuit-result').waitFor({ timeout: 120_000 });
      await app.settled();
    },
  },
  { name: 'sinks', sample: 'sink-delim-2l', prepare: go(2) },
  {
    name: 'calibrate',
    sample: 'sink-delim-2l',
    async prepare(app) {
      await go(3)(app);
      await app.page.getByRole('switch').first().check();
      await app.settled();
    },
  },
  {
    name: 'report',
    sample: 'sink-delim-2l',
    async prepare(app) {
      await go(2)(app);
      await addFirstFigures(app, 3);
      await go(5)(app);
    },
  },
  {
    name: 'commands',
    sample: 'sink-delim-2l',
    async prepare(app) {
      await app.page.keyboard.press('Control+k');
      await app.page.getByRole('dialog').waitFor();
    },
  },
];

/** The picture of the page as it is now, in both themes. */
async function shoot(page: Page, name: string, { width, height }: (typeof SIZES)[number]): Promise<void> {
  for (const theme of THEMES) {
    await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
    await page.mouse.move(0, 0);
    await page.waitForTimeout(400);
    const file = `${OUT}/${name}-${theme}-${width}x${height}.png`;
    await writeFile(file, await page.screenshot({ animations: 'disabled', caret: 'hide' }));
    process.stdout.write(`${file}\n`);
  }
}

async function shootAll(size: (typeof SIZES)[number]): Promise<void> {
  const samples = [...new Set(SCENES.map(({ sample }) => sample))];
  for (const [i, sample] of samples.entries()) {
    const app = await openApp(size);
    try {
      if (i === 0) await shoot(app.page, 'start', size);
      await app.openSample(sample, 'cpu');
      for (const scene of SCENES.filter((each) => each.sample === sample)) {
        await scene.prepare(app);
        await shoot(app.page, scene.name, size);
      }
    } finally {
      await app.close();
    }
  }
}

await rm(OUT, { recursive: true, force: true });
await mkdir(OUT, { recursive: true });
for (const size of SIZES) await shootAll(size);
