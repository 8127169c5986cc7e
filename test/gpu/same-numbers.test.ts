import { describe, expect, it } from 'vitest';
import { runAll, type Edit } from '../../src/instrument/runner.ts';
import { GraphBuilder } from '../../src/onnx/build.ts';
import { forGpu } from '../../src/onnx/gpu/for-gpu.ts';
import { DataType, type Model } from '../../src/onnx/model.ts';
import { writeModel } from '../../src/onnx/write.ts';
import type { Device, Tensor } from '../../src/runtime/device.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { CHECKPOINTS, checkpointFolder, inRepository, openFolder, variantFolder } from '../helpers/models.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { scratchModels } from '../helpers/scratch-models.ts';
import { GPT_LAYOUTS, writeGpt, writeParts } from '../layouts/gpt-layouts.ts';
import { LLAMA_LAYOUTS, writeLlama } from '../layouts/llama-layouts.ts';
import { gptWeights, llamaWeights } from '../layouts/weights.ts';
import { writeTied } from './tied-gpt2.ts';

/* Graphs written for GPUs give the numbers that they gave before. Both run on the CPU here: any difference is in what is computed. */

const cpu = nodeDevice('cpu', { threads: 1 });
const writtenForGpu: Device = { ...cpu, kind: 'webgpu' };

const written = scratchModels();

const LONG = [5, 17, 3, 22, 8, 17, 3, 9, 11];
const EDITS: readonly Edit[] = [
  { kind: 'z', layer: 0, head: 1, scale: 0.3 },
  { kind: 'act', layer: 1, head: 0, beta: 0.4, absolute: 0.1 },
  { kind: 'pattern', layer: 0, head: 0, scale: 0.5 },
  { kind: 'mask', layer: 1, head: 1, allowed: Uint8Array.from({ length: 81 }, (_, i) => (i % 3 ? 1 : 0)) },
];

/** Two prompts of different lengths, one edited: logits, patterns and z. */
async function numbers(folder: string, device: Device): Promise<Float32Array[]> {
  const opened = await openFolder(folder, device);
  try {
    const rows = [{ ids: LONG, edits: EDITS }, { ids: LONG.slice(0, 5) }];
    const taps = [{ site: 'pattern' as const }, { site: 'z' as const }];
    const all = await runAll(opened.runner, { rows, taps, logits: 'all', allowNoEffect: true });
    return all.flatMap((row) => [
      row.logits,
      Float32Array.from(row.changes),
      ...opened.checkpoint.anatomy.blocks.flatMap(({ layer }) => [
        row.tap('pattern', layer).data,
        row.tap('z', layer).data,
      ]),
    ]);
  } finally {
    await opened.closeAll();
  }
}

async function expectSame(folder: string): Promise<void> {
  const before = await numbers(folder, cpu);
  const after = await numbers(folder, writtenForGpu);
  expect(before[0].length).toBeGreaterThan(0);
  before.forEach((values, i) => expect(maxAbs(after[i], values)).toBeLessThan(1e-4));
}

describe('models with taps and edits', () => {
  it.each([
    ...CHECKPOINTS.map((name) => [name, checkpointFolder(name)] as const),
    ...['external-data', 'optimum-past', 'ms-mha'].map((name) => [name, variantFolder(name)] as const),
    ...['bigcode', 'bloom', 'gemma2-nofold', 'gpt-oss', 'mistral', 'neox', 'opt-post', 'qwen3'].map(
      (name) => [name, inRepository(`test/layouts/samples/${name}`)] as const,
    ),
  ])('%s', (_, folder) => expectSame(folder));

  it.each(Object.keys(GPT_LAYOUTS))('%s', async (name) => {
    await expectSame(written(name, writeGpt(name, await gptWeights())));
  });

  it.each(Object.keys(LLAMA_LAYOUTS))('%s', async (name) => {
    await expectSame(written(name, writeLlama(name, await llamaWeights())));
  });

  it('a table of words that is also the unembedding, transposed', async () => {
    const folder = await writeTied(written('tied', new Uint8Array()));
    await expectSame(folder);
    const opened = await openFolder(folder, cpu);
    const { original } = opened.checkpoint;
    await opened.closeAll();
    const count = (opType: string, { graph }: Model): number =>
      graph.nodes.filter((node) => node.opType === opType).length;
    const { model } = forGpu(original);
    expect(count('MatMul', original) - count('MatMul', model)).toBe(1);
    expect(count('Transpose', original) - count('Transpose', model)).toBe(1);
    expect(count('Gemm', model) - count('Gemm', original)).toBe(1);
  });

  it('opset 24', async () => {
    await expectSame(written('opset-24', writeParts({ opset: 24 }, await gptWeights())));
  });
});

