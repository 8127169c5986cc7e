import type { Worker } from 'playwright-core';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { EditSpec } from '../../src/workbench/session/schema.ts';
import type { Sample } from '../../src/workbench/engine/source.ts';
import { WARM } from '../../src/workbench/engine/warm-up.ts';
import { openEnginePage, type EnginePage } from './engine-page.ts';
import type { UnderTest } from './page/main.ts';

/* First actions on WebGPU find the graphics card's programs compiled: counted, since times on a busy machine say little. */

vi.setConfig({ testTimeout: 240_000 });

declare const client: UnderTest['client'];

let engine: EnginePage;
let worker: Worker;
beforeAll(async () => {
  engine = await openEnginePage();
  await engine.page.evaluate(() => client.call('devices', {})); // starts the worker
  [worker] = engine.page.workers();
  await worker.evaluate(() => {
    const counter = globalThis as unknown as { compiled: number };
    counter.compiled = 0;
    const methods = GPUDevice.prototype as unknown as Record<string, (...args: unknown[]) => unknown>;
    for (const name of ['createComputePipeline', 'createComputePipelineAsync']) {
      const make = methods[name];
      methods[name] = function (this: GPUDevice, ...args) {
        counter.compiled++;
        return make.apply(this, args);
      };
    }
  });
}, 120_000);
afterAll(() => engine.close());

const compiled = (): Promise<number> =>
  worker.evaluate(() => (globalThis as unknown as { compiled: number }).compiled);
const marks = (): Promise<number> =>
  worker.evaluate((name) => performance.getEntriesByName(name).length, WARM);

/** Opens the sample; its first prompt's tokens. */
const open = (device: 'webgpu' | 'wasm') =>
  engine.page.evaluate(async (wanted) => {
    const samples = (await (await fetch('/samples.json')).json()) as Pick<Sample, 'name' | 'source'>[];
    const { source } = samples.find(({ name }) => name === 'ioi-4l')!;
    const { firstPrompts } = await client.call('open', { source, device: wanted });
    return [...(await client.call('encode', { text: firstPrompts[0].text })).ids];
  }, device);

/** What a person does first: looks at a head and at all heads, ablates, calibrates, exports. Returns the programs compiled for each. */
async function act(ids: number[]): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const what of ['pattern', 'thumbnails', 'ablate', 'act', 'var', 'capture'] as const) {
    const before = await compiled();
    await engine.page.evaluate(
      async ([what, ids]) => {
        const head = { layer: 2, head: 1 };
        const question = { ids, prompts: {}, references: [], answers: [], distractors: [] };
        if (what === 'pattern') await client.call('editedPattern', { ...question, specs: [], layer: 1 });
        else if (what === 'thumbnails') await client.call('thumbnails', { ids, size: 64 });
        else if (what === 'capture')
          await client.call('capture', { rows: [{ ids }], sites: ['z', 'resid', 'result'] });
        else {
          const specs: Record<typeof what, EditSpec> = {
            ablate: { kind: 'ablate', head, mode: 'zero' },
            act: { kind: 'act', heads: [head], alpha: 0.6, beta: 0.3 },
            var: {
              kind: 'var',
              heads: [head],
              dims: [3],
              tau: 1,
              rho: 0.3,
              summ: 0.2,
              p: 0.1,
              focus: [4, 8],
            },
          };
          await client.call('whatIf', { ...question, specs: [specs[what]] });
        }
      },
      [what, ids] as const,
    );
    found[what] = (await compiled()) - before;
  }
  return found;
}

it('the first screen needs few programs that opening did not compile, and first actions none', async () => {
  const ids = await open('webgpu');
  const opened = await compiled();
  expect(opened).toBeGreaterThan(30);
  await engine.page.evaluate(
    (ids) =>
      client.call('whatIf', { ids, specs: [], prompts: {}, references: [], answers: [], distractors: [] }),
    ids,
  );
  const shown = await compiled();
  // 19 without what runs behind opening; how far that has come depends on how long the comparison with the CPU takes
  expect(shown - opened).toBeLessThan(16);
  await expect.poll(marks, { timeout: 120_000 }).toBe(1);
  const warm = await compiled();
  expect(warm - shown).toBeGreaterThan(15);
  expect(await act(ids)).toEqual({ pattern: 0, thumbnails: 0, ablate: 0, act: 0, var: 0, capture: 0 });
});

it('is not made on the CPU', async () => {
  const ids = await open('wasm');
  const before = await compiled();
  await act(ids);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  expect(await marks()).toBe(1);
  expect(await compiled()).toBe(before);
  expect(engine.troubles.filter((text) => !/favicon|status of 404/.test(text))).toEqual([]);
});
