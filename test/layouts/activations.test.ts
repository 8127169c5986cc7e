import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runAll, type RowResult } from '../../src/instrument/runner.ts';
import type { GraphBuilder } from '../../src/onnx/build.ts';
import { readGolden } from '../helpers/golden.ts';
import { openFolder } from '../helpers/models.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { figure, FormatRows } from './formats.ts';
import { writeParts } from './gpt-layouts.ts';
import { geluTanh, linearAdd, store, type GptParts } from './gpt-parts.ts';
import { gptWeights } from './weights.ts';

/* The MLP's activation as one operator, alone or with the bias before it, against the same function in ordinary operators. */

type Unary = (g: GraphBuilder, x: string) => string;

const MS = 'com.microsoft';
const SITES = ['resid_mid', 'resid_post'] as const;

const geluErf: Unary = (g, x) => {
  const erf = g.op('Erf', [g.op('Div', [x, g.float(Math.SQRT2)])]);
  return g.op('Mul', [g.op('Mul', [x, g.op('Add', [erf, g.float(1)])]), g.float(0.5)]);
};

const sigmoidOf =
  (factor: number): Unary =>
  (g, x) =>
    g.op('Mul', [x, g.op('Sigmoid', [g.op('Mul', [x, g.float(factor)])])]);

/** A block whose first bias belongs to its activation. */
const withBias =
  (opType: string): GptParts['block'] =>
  (g, x, layer, model, parts) => {
    const middle = g.op('Add', [parts.attention(g, parts.norm(g, x, layer.norm1), layer, model, parts), x]);
    const [weight, bias] = layer.up;
    const up = g.op('MatMul', [parts.norm(g, middle, layer.norm2), store(g, weight)]);
    const hidden = g.op(opType, [up, store(g, bias)], {}, undefined, MS);
    return g.op('Add', [middle, linearAdd(g, hidden, layer.down)]);
  };

const alone =
  (opType: string, attributes: Parameters<GraphBuilder['op']>[2] = {}, domain = MS): Unary =>
  (g, x) =>
    g.op(opType, [x], attributes, undefined, domain);

interface Activation {
  readonly fused: Partial<GptParts>;
  readonly parts: Unary;
  readonly name: string;
}

const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  'com.microsoft Gelu': { fused: { gelu: alone('Gelu') }, parts: geluErf, name: 'gelu' },
  BiasGelu: { fused: { block: withBias('BiasGelu') }, parts: geluErf, name: 'gelu' },
  FastGelu: { fused: { gelu: alone('FastGelu') }, parts: geluTanh, name: 'gelu_new' },
  'FastGelu with a bias': { fused: { block: withBias('FastGelu') }, parts: geluTanh, name: 'gelu_new' },
  QuickGelu: { fused: { gelu: alone('QuickGelu') }, parts: sigmoidOf(1.702), name: 'quick_gelu' },
  'QuickGelu with alpha 1': {
    fused: { gelu: alone('QuickGelu', { alpha: { float: 1 } }) },
    parts: sigmoidOf(1),
    name: 'silu',
  },
  'Gelu of ONNX, opset 20': {
    fused: { opset: 20, gelu: alone('Gelu', {}, '') },
    parts: geluErf,
    name: 'gelu',
  },
  'Gelu of ONNX by tanh, opset 20': {
    fused: { opset: 20, gelu: alone('Gelu', { approximate: 'tanh' }, '') },
    parts: geluTanh,
    name: 'gelu_new',
  },
};

describe('activations as one operator', async () => {
  const weights = await gptWeights();
  const ids = readGolden('ioi-4l').prompts[0];
  const folder = mkdtempSync(path.join(tmpdir(), 'activations-'));
  const table = new FormatRows('Activations', ['operator', 'mlp', 'taps and logits, max abs error']);
  afterAll(() => {
    rmSync(folder, { recursive: true });
    table.check();
  });

  /** The stream of every layer and the logits, and what the reader calls the activation. */
  async function run(parts: Partial<GptParts>): Promise<{ row: RowResult; names: unknown[] }> {
    writeFileSync(path.join(folder, 'model.onnx'), writeParts(parts, weights));
    const opened = await openFolder(folder);
    const { anatomy } = opened.checkpoint;
    expect(anatomy.unrecognised).toEqual([]);
    const taps = SITES.map((site) => ({ site }));
    const [row] = await runAll(opened.runner, { rows: [{ ids }], taps, logits: 'all' });
    await opened.closeAll();
    return { row, names: anatomy.blocks.map((block) => block.mlp?.activation) };
  }

  it.each(Object.entries(ACTIVATIONS))('%s', async (operator, { fused, parts, name }) => {
    const [got, wanted] = [await run(fused), await run({ gelu: parts })];
    expect(got.names).toEqual([name, name, name, name]);
    expect(wanted.names).toEqual(got.names);
    let error = maxAbs(got.row.logits, wanted.row.logits);
    for (const site of SITES)
      for (let l = 0; l < 4; l++)
        error = Math.max(error, maxAbs(got.row.tap(site, l).data, wanted.row.tap(site, l).data));
    expect(error).toBeLessThan(1e-4);
    table.add(operator, name, figure(error));
  });
});
