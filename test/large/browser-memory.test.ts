import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { gpt2Weights } from '../../tools/bench/gpt2-graph.ts';
import { writeGpt2 } from '../../tools/bench/gpt2-shape.ts';
import { servePage, type ServedPage } from '../browser/engine-page.ts';
import { allowance } from './process-memory.ts';
import { openQuietBrowser } from './quiet-browser.ts';

/* Half a model of GPT-2's width, as the app opens it on WebAssembly; its table of words is nearly half of it. */
const SHAPE = { layers: 6, heads: 12, dModel: 768, vocab: 50_257, context: 256, tied: true };
const sizes = gpt2Weights(SHAPE).map(({ dims }) => (4 * dims.reduce((a, b) => a * b, 1)) / 1e6);
const weights = sizes.reduce((a, b) => a + b, 0);
const largest = Math.max(...sizes);

let folder: string;
let served: ServedPage;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'headscope-large-'));
  await writeGpt2(path.join(folder, 'model.onnx'), SHAPE);
  served = await servePage('test/large/page', [folder]);
}, 120_000);
afterAll(async () => {
  await served.close();
  await rm(folder, { recursive: true });
});

test.skipIf(process.platform !== 'linux')(
  'WebAssembly holds weights once, and nothing as large beside them while they are loaded',
  { timeout: 300_000 },
  async () => {
    const browser = await openQuietBrowser(`${served.url}#wasm+`);
    try {
      const title = await browser.title('done 1');
      // 12 heads × 32 queries, each of which gives 1 away
      expect(title).toMatch(/: WebAssembly.*, 384\.00$/);
      const beyond = (await browser.peaks()).page - weights;
      console.info(
        `weights ${weights.toFixed(0)} MB; beyond them ${beyond.toFixed(0)} of ${allowance(largest).toFixed(0)} MB`,
      );
      expect(beyond).toBeLessThan(allowance(largest));

      // what a second copy would look like
      await browser.title('done 2');
      const two = (await browser.peaks()).page - weights;
      console.info(`opened twice, ${two.toFixed(0)} MB beyond the weights`);
      expect(two).toBeGreaterThan(allowance(largest));
    } finally {
      await browser.close();
    }
  },
);
