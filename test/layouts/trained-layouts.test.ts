import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runAll, type Edit } from '../../src/instrument/runner.ts';
import { readGolden } from '../helpers/golden.ts';
import { checkpointFolder, openFolder } from '../helpers/models.ts';
import { Errors, maxAbs } from '../helpers/numbers.ts';
import { figure, FormatRows } from './formats.ts';
import { GPT_LAYOUTS, writeGpt } from './gpt-layouts.ts';
import { LLAMA_LAYOUTS, writeLlama } from './llama-layouts.ts';
import { gptWeights, llamaWeights } from './weights.ts';

/*
 * The trained sample models with the same weights in other layouts: everything must come out as PyTorch computed it for the original, and
 * an edit must do what it does there.
 */

const TOLERANCE = 1e-4;
const EDITS: readonly Edit[] = [
  { kind: 'z', layer: 1, head: 5, scale: 0 },
  { kind: 'pattern', layer: 2, head: 3, scale: 0.5 },
];

interface Family {
  readonly checkpoint: string;
  readonly kvHeads: (layout: string) => number;
  readonly facts: Readonly<Record<string, unknown>>;
  readonly layouts: readonly string[];
  readonly write: (name: string) => Promise<Uint8Array>;
}

const FAMILIES: readonly Family[] = [
  {
    checkpoint: 'ioi-4l',
    kvHeads: () => 8,
    facts: { activation: 'gelu_new', finalNorm: 'layernorm', tied: true },
    layouts: Object.keys(GPT_LAYOUTS),
    write: async (name) => writeGpt(name, await gptWeights()),
  },
  {
    checkpoint: 'llama-tiny',
    // MultiHeadAttention has as many keys as queries, so that layout keeps a copy for each
    kvHeads: (layout) => (layout.endsWith('MultiHeadAttention') ? 8 : 2),
    facts: { activation: 'swiglu', finalNorm: 'rmsnorm', tied: false },
    layouts: Object.keys(LLAMA_LAYOUTS),
    write: async (name) => writeLlama(name, await llamaWeights()),
  },
];

const table = new FormatRows('Layouts of one model', ['weights', 'layout', 'found', 'taps, max abs error']);
afterAll(() => table.check());

describe.each(FAMILIES)('$checkpoint', ({ checkpoint, layouts, kvHeads, facts, write }) => {
  const golden = readGolden(checkpoint);
  const errors = new Errors();
  const folder = mkdtempSync(path.join(tmpdir(), 'layouts-'));
  const edited: Float32Array[] = [];

  beforeAll(async () => {
    const plain = await openFolder(checkpointFolder(checkpoint));
    const rows = EDITS.map((edit) => ({ ids: golden.prompts[0], edits: [edit] }));
    for (const { index, logits } of await runAll(plain.runner, { rows, logits: 'all' }))
      edited[index] = logits;
    await plain.closeAll();
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
    console.log(`${checkpoint} in ${layouts.length} layouts, max abs: ${errors.text}`);
  });

  it.each(layouts)('%s', async (name) => {
    writeFileSync(path.join(folder, 'model.onnx'), await write(name));
    const opened = await openFolder(folder);
    const { anatomy } = opened.checkpoint;

    expect(anatomy.unrecognised).toEqual([]);
    expect(anatomy.context).toBe(48);
    expect({
      activation: anatomy.blocks[0].mlp?.activation,
      finalNorm: anatomy.unembedding?.finalNorm?.kind,
      tied: anatomy.unembedding?.tied,
    }).toEqual(facts);
    for (const block of anatomy.blocks) {
      const { kind, causal, heads, headDim, dModel, norm, parallel } = block;
      expect({ kind, causal, heads, kvHeads: block.kvHeads, headDim, dModel, norm, parallel }).toEqual({
        kind: 'self',
        causal: true,
        heads: 8,
        kvHeads: kvHeads(name),
        headDim: 16,
        dModel: 128,
        norm: 'pre',
        parallel: false,
      });
    }

    const own = new Errors();
    const close = (what: string, got: Float32Array, wanted: Float32Array): void =>
      expect(own.add(what, errors.add(what, maxAbs(got, wanted))), what).toBeLessThan(TOLERANCE);
    const taps = (['pattern', 'z', 'result', 'resid_pre', 'resid_post'] as const).map((site) => ({ site }));
    for (const [p, ids] of golden.prompts.entries()) {
      const [row] = await runAll(opened.runner, { rows: [{ ids }], taps, logits: 'all' });
      close('logits', row.logits, golden.tensor(`p${p}.logits`).data);
      for (let l = 0; l < golden.layers; l++) {
        close('pattern', row.tap('pattern', l).data, golden.tensor(`p${p}.l${l}.attn`).data);
        close('z', row.tap('z', l).data, golden.tensor(`p${p}.l${l}.z`).data);
        close('result', row.tap('result', l).data, golden.tensor(`p${p}.l${l}.head_out`).data);
        close('resid', row.tap('resid_pre', l).data, golden.tensor(`p${p}.resid.${l}`).data);
        close('resid', row.tap('resid_post', l).data, golden.tensor(`p${p}.resid.${l + 1}`).data);
      }
    }
    const rows = EDITS.map((edit) => ({ ids: golden.prompts[0], edits: [edit] }));
    for (const { index, logits, changes } of await runAll(opened.runner, { rows, logits: 'all' })) {
      expect(changes[0]).toBeGreaterThan(1e-3);
      close('edited logits', logits, edited[index]);
    }
    table.add(checkpoint, name, 'everything', figure(own.worst));
    await opened.closeAll();
  });
});
