import { afterAll, expect, test, vi } from 'vitest';
import type { Sample } from '../../src/workbench/engine/source.ts';
import { openEnginePage, type EnginePage } from '../browser/engine-page.ts';
import type { UnderTest } from '../browser/page/main.ts';
import { readGolden } from '../helpers/golden.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { writeLarge, type LargeCheckpoint } from './large-checkpoint.ts';

/* Files of more than 4 GB in the app's engine, which reads them in ranges over the shell's origin. */

vi.setConfig({ testTimeout: 180_000 });

declare const client: UnderTest['client'];

const golden = readGolden('ioi-4l');
const [ids] = golden.prompts;

const open: (LargeCheckpoint | EnginePage)[] = [];
afterAll(async () => {
  for (const each of open) await ('remove' in each ? each.remove() : each.close());
});

/** The engine with a large checkpoint served; a sentence when this disk cannot hold it. */
async function engineWith(options: Parameters<typeof writeLarge>[0]): Promise<EnginePage | string> {
  const large = await writeLarge(options);
  if (typeof large === 'string') return large;
  const engine = await openEnginePage([large.folder]);
  open.push(engine, large);
  return engine;
}

/** Opens what is served and gives the pattern of layer 2. */
function pattern(engine: EnginePage, device: 'wasm' | 'webgpu') {
  return engine.page.evaluate(
    async ({ device, ids }) => {
      const [{ source }] = (await (await fetch('/opened.json')).json()) as Pick<Sample, 'source'>[];
      const summary = await client.call('open', { source, device });
      const { data } = await client.call('pattern', { ids, layer: 2 });
      return { device: summary.device.name, notes: summary.notes, data: [...data] };
    },
    { device, ids: [...ids] },
  );
}

const expected = golden.tensor('p0.l2.attn').data;

test('weights that begin beyond 4 GB of a file are streamed into WebAssembly and onto the graphics card', async (context) => {
  const engine = await engineWith({ tableFills: false });
  if (typeof engine === 'string') return context.skip(engine);
  for (const device of ['wasm', 'webgpu'] as const) {
    const result = await pattern(engine, device);
    expect(result.device).toMatch(device === 'wasm' ? /^WebAssembly/ : /^WebGPU/);
    expect(maxAbs(result.data, expected)).toBeLessThan(1e-4);
  }
});

test('a weight that the graphics card cannot hold is named, and the CPU is used in its place', async (context) => {
  const engine = await engineWith({ tableFills: true });
  if (typeof engine === 'string') return context.skip(engine);
  const result = await pattern(engine, 'webgpu');
  expect(result.device).toMatch(/^CPU, onnxruntime-node/);
  expect(result.notes).toContainEqual(
    expect.stringMatching(
      /^WebGPU, .+ cannot run this model, so CPU, .+ is used instead\. The weight "transformer\.wpe\.weight" takes 4\.56 GB, more than the [\d.]+ [GM]B that WebGPU, .+ holds in one piece\. Use the native CPU, or export/,
    ),
  );
  expect(maxAbs(result.data, expected)).toBeLessThan(1e-4);
});
