import type { Page } from 'playwright-core';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { runAll } from '../../src/instrument/runner.ts';
import { openWorkbench } from '../../src/workbench/workbench.ts';
import { gpt2Checkpoint } from '../../tools/bench/gpt2-shape.ts';
import { openApp, type App } from '../app/harness.ts';
import { checkpointFolder } from '../helpers/models.ts';
import { interleave, quantile, ratio } from './measure.ts';
import { promptIds } from './prompt.ts';
import { ratioRow, type Listener, type Row } from './results.ts';

const SAMPLE = 'ioi-4l';
/** 144 heads and 1,024 tokens; narrow, so that the machine's speed at multiplying is not what is measured. */
const WIDE = { layers: 12, heads: 12, dModel: 96, vocab: 512, context: 1024, tied: true };
const PATTERN = '[role="application"][data-draws]';
const MOVES = 120;

/** The interface: from a click on a sample to the first pattern, and frames while the pointer moves over a large one. */
export async function appRows({ rounds }: { rounds: number }, listener: Listener): Promise<void> {
  const app = await openApp();
  try {
    listener.row(await openingRow(app, rounds));
  } finally {
    await app.close();
  }
  listener.note(await hoverNote());
}

async function openingRow({ page, url }: App, rounds: number): Promise<Row> {
  const start = new URL(url).origin;
  const times = await interleave(
    {
      screen: async () => {
        await page.goto(start);
        const sample = page.locator(`[data-sample="${SAMPLE}"]`);
        await sample.waitFor();
        const began = performance.now();
        await sample.click();
        await page.locator(PATTERN).first().waitFor();
        return performance.now() - began;
      },
      commandLine: async () => {
        const workbench = await openWorkbench(checkpointFolder(SAMPLE), nodeDevice('cpu'));
        const ids = promptIds(16, workbench.opened.runner.shape.vocab);
        await runAll(workbench.opened.runner, { rows: [{ ids }], taps: [{ site: 'pattern' }] });
        await workbench.close();
      },
    },
    { clock: 'elapsed', rounds, warmUp: 1 },
  );
  return ratioRow(
    {
      model: SAMPLE,
      what: 'from a click on the sample to the first pattern on screen',
      against: 'the same without a screen',
      rounds,
      milliseconds: {
        measured: quantile(times.screen, 0.5),
        against: quantile(times.commandLine, 0.5),
      },
    },
    ratio(times.screen, times.commandLine),
  );
}

/** Frames between moves of the pointer, over a pattern and over nothing, in turn. */
async function hoverNote(): Promise<string> {
  const app = await openApp({ checkpoints: [await gpt2Checkpoint(WIDE)], width: 1920, height: 1080 });
  const { page } = app;
  try {
    const text = page.locator('textarea.text').first();
    await text.waitFor();
    await text.fill(promptIds(WIDE.context, WIDE.vocab).join(' '));
    await text.press('Enter');
    await app.settled();
    await page.locator(`${PATTERN}[aria-label*="of ${WIDE.context} queries"]`).waitFor({ timeout: 120_000 });
    const over: number[] = [];
    const beside: number[] = [];
    for (let round = 0; round < 3; round++) {
      over.push(...(await frames(page, PATTERN)));
      beside.push(...(await frames(page, '.status-bar')));
    }
    const text95 = (values: number[]): string =>
      `${quantile(values, 0.5).toFixed(1)} / ${quantile(values, 0.95).toFixed(1)}`;
    return `Frames while the pointer moves over a pattern of 1,024 tokens (${WIDE.layers} × ${WIDE.heads} heads), median / 95 %, ms: ${text95(over)}; over an empty part of the window: ${text95(beside)}.`;
  } finally {
    await app.close();
  }
}

/** Milliseconds from frame to frame while the pointer goes across an element. */
async function frames(page: Page, selector: string): Promise<number[]> {
  const box = (await page.locator(selector).first().boundingBox())!;
  await page.evaluate(() => {
    const times: number[] = [];
    Object.assign(globalThis, { frameTimes: times, stopFrames: false });
    const note = (now: number): void => {
      times.push(now);
      if (!(globalThis as unknown as { stopFrames: boolean }).stopFrames) requestAnimationFrame(note);
    };
    requestAnimationFrame(note);
  });
  for (let i = 0; i < MOVES; i++)
    await page.mouse.move(
      box.x + box.width * (0.3 + (0.4 * i) / MOVES),
      box.y + box.height * (0.6 + 0.2 * Math.sin(i / 7)),
    );
  const times = await page.evaluate(() => {
    const state = globalThis as unknown as { frameTimes: number[]; stopFrames: boolean };
    state.stopFrames = true;
    return state.frameTimes;
  });
  return times.slice(1).map((time, i) => time - times[i]);
}
