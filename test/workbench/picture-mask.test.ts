import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GivenInputs } from '../../src/instrument/given.ts';
import { runAll } from '../../src/instrument/runner.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { wantedInputs } from '../../src/workbench/wanted-inputs.ts';
import { openWorkbench } from '../../src/workbench/workbench.ts';
import { inRepository } from '../helpers/models.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { readGoldenSample } from '../layouts/golden-sample.ts';
import { writeMaskedVit } from '../layouts/masked-vit.ts';

/* Encoders of pictures that also want a mask over the pixels, or the sizes of each picture. */

const scratch = mkdtempSync(path.join(tmpdir(), 'masked-'));
const [masked, sized] = ['masked', 'sized'].map((name) => path.join(scratch, name));
const sample = readGoldenSample(inRepository('test/layouts/samples/vit'));
const { dims, data } = sample.expected.inputs!.pixel_values;
const pixel_values = { type: 'float32' as const, dims, data: Float32Array.from(data) };
const device = nodeDevice('cpu', { threads: 1 });

beforeAll(async () => {
  for (const folder of [masked, sized]) mkdirSync(folder);
  await writeMaskedVit(masked);
  await writeMaskedVit(sized, true);
});
afterAll(() => rmSync(scratch, { recursive: true }));

async function patterns(folder: string, inputs: GivenInputs): Promise<Float32Array[]> {
  const workbench = await openWorkbench(folder, device, { inputs });
  try {
    const ids = Array.from({ length: 10 }, (_, i) => i);
    const request = { rows: [{ ids }], taps: [{ site: 'pattern' as const }], logits: 'none' as const };
    const [row] = await runAll(workbench.opened.runner, request);
    return [0, 1].map((layer) => row.tap('pattern', layer).data);
  } finally {
    await workbench.close();
  }
}

describe('a mask over the pixels of a picture', () => {
  it('lets the whole picture count until it is given, and says so', async () => {
    const workbench = await openWorkbench(masked, device, { inputs: { pixel_values } });
    const { inputs } = await wantedInputs(workbench.checkpoint);
    await workbench.close();
    expect(inputs).toMatchObject([
      { name: 'pixel_values', shape: ['batch', 3, 12, 12], kind: 'picture' },
      { name: 'pixel_attention_mask', type: 'int64', shape: ['batch', 12, 12], kind: 'mask', optional: true },
    ]);
    expect(inputs[0].follows).toBeUndefined();
    expect(inputs[1].follows).toBe('until then ones, as large as pixel_values: the whole picture counts');
    const found = await patterns(masked, { pixel_values });
    for (const layer of [0, 1])
      expect(maxAbs(found[layer], sample.tensor(`p0.pattern.${layer}`)!.data)).toBeLessThan(1e-5);
  });

  it('is used as it was given', async () => {
    // the pixels of the left column of patches do not count
    const ones = BigInt64Array.from({ length: 144 }, (_, i) => (i % 12 < 4 ? 0n : 1n));
    const pixel_attention_mask = { type: 'int64' as const, dims: [1, 12, 12], data: ones };
    const found = await patterns(masked, { pixel_values, pixel_attention_mask });
    const hidden = [1, 4, 7];
    for (const pattern of found)
      for (let row = 0; row < pattern.length / 10; row++) {
        const keys = pattern.subarray(10 * row, 10 * row + 10);
        expect(hidden.reduce((sum, key) => sum + keys[key], 0)).toBe(0);
        expect(keys.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 5);
      }
  });

  it('goes with the neutral picture that stands for one', async () => {
    const workbench = await openWorkbench(masked, device);
    const { given } = workbench.opened;
    await workbench.close();
    // a neutral picture stands for one, and its mask with it
    expect(given.pixel_attention_mask.dims).toEqual([1, 12, 12]);
  });
});

describe('the sizes of a picture', () => {
  it('are asked for by name and shape, since they do not follow from anything', async () => {
    const workbench = await openWorkbench(sized, device, { inputs: { pixel_values } });
    const { inputs } = await wantedInputs(workbench.checkpoint);
    const ids = Array.from({ length: 10 }, (_, i) => i);
    await expect(runAll(workbench.opened.runner, { rows: [{ ids }], logits: 'none' })).rejects.toThrow(
      /"spatial_shapes" of shape \[\w+, 2\] \(int64\)/,
    );
    await workbench.close();
    expect(inputs.map(({ name, kind, optional }) => [name, kind, optional])).toEqual([
      ['pixel_values', 'picture', true],
      ['pixel_attention_mask', 'mask', true],
      ['spatial_shapes', 'sizes', false],
    ]);
    const spatial_shapes = { type: 'int64' as const, dims: [1, 2], data: BigInt64Array.of(3n, 3n) };
    const found = await patterns(sized, { pixel_values, spatial_shapes });
    expect(maxAbs(found[1], sample.tensor('p0.pattern.1')!.data)).toBeLessThan(1e-5);
  });
});
