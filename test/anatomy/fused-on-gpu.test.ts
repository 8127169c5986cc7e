import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { writeModel } from '../../src/onnx/write.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { openBuiltPage, type EnginePage } from '../browser/engine-page.ts';
import { Errors, maxAbs } from '../helpers/numbers.ts';
import { floats, int32s, modelOf, runParts, type Case } from './fused-operator.ts';
import type { UnderTest } from './gpu-page/main.ts';
import type { Answer, Plain } from './gpu-page/worker.ts';

/* Fused operators that ONNX Runtime has for GPUs and not for the CPU: run fused by its WebGPU provider, in their parts by the CPU. */

// WebGPU runs on a software adapter here, which compiles its shaders slowly.
vi.setConfig({ testTimeout: 180_000 });

declare const gpu: UnderTest;

const cpu = nodeDevice('cpu', { threads: 1 });
let page: EnginePage;
beforeAll(async () => {
  page = await openBuiltPage('test/anatomy/gpu-page', []);
  await page.page.waitForFunction(() => 'gpu' in globalThis);
}, 120_000);
afterAll(async () => {
  await page.close();
});

function fusedOnGpu(test: Case): Promise<Answer> {
  const feeds = test.inputs.flatMap((input, i) =>
    input && !test.stored?.includes(i)
      ? [[`input_${i}`, { ...input, data: [...(input.data as Float32Array)] } as Plain] as const]
      : [],
  );
  const question = { graph: [...writeModel(modelOf(test))], feeds: Object.fromEntries(feeds) };
  return page.page.evaluate((asked) => gpu.run(asked), question);
}

const T = 5;
const G = 16;
const gqa = { num_heads: 4, kv_num_heads: 2, do_rotary: 1 };
const normed = (tokens = T) => [
  ...[floats(1, tokens, 4 * G), floats(1, tokens, 2 * G), floats(1, tokens, 2 * G)],
  ...[null, null, int32s([1], tokens - 1), int32s([1], tokens)],
  ...[floats(32, G / 2), floats(32, G / 2)],
  ...Array<null>(5).fill(null),
  ...[floats(G), floats(G)],
];
const output = ['float32'] as const;
const base = { opType: 'GroupQueryAttention', outputs: ['float32', 'float32', 'float32'] } as const;

const NORMED: Record<string, Case> = {
  'halves turned together': { ...base, inputs: normed(), attributes: gqa },
  'one token': { ...base, inputs: normed(1), attributes: gqa },
  'neighbours turned together, an epsilon and a scale of its own': {
    ...base,
    inputs: normed(),
    attributes: { ...gqa, rotary_interleaved: 1, qk_norm_epsilon: { float: 0.5 }, scale: { float: 0.4 } },
  },
};

describe('GroupQueryAttention that norms queries and keys', () => {
  const errors = new Errors();
  afterAll(() => console.log(`norms of queries and keys, max abs: ${errors.text}`));

  it.each(Object.entries(NORMED))('%s', async (name, test) => {
    const fused = await fusedOnGpu(test);
    if ('why' in fused) throw new Error(fused.why);
    const parts = await runParts(cpu, test);
    expect(Object.keys(fused.outputs)).toEqual(Object.keys(parts));
    for (const [output, { data }] of Object.entries(parts))
      expect(
        errors.add(name, maxAbs(data as Float32Array, Float32Array.from(fused.outputs[output]))),
      ).toBeLessThan(1e-5);
  });
});

describe('what ONNX Runtime has for CUDA alone', () => {
  it('leaves positions out of Attention with do_rotary', async () => {
    const inputs = [floats(1, T, 10), floats(10, 12 * G), floats(12 * G)];
    const test = (rotary: number): Case => ({
      opType: 'Attention',
      inputs,
      attributes: { num_heads: 4, do_rotary: rotary },
      stored: [1, 2],
      outputs: output,
    });
    const [turned, plain] = [await fusedOnGpu(test(1)), await fusedOnGpu(test(0))];
    expect('outputs' in plain).toBe(true);
    expect(turned).toEqual(plain);
  });

  it('refuses packed queries, keys and values, and packed keys and values', async () => {
    const attributes = { num_heads: 4 };
    const all: Case = {
      opType: 'MultiHeadAttention',
      inputs: [floats(1, T, 4, 3, G)],
      attributes,
      outputs: output,
    };
    expect(await fusedOnGpu(all)).toMatchObject({ why: expect.stringContaining('Packed QKV') as string });
    const two = { ...all, inputs: [floats(1, T, 4 * G), floats(1, T, 4, 2, G)] };
    expect(await fusedOnGpu(two)).toMatchObject({ why: expect.stringContaining('Packed KV') as string });
  });
});