/** Operators of a model written for GPUs, and its outputs before and after. */
async function rewritten(model: Model, feeds: Record<string, Tensor>) {
  const made = forGpu(model).model;
  const outputs: Record<string, Tensor>[] = [];
  for (const each of [model, made]) {
    const session = await cpu.createSession({ graph: writeModel(each), weights: [] });
    outputs.push(await session.run(feeds, session.outputNames));
    await session.release();
  }
  return { operators: made.graph.nodes.map(({ opType }) => opType), before: outputs[0], after: outputs[1] };
}

describe('operators', () => {
  it('rows of a softmax that see nothing are zero, and rows of the lowest finite number are not', async () => {
    const g = new GraphBuilder({ opset: 18 });
    g.input('x', 'float32', [4, 3]);
    const weights = g.op('Softmax', ['x'], { axis: -1 });
    g.output(g.op('Where', [g.op('IsNaN', [weights]), g.float(0), weights]), 'float32', undefined, 'y');
    const lowest = -3.4028234663852886e38;
    const rows = [1, 2, 3, -Infinity, -Infinity, -Infinity, lowest, lowest, lowest, -Infinity, 0, 1];
    const { operators, before, after } = await rewritten(g.model(), {
      x: { type: 'float32', dims: [4, 3], data: Float32Array.from(rows) },
    });
    expect(operators).not.toContain('IsNaN');
    expect([...(before.y.data as Float32Array)].slice(3, 6)).toEqual([0, 0, 0]);
    expect(after.y).toEqual(before.y);
  });

  it('stored masks are cut by any bounds, backwards and in steps too', async () => {
    const cuts = [
      { starts: [1, -6], ends: [5, -1], axes: [0, 1], steps: [1, 2] },
      { starts: [-1], ends: [-(2 ** 31)], axes: [1], steps: [-1] },
      { starts: [2], ends: [1000], axes: [-2], steps: [1] },
      { starts: [4], ends: [2], axes: [0], steps: [1] },
    ];
    const g = new GraphBuilder({ opset: 18 });
    const stored = g.constant(
      Uint8Array.from({ length: 42 }, (_, i) => ((i * 7) % 3 === 0 ? 1 : 0)),
      [6, 7],
      'bool',
    );
    for (const { starts, ends, axes, steps } of cuts) {
      const cut = g.op('Slice', [
        stored,
        g.ints(...starts),
        g.ints(...ends),
        g.ints(...axes),
        g.ints(...steps),
      ]);
      const again = g.op('Slice', [cut, g.ints(0), g.ints(3), g.ints(0)]);
      g.output(g.op('Cast', [again], { to: DataType.float }), 'float32');
    }
    const { operators, before, after } = await rewritten(g.model(), {});
    expect(operators.filter((opType) => opType === 'Gather')).toHaveLength(6);
    expect(after).toEqual(before);
  });

  it('masks of positions are compared as int32, but not with numbers that do not fit into it', async () => {
    const compared = (limit: bigint) => {
      const g = new GraphBuilder({ opset: 18 });
      const positions = g.input('positions', 'int64', ['n']);
      const keys = g.op('Add', [g.axes('Unsqueeze', positions, [0]), g.axes('Unsqueeze', positions, [1])]);
      const bound = g.constant(BigInt64Array.of(limit), [1]);
      g.output(
        g.op('Cast', [g.op('Less', [keys, bound])], { to: DataType.float }),
        'float32',
        undefined,
        'y',
      );
      return rewritten(g.model(), {
        positions: { type: 'int64', dims: [4], data: BigInt64Array.of(0n, 1n, 2n, 3n) },
      });
    };
    const small = await compared(3n);
    expect(small.operators.filter((opType) => opType === 'Cast')).toHaveLength(4);
    expect(small.after).toEqual(small.before);
    const large = await compared(2n ** 40n);
    expect(large.operators.filter((opType) => opType === 'Cast')).toHaveLength(1);
    expect(large.after).toEqual(large.before);
  });

  it('either of two truths, and tensors of one number', async () => {
    const g = new GraphBuilder({ opset: 18 });
    const [a, b] = ['a', 'b'].map((name) => g.input(name, 'bool', [4]));
    const either = g.op('Cast', [g.op('Or', [a, b])], { to: DataType.float });
    g.output(g.op('Add', [either, g.op('ConstantOfShape', [g.op('Shape', [a])])]), 'float32', undefined, 'y');
    const truths = (...data: number[]): Tensor => ({ type: 'bool', dims: [4], data: Uint8Array.from(data) });
    const { operators, after } = await rewritten(g.model(), { a: truths(0, 0, 1, 1), b: truths(0, 1, 0, 1) });
    expect(operators).not.toContain('Or');
    expect(operators).not.toContain('ConstantOfShape');
    expect([...(after.y.data as Float32Array)]).toEqual([0, 1, 1, 1]);
  });
});
