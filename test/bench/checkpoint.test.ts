import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runAll } from '../../src/instrument/runner.ts';
import { floatValues } from '../../src/onnx/tensor-values.ts';
import { gpt2Weights, type Gpt2Shape } from '../../tools/bench/gpt2-graph.ts';
import { writeGpt2 } from '../../tools/bench/gpt2-shape.ts';
import { inspectFolder, openFolder } from '../helpers/models.ts';

const SHAPE: Gpt2Shape = { layers: 3, heads: 4, dModel: 64, vocab: 211, context: 32, tied: true };
let root: string;
beforeAll(async () => {
  root = await mkdtemp(path.join(os.tmpdir(), 'headscope-bench-test-'));
});
afterAll(() => rm(root, { recursive: true }));

async function written(name: string, shape: Gpt2Shape, seed = 1): Promise<string> {
  const folder = await mkdtemp(path.join(root, name));
  await writeGpt2(path.join(folder, 'model.onnx'), shape, seed);
  return folder;
}

it('writes a checkpoint whose every head is found', async () => {
  const { folder, checkpoint } = await inspectFolder(await written('tied', SHAPE));
  const { blocks, unembedding, context, unrecognised } = checkpoint.anatomy;
  expect(unrecognised).toEqual([]);
  expect(
    blocks.map(({ heads, headDim, dModel, norm, mlp }) => [heads, headDim, dModel, norm, mlp?.activation]),
  ).toEqual(Array(3).fill([4, 16, 64, 'pre', 'gelu_new']));
  expect(unembedding).toMatchObject({ vocab: 211, tied: true });
  expect(context).toBe(32);
  await folder.close();
});

it('writes an untied head when asked to', async () => {
  const { folder, checkpoint } = await inspectFolder(await written('untied', { ...SHAPE, tied: false }));
  expect(checkpoint.anatomy.unembedding).toMatchObject({ vocab: 211, tied: false });
  await folder.close();
});

it('draws weights as asked, the same for the same seed', async () => {
  const first = await written('seed', SHAPE, 3);
  const bytes = (folder: string) => readFile(path.join(folder, 'model.onnx'));
  expect((await bytes(first)).equals(await bytes(await written('seed', SHAPE, 3)))).toBe(true);
  expect((await bytes(first)).equals(await bytes(await written('seed', SHAPE, 4)))).toBe(false);
  const { folder, checkpoint } = await inspectFolder(first);
  for (const { name, mean, std, dims } of gpt2Weights(SHAPE)) {
    const values = await floatValues(checkpoint.model.graph.initializers.get(name)!, checkpoint.sources);
    const found = values.reduce((a, b) => a + b, 0) / values.length;
    const size = dims.reduce((a, b) => a * b, 1);
    expect(values.length).toBe(size);
    expect(Math.abs(found - mean)).toBeLessThan((5 * std) / Math.sqrt(size));
    const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - found) ** 2, 0) / size);
    expect(Math.abs(spread / std - 1)).toBeLessThan(4 / Math.sqrt(size));
  }
  await folder.close();
});

it('writes a model that runs, with rows of attention that sum to 1 over earlier tokens', async () => {
  const folder = await written('run', SHAPE);
  const opened = await openFolder(folder);
  const ids = Array.from({ length: 9 }, (_, i) => (i * 37) % 211);
  const [row] = await runAll(opened.runner, { rows: [{ ids }], taps: [{ site: 'pattern' }] });
  const pattern = row.tap('pattern', 2).data;
  for (let q = 0; q < 4 * 9; q++) {
    const line = pattern.subarray(q * 9, (q + 1) * 9);
    expect(line.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
    expect(line.subarray((q % 9) + 1).every((value) => value === 0)).toBe(true);
  }
  expect(row.logits).toHaveLength(211);
  await opened.closeAll();
  expect((await stat(path.join(folder, 'model.onnx'))).size).toBeGreaterThan(4 * 150_000);
});
