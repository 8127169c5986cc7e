import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runAll, type Row, type RowResult } from '../../src/instrument/runner.ts';
import { GraphBuilder } from '../../src/onnx/build.ts';
import { writeModel } from '../../src/onnx/write.ts';
import type { Device } from '../../src/runtime/device.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { wasmDevice } from '../../src/runtime/wasm.ts';
import { logitTolerance } from '../../src/workbench/open.ts';
import { readGolden } from '../helpers/golden.ts';
import { inspectFolder, openFolder, type Opened } from '../helpers/models.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { figure, FormatRows } from './formats.ts';
import { writeParts } from './gpt-layouts.ts';
import { store } from './gpt-parts.ts';
import { linearIn, NUMBER_FORMATS, TWO_BITS_IN_GROUPS, type NumberFormat } from './number-formats.ts';
import { gptWeights, transposed, type GptLayer, type GptWeights, type Weight } from './weights.ts';

/*
 * ioi-4l with its matrices in fewer bits. What a tap reports is compared with a float32 model whose weights are what the stored numbers stand
 * for, worked out here; the difference to the model as it was trained is what the format costs, not an error.
 */

const SITES = ['pattern', 'z', 'result', 'resid_pre', 'resid_post'] as const;

/** What taps and logits may be off by. */
interface Limits {
  /** Taps, against the same numbers in float32. */
  readonly taps: number;
  /** Logits, against the trained model. */
  readonly cost: number;
}

/** Where activations, or the results of products too, are rounded to 8 bits: which integer is taken depends on the CPU’s instructions. */
function integerLimits(name: string): Limits | undefined {
  if (name.includes('QOperator')) return { taps: 15, cost: 15 };
  if (name.startsWith('int8 static')) return { taps: 5, cost: 5 };
  if (name.startsWith('int4')) return { taps: 1, cost: 5 };
  return name.startsWith('int8') ? { taps: 1, cost: 1 } : undefined;
}

/** Half precision, or the order of additions alone. */
const floatTaps = (name: string): number => (name.includes('throughout') ? 0.1 : 2e-4);

/** Share of the allowed difference that is used at most; the native runtime chooses anew in each graph where it rounds what meets int8 weights. */
const room = (name: string): number => (name.startsWith('int8 weights') ? 1 : 2.5);

const below = (limit: number): string => `below ${limit}`;

const pair = (format: NumberFormat, [weight, bias]: readonly [Weight, Weight]): [Weight, Weight] => [
  format.rounded(weight),
  bias,
];

const layer = (format: NumberFormat, of: GptLayer): GptLayer => ({
  ...of,
  qkv: pair(format, of.qkv),
  out: pair(format, of.out),
  up: pair(format, of.up),
  down: pair(format, of.down),
});

/** The float32 model that the numbers of a format stand for; words are looked up as they were. */
function roundedModel(format: NumberFormat, model: GptWeights): Uint8Array {
  const words = format.rounded(transposed(model.words));
  const lookedUp = format.table?.rounded(model.words) ?? model.words;
  return writeParts(
    { unembed: (g, x) => g.op('MatMul', [x, g.constant(words.data, words.dims)]) },
    {
      ...model,
      words: lookedUp,
      layers: model.layers.map((each) => layer(format, each)),
    },
  );
}

async function opened(
  bytes: Uint8Array,
  use: (model: Opened) => Promise<void>,
  device?: Device,
): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'formats-'));
  writeFileSync(path.join(folder, 'model.onnx'), bytes);
  const model = await openFolder(folder, device);
  try {
    await use(model);
  } finally {
    await model.closeAll();
    rmSync(folder, { recursive: true });
  }
}

/** The model with its matrices in a format. */
function inFormat(format: NumberFormat, weights: GptWeights): Uint8Array {
  const parts = {
    opset: 21,
    linear: linearIn(format),
    unembed: (g: GraphBuilder, x: string, { words }: GptWeights) => format.product(g, x, transposed(words)),
    ...format.parts,
  };
  return writeParts(parts, weights, undefined, format.finish);
}

async function capture({ runner }: Opened, row: Row): Promise<RowResult> {
  const [result] = await runAll(runner, {
    rows: [row],
    taps: SITES.map((site) => ({ site })),
    logits: 'all',
  });
  return result;
}

