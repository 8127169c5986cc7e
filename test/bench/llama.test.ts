import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runAll } from '../../src/instrument/runner.ts';
import { floatValues } from '../../src/onnx/tensor-values.ts';
import { llamaWeights, type LlamaShape } from '../../tools/bench/llama-graph.ts';
import { writeLlama } from '../../tools/bench/llama-shape.ts';
import { inspectFolder, openFolder } from '../helpers/models.ts';

const SHAPE: LlamaShape = { layers: 2, heads: 4, kvHeads: 2, dModel: 32, hidden: 48, vocab: 61 };
let root: string;
beforeAll(async () => {
  root = await mkdtemp(path.join(os.tmpdir(), 'headscope-bench-test-'));
  await writeLlama(root, SHAPE);
});
afterAll(() => rm(root, { recursive: true }));

it('writes a checkpoint whose every head is found, with weights on pages of a file of their own', async () => {
  const { folder, checkpoint } = await inspectFolder(root);
  const { blocks, unembedding, unrecognised } = checkpoint.anatomy;
  expect(unrecognised).toEqual([]);
  const found = blocks.map(({ heads, kvHeads, headDim, dModel, norm, causal, mlp }) => [
    heads,
    kvHeads,
    headDim,
    dModel,
    norm,
    causal,
    mlp?.activation,
  ]);
  expect(found).toEqual(Array(2).fill([4, 2, 8, 32, 'pre', true, 'swiglu']));
  expect(unembedding).toMatchObject({ vocab: 61, tied: true });
  for (const { name } of llamaWeights(SHAPE)) {
    const { data } = checkpoint.model.graph.initializers.get(name)!;
    expect(data).toMatchObject({ source: 'model.onnx_data' });
    expect((data as { offset: number }).offset % 4096).toBe(0);
  }
  await folder.close();
});

it('draws the same weights for the same seed, around 1 for norms', async () => {
  const other = await mkdtemp(path.join(root, 'again'));
  await writeLlama(other, SHAPE);
  const bytes = (folder: string): Promise<Buffer> => readFile(path.join(folder, 'model.onnx_data'));
  expect((await bytes(other)).equals(await bytes(root))).toBe(true);
  const { folder, checkpoint } = await inspectFolder(root);
  const norm = checkpoint.model.graph.initializers.get('model.norm.weight')!;
  const values = await floatValues(norm, checkpoint.sources);
  expect(values.reduce((a, b) => a + b, 0) / values.length).toBeCloseTo(1, 1);
  await folder.close();
});

/** One layer by hand in float64 from the weights: what attention of the first layer must be. */
async function expectedPattern(ids: readonly number[], head: number): Promise<number[][]> {
  const { folder, checkpoint } = await inspectFolder(root);
  const weight = async (name: string): Promise<Float32Array> =>
    floatValues(checkpoint.model.graph.initializers.get(`${name}.weight`)!, checkpoint.sources);
  const { dModel: d, heads, kvHeads } = SHAPE;
  const headDim = d / heads;
  const table = await weight('model.embed_tokens');
  const scale = await weight('model.layers.0.input_layernorm');
  const project = async (name: string, width: number, at: number): Promise<number[][]> => {
    const matrix = await weight(`model.layers.0.self_attn.${name}`);
    return ids.map((id, position) => {
      const x = [...table.subarray(id * d, (id + 1) * d)];
      const rms = Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / d + 1e-5);
      const out = Array.from({ length: headDim }, (_, j) =>
        x.reduce(
          (sum, value, i) => sum + ((value * scale[i]) / rms) * matrix[i * width + at * headDim + j],
          0,
        ),
      );
      const half = headDim / 2;
      return out.map((value, j) => {
        const angle = position * 10_000 ** (-(j % half) / half);
        const turned = j < half ? -out[j + half] : out[j - half];
        return value * Math.cos(angle) + turned * Math.sin(angle);
      });
    });
  };
  const q = await project('q_proj', d, head);
  const k = await project('k_proj', kvHeads * headDim, Math.floor((head * kvHeads) / heads));
  await folder.close();
  return q.map((query, i) => {
    const scores = k
      .slice(0, i + 1)
      .map((key) => Math.exp(key.reduce((sum, value, j) => sum + value * query[j], 0) / Math.sqrt(headDim)));
    const sum = scores.reduce((a, b) => a + b, 0);
    return ids.map((_, j) => (j <= i ? scores[j] / sum : 0));
  });
}

it('runs as Llama does: the first layer’s attention by hand, and edits that change nothing when neutral', async () => {
  const opened = await openFolder(root);
  expect(opened.measured!.maxAbs).toBeLessThan(1e-5);
  const ids = [3, 17, 60, 5, 5, 41, 0];
  const [row] = await runAll(opened.runner, { rows: [{ ids }], taps: [{ site: 'pattern', layers: [0] }] });
  const { data } = row.tap('pattern', 0);
  for (const head of [0, 1, 2, 3]) {
    const expected = (await expectedPattern(ids, head)).flat();
    const size = ids.length ** 2;
    expected.forEach((value, i) => expect(data[head * size + i]).toBeCloseTo(value, 5));
  }
  await opened.closeAll();
});
