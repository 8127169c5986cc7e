import { unzipSync } from 'fflate';
import { parse } from 'npyjs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { OverviewRow } from '../../src/workbench/engine/commands/run.ts';
import type { OpenSummary } from '../../src/workbench/engine/commands/checkpoint.ts';
import type { Sample } from '../../src/workbench/engine/source.ts';
import { readGolden } from '../helpers/golden.ts';
import { variantFolder } from '../helpers/models.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { openEnginePage, type EnginePage } from './engine-page.ts';
import type { UnderTest } from './page/main.ts';

// WebGPU runs on a software adapter here, which compiles its shaders slowly.
vi.setConfig({ testTimeout: 180_000 });

declare const client: UnderTest['client'];

const MODELS = ['ioi-4l', 'llama-tiny'];
const DEVICES = ['webgpu', 'wasm'] as const;
/** ioi-4l as other exporters write it: weights in a file of their own, one fused operator, inputs for earlier keys and values. */
const VARIANTS = ['external-data', 'ms-mha', 'optimum-past'];

let engine: EnginePage;
beforeAll(async () => {
  engine = await openEnginePage(VARIANTS.map(variantFolder));
}, 120_000);
afterAll(async () => {
  await engine.close();
});

/** Opens a sample and runs a prompt; numbers come back as plain arrays. */
function runInBrowser(name: string, device: 'webgpu' | 'wasm' | 'cpu', ids: readonly number[]) {
  return engine.page.evaluate(
    async ({ name, device, ids }) => {
      const lists = ['/samples.json', '/opened.json'].map(
        async (url) => (await (await fetch(url)).json()) as Pick<Sample, 'name' | 'source'>[],
      );
      const served = (await Promise.all(lists)).flat();
      const { source } = served.find((each) => each.name === name)!;
      const began = performance.now();
      const summary: OpenSummary = await client.call('open', { source, device });
      const opened = performance.now() - began;
      const patterns: number[][] = [];
      const layers = summary.inspect.blocks.length;
      const first = performance.now();
      for (let layer = 0; layer < layers; layer++)
        patterns.push([...(await client.call('pattern', { ids, layer })).data]);
      const took = (performance.now() - first) / layers;
      const { npz } = await client.call('capture', { rows: [{ ids }], sites: ['z', 'logits'] });
      const edit = { kind: 'z', layer: 1, head: 0, scale: 0 } as const;
      const rows: OverviewRow[] = await client.call('overview', { rows: [{ ids }, { ids, edits: [edit] }] });
      return {
        device: summary.device,
        selfTest: summary.selfTest,
        measured: summary.measured,
        opened,
        took,
        patterns,
        npz: [...npz],
        losses: rows.map(({ loss }) => loss),
        changes: rows.map(({ changes }) => changes),
      };
    },
    { name, device, ids: [...ids] },
  );
}

/** One array of an .npz file. */
function arrayOf(npz: readonly number[], name: string): Float32Array {
  const file = unzipSync(Uint8Array.from(npz))[`${name}.npy`];
  return parse(file.slice().buffer).data as Float32Array;
}

/** [heads, T, d] as captures keep it: [T, heads, d]. */
function headsLast({ dims, data }: { dims: readonly number[]; data: Float32Array }): Float32Array {
  const [heads, tokens, size] = dims;
  return Float32Array.from({ length: data.length }, (_, i) => {
    const [t, h, d] = [Math.floor(i / (heads * size)), Math.floor(i / size) % heads, i % size];
    return data[(h * tokens + t) * size + d];
  });
}