describe('ioi-4l in fewer bits', async () => {
  const golden = readGolden('ioi-4l');
  const weights = await gptWeights();
  const ids = golden.prompts[0];
  const table = new FormatRows('Number formats', [
    'weights and activations',
    'found',
    'taps against the same numbers in float32',
    'logits against the trained model',
    'instrumented against unedited',
    'allowed there',
  ]);
  afterAll(() => table.check());

  it.each(Object.entries(NUMBER_FORMATS))('%s', async (name, format) => {
    const wanted: { row?: RowResult; unembedded?: Float32Array } = {};
    const vectors = { dims: [ids.length, weights.d], data: golden.tensor('p0.resid.4').data };
    await opened(roundedModel(format, weights), async (model) => {
      wanted.row = await capture(model, { ids });
      wanted.unembedded = (await model.runner.unembedFrozen(vectors, vectors)).data;
    });
    const bytes = inFormat(format, weights);
    await opened(bytes, async (model) => {
      const { anatomy } = model.checkpoint;
      expect(anatomy.unrecognised).toEqual([]);
      expect(anatomy.unembedding?.tied).toBe(!format.coarse);
      expect(
        anatomy.blocks.map(({ heads, headDim, causal, norm, mlp }) => [
          heads,
          headDim,
          causal,
          norm,
          mlp?.activation,
        ]),
      ).toEqual(Array(4).fill([8, 16, true, 'pre', 'gelu_new']));
      const row = await capture(model, { ids });
      let error = 0;
      for (let l = 0; l < 4; l++) {
        const { data } = format.rounded(weights.layers[l].out[0]);
        for (const head of [0, 5]) {
          const own = await model.runner.outputWeights(l, head);
          expect(own.dims).toEqual([16, 128]);
          expect(maxAbs(own.data, data.subarray(head * 16 * 128, (head + 1) * 16 * 128))).toBeLessThan(1e-6);
          expect(resultError(row, l, head, own.data)).toBeLessThan(1e-4);
        }
        for (const site of SITES)
          error = Math.max(error, maxAbs(row.tap(site, l).data, wanted.row!.tap(site, l).data));
      }
      const limits = integerLimits(name);
      expect(error).toBeLessThan(limits?.taps ?? floatTaps(name));
      const unembedded = await model.runner.unembedFrozen(vectors, vectors);
      expect(maxAbs(unembedded.data, wanted.unembedded!)).toBeLessThan(
        name.includes('throughout') ? 0.05 : 1e-3,
      );
      const cost = maxAbs(row.logits, golden.tensor('p0.logits').data);
      const { maxAbs: measured } = model.measured!;
      const allowed = /int[48]/.test(name) ? 0.5 : name.includes('throughout') ? 5e-2 : 1e-3;
      expect(logitTolerance(model.checkpoint)).toBe(allowed);
      expect(measured).toBeLessThan(allowed / room(name));
      if (limits) expect(cost).toBeLessThan(limits.cost);
      const found = format.coarse
        ? 'everything, but not that the vocabulary matrix is the table of words'
        : 'everything';
      const unedited = below(allowed / room(name));
      if (limits) table.add(name, found, below(limits.taps), below(limits.cost), unedited, String(allowed));
      else table.add(name, found, below(floatTaps(name)), figure(cost), unedited, String(allowed));
      console.log(
        `${name}: taps ${error.toExponential(1)}, cost ${cost.toExponential(1)}, instrumented ${measured.toExponential(1)}`,
      );
    });
  });

  it('MatMulNBits, 2 bits, neighbours in different groups (g_idx), which ONNX Runtime computes otherwise', async () => {
    const g = new GraphBuilder({ opset: 21 });
    const matrix = { dims: [64, 8], data: Float32Array.from({ length: 512 }, (_, i) => Math.sin(i)) };
    const one = { dims: [1, 64], data: Float32Array.from({ length: 64 }, (_, i) => Math.cos(i)) };
    g.output(TWO_BITS_IN_GROUPS.product(g, store(g, one), matrix), 'float32', undefined, 'y');
    const alone = g.model();
    alone.opsets.set('com.microsoft', 1);
    const session = await nodeDevice('cpu').createSession({ graph: writeModel(alone), weights: [] });
    const { y } = await session.run({}, ['y']);
    await session.release();
    const { data } = TWO_BITS_IN_GROUPS.rounded(matrix);
    const product = Float32Array.from({ length: 8 }, (_, n) =>
      one.data.reduce((sum, x, k) => sum + x * data[8 * k + n], 0),
    );
    expect(maxAbs(y.data as Float32Array, product)).toBeGreaterThan(0.5);

    const folder = mkdtempSync(path.join(tmpdir(), 'formats-'));
    writeFileSync(path.join(folder, 'model.onnx'), inFormat(TWO_BITS_IN_GROUPS, weights));
    const { folder: files, checkpoint } = await inspectFolder(folder);
    await files.close();
    rmSync(folder, { recursive: true });
    expect(checkpoint.anatomy.blocks).toHaveLength(4);
    const reasons = new Set(checkpoint.anatomy.unrecognised.map(({ why }) => why));
    const why = [...reasons].find((each) => each.includes('takes numbers of 2 bits for 4 bits'))!;
    expect(why).toBeDefined();
    table.add(
      'MatMulNBits, 2 bits, neighbours in different groups (g_idx)',
      `no output projection: ${why}`,
      '',
      '',
      '',
      '',
    );
  });

  it.each(Object.entries(NUMBER_FORMATS))('%s, on WebAssembly', async (name, format) => {
    const use = async (model: Opened): Promise<void> => {
      const row = await capture(model, { ids });
      const own = await model.runner.outputWeights(2, 3);
      expect(resultError(row, 2, 3, own.data)).toBeLessThan(1e-4);
      expect(model.measured!.maxAbs).toBeLessThan(logitTolerance(model.checkpoint) / room(name));
    };
    await opened(inFormat(format, weights), use, await wasmDevice());
  });
});

/** How far a head's result is from its z times its own W_O [headDim × dModel]. */
function resultError(row: RowResult, l: number, head: number, weight: Float32Array): number {
  const [z, result] = [row.tap('z', l), row.tap('result', l)];
  const [, tokens, width] = z.dims;
  const d = result.dims[2];
  let largest = 0;
  for (let t = 0; t < tokens; t++)
    for (let j = 0; j < d; j++) {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += z.data[(head * tokens + t) * width + i] * weight[i * d + j];
      largest = Math.max(largest, Math.abs(sum - result.data[(head * tokens + t) * d + j]));
    }
  return largest;
}
