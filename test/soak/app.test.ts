import type { CDPSession } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openApp, type App } from '../app/harness.ts';
import { focusHead } from '../app/heads-page.ts';
import { trend } from './memory.ts';

/*
 * The app in a browser: open, run, edit, close, ten times over three models. What is read is what JavaScript holds after garbage is
 * collected, objects and buffers, in the page and in the engine's worker. WebAssembly's own memory is shared and not among them: `npm run soak`
 * has it in its process ("wasm").
 */

const ROUNDS = 10;
const MODELS = ['sink-3l', 'ioi-4l', 'llama-tiny'];

let app: App;
let session: CDPSession;
beforeAll(async () => {
  app = await openApp();
  session = await app.context.newCDPSession(app.page);
}, 120_000);
afterAll(() => app.close());

interface Usage {
  readonly usedSize: number;
  readonly backingStorageSize?: number;
}

/** Asks the engine's worker, which has a target of its own. */
async function worker<T>(target: string, method: string): Promise<T> {
  const id = ++asked;
  const answer = new Promise<T>((resolve) => {
    const hear = ({ message }: { message: string }): void => {
      const told = JSON.parse(message) as { id?: number; result: T };
      if (told.id !== id) return;
      session.off('Target.receivedMessageFromTarget', hear);
      resolve(told.result);
    };
    session.on('Target.receivedMessageFromTarget', hear);
  });
  await session.send('Target.sendMessageToTarget', {
    sessionId: target,
    message: JSON.stringify({ id, method }),
  });
  return answer;
}
let asked = 0;

const megabytes = ({ usedSize, backingStorageSize = 0 }: Usage): number =>
  (usedSize + backingStorageSize) / 1e6;

async function memory(engine: string): Promise<{ page: number; engine: number }> {
  for (let i = 0; i < 2; i++) {
    await session.send('HeapProfiler.collectGarbage');
    await worker(engine, 'HeapProfiler.collectGarbage');
  }
  return {
    page: megabytes(await session.send('Runtime.getHeapUsage')),
    engine: megabytes(await worker<Usage>(engine, 'Runtime.getHeapUsage')),
  };
}

async function closeCheckpoint(): Promise<void> {
  const { page } = app;
  await page.keyboard.press('Control+k');
  await page.getByPlaceholder('Type a command…').fill('Close the checkpoint');
  await page.keyboard.press('Enter');
  const sample = page.locator('[data-sample]').first();
  const leave = page.getByRole('button', { name: 'Do not save' });
  await sample.or(leave).first().waitFor();
  if (await leave.isVisible()) await leave.click();
  await sample.waitFor();
}

test('memory of the page and of the engine stays flat', async () => {
  let engine = '';
  session.on('Target.attachedToTarget', ({ sessionId, targetInfo }) => {
    if (targetInfo.type === 'worker' && /\/engine\/worker[^/]*$/.test(targetInfo.url) && engine === '')
      engine = sessionId;
  });
  await session.send('Target.setAutoAttach', {
    autoAttach: true,
    waitForDebuggerOnStart: false,
    flatten: false,
  });
  const all: { page: number; engine: number }[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of MODELS) {
      await app.openSample(name, 'wasm');
      await focusHead(app.page, { layer: 1, head: 2 });
      await app.page.keyboard.press('z');
      await app.page.locator('[data-edit]').first().waitFor();
      await app.settled();
      await closeCheckpoint();
    }
    all.push(await memory(engine));
  }
  for (const part of ['page', 'engine'] as const) {
    const { ratio } = trend(all.map((each) => each[part]));
    expect(ratio, part).toBeLessThan(1.1);
  }
}, 900_000);