describe.each(DEVICES)('%s in the worker, under the policy of the app', (device) => {
  it.each([...MODELS, ...VARIANTS])('%s equals PyTorch', async (name) => {
    const golden = readGolden(VARIANTS.includes(name) ? 'ioi-4l' : name);
    const [ids] = golden.prompts;
    const result = await runInBrowser(name, device, ids);
    expect(result.device.kind).toBe(device);
    for (let layer = 0; layer < golden.layers; layer++) {
      const expected = golden.tensor(`p0.l${layer}.attn`).data;
      expect(maxAbs(result.patterns[layer], expected), `pattern of layer ${layer}`).toBeLessThan(1e-4);
      const z = arrayOf(result.npz, `blocks.${layer}.attn.hook_z`);
      expect(maxAbs(z, headsLast(golden.tensor(`p0.l${layer}.z`))), `z of layer ${layer}`).toBeLessThan(1e-4);
    }
    expect(maxAbs(arrayOf(result.npz, 'logits'), golden.tensor('p0.logits').data)).toBeLessThan(1e-4);
    expect(result.measured!.maxAbs).toBeLessThan(1e-4);
    expect(result.changes[1][0]).toBeGreaterThan(0.01);
    expect(result.losses[1]).not.toBeCloseTo(result.losses[0]!, 4);
    if (device === 'webgpu') {
      expect(result.selfTest).toMatchObject({ verdict: 'same', compared: 'logits' });
      expect(result.selfTest!.reference).toMatch(/^CPU, onnxruntime-node/);
    } else expect(result.selfTest).toBeNull();
    console.info(
      `${name} on ${result.device.name}: open ${result.opened.toFixed(0)} ms, pattern ${result.took.toFixed(0)} ms`,
    );
  });
});

it('the native CPU is reached from the worker', async () => {
  const golden = readGolden('ioi-4l');
  const result = await runInBrowser('ioi-4l', 'cpu', golden.prompts[0]);
  expect(result.device.name).toMatch(/^CPU, onnxruntime-node/);
  expect(maxAbs(result.patterns[2], golden.tensor('p0.l2.attn').data)).toBeLessThan(1e-4);
});

it('WebAssembly has two threads: the page is isolated, and the engine may start workers', async () => {
  const devices = await engine.page.evaluate(() => client.call('devices', {}));
  expect(devices.map(({ kind, available }) => [kind, available])).toEqual([
    ['webgpu', true],
    ['cpu', true],
    ['wasm', true],
  ]);
  expect(devices[0]).toMatchObject({ software: true });
  const cores = await engine.page.evaluate(() => navigator.hardwareConcurrency);
  expect(devices[2].name).toBe(`WebAssembly, ${Math.min(4, cores)} thread${cores > 1 ? 's' : ''}`);
});

it('files that are dropped onto the page need no server', async () => {
  const summary = await engine.page.evaluate(async () => {
    const samples = (await (await fetch('/samples.json')).json()) as Sample[];
    const { source } = samples.find((each) => each.name === 'sink-3l')!;
    if (source.kind !== 'served') throw new Error('samples are served');
    const blobs = ['model.onnx', 'tokenizer.json'].map(async (name) => {
      const blob = await (await fetch(source.base + name)).blob();
      return { name, blob };
    });
    const files = await Promise.all(blobs);
    return client.call('open', { source: { kind: 'files', name: 'dropped', files }, device: 'wasm' });
  });
  expect(summary.inspect.model).toMatchObject({ name: 'dropped', file: 'model.onnx' });
  expect(summary.measured!.maxAbs).toBeLessThan(1e-4);
});

it('nothing went wrong on the side', () => {
  // the page under test has no icon
  expect(engine.troubles.filter((text) => !/favicon|status of 404/.test(text))).toEqual([]);
});

it('a lost graphics card ends the run with a clear error, and the engine starts again', async () => {
  const ids = [...readGolden('ioi-4l').prompts[0]];
  await runInBrowser('ioi-4l', 'webgpu', ids);
  const ended = engine.page.evaluate(async (ids) => {
    const told: string[] = [];
    client.onStopped(({ code }) => told.push(code));
    try {
      for (;;) await client.call('overview', { rows: [{ ids }] });
    } catch (error) {
      return [(error as { code: string }).code, ...told];
    }
  }, ids);
  const browser = await engine.page.context().browser()!.newBrowserCDPSession();
  await browser.send('Browser.crashGpuProcess');
  expect(await ended).toEqual(['device-lost', 'device-lost']);
  const again = await runInBrowser('ioi-4l', 'wasm', ids);
  expect(again.device.kind).toBe('wasm');
});
