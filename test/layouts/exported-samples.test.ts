import { readdirSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { sitesOf } from '../../src/anatomy/anatomy.ts';
import type { GivenInputs } from '../../src/instrument/given.ts';
import { runAll, type Site } from '../../src/instrument/runner.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { inRepository, inspectFolder, openFolder } from '../helpers/models.ts';
import { Errors } from '../helpers/numbers.ts';
import { wrongFacts } from './anatomy-facts.ts';
import { figure, FormatRows } from './formats.ts';
import { readGoldenSample, scoresError, valuesError, type GoldenSample } from './golden-sample.ts';
import { captureRaw } from './raw.ts';

/*
 * Small models with random weights that PyTorch exported, in layouts that differ from one another; tools/layout-samples made them, and what each
 * block computes was recorded inside PyTorch. Names in the files mean nothing.
 */

const SAMPLES = inRepository('test/layouts/samples');
const TOLERANCE = 1e-4;
const errors = new Errors();
const rows = new FormatRows('Exporters', [
  'architecture',
  'found',
  'taps, max abs error',
  'not there, and why',
]);

/** Ways to know positions and to shape patterns, and the samples that have them. */
const TRAITS: Readonly<Record<string, readonly string[]>> = {
  'learned positions': ['gpt2-static', 'bert', 'opt-post'],
  'RoPE, halves of a head turned together': ['mistral', 'qwen3', 'gpt-oss'],
  'RoPE over a part of the head': ['neox'],
  'RoPE, neighbours turned together': ['gptj'],
  'ALiBi (a slope per head)': ['bloom'],
  'relative bias in buckets (T5)': ['t5-decoder'],
  'disentangled attention, content and position (DeBERTa)': ['deberta'],
  'sliding window': ['mistral'],
  'attention and MLP in parallel': ['neox', 'gptj'],
  'one key head for all queries': ['bigcode'],
  'key heads shared by groups of queries': ['mistral', 'qwen3', 'gpt-oss'],
  'norms of queries and keys': ['qwen3'],
  'soft-caps of scores and logits, norms on both sides of a block': ['gemma2-nofold'],
  'attention sinks as learned logits': ['gpt-oss'],
  'keys and values out of a shared latent (DeepSeek)': ['latent'],
  'norms behind each sum': ['opt-post', 'bert', 'distilbert'],
  'cross-attention': ['t5-decoder'],
};
const traits = new FormatRows('Positions and patterns', ['what', 'exported samples', 'taps, max abs error']);
const worst = new Map<string, number>();

/** Returns how far a value is from what PyTorch recorded, which is little. */
function compare(sample: GoldenSample, key: string, got: Float32Array): number {
  const wanted = sample.tensor(key);
  if (!wanted) return 0; // PyTorch's own encoder shows little of its inside
  const site = key.split('.')[1];
  const error = (site === 'scores' ? scoresError : valuesError)(got, wanted.data);
  expect(errors.add(site, error), key).toBeLessThan(TOLERANCE);
  return error;
}

/** What a sample is fed besides tokens. */
function inputsOf({ expected }: GoldenSample): GivenInputs {
  if (expected.source) return sourceInputs(expected.source);
  return Object.fromEntries(
    Object.entries(expected.inputs ?? {}).map(([name, { dims, data }]) => [
      name,
      { type: 'float32' as const, dims, data: Float32Array.from(data) },
    ]),
  );
}

/** Hidden states of an encoder, and a mask without padding. */
function sourceInputs(states: readonly number[]): GivenInputs {
  const positions = 5;
  return {
    encoder_hidden_states: {
      type: 'float32',
      dims: [1, positions, states.length / positions],
      data: Float32Array.from(states),
    },
    encoder_attention_mask: {
      type: 'int64',
      dims: [1, positions],
      data: new BigInt64Array(positions).fill(1n),
    },
  };
}

describe.each(readdirSync(SAMPLES))('%s', (name) => {
  const path = `${SAMPLES}/${name}`;
  const sample = readGoldenSample(path);

  it('is understood', async () => {
    const { checkpoint, folder } = await inspectFolder(path);
    await folder.close();
    expect(wrongFacts(checkpoint.anatomy, sample.expected)).toEqual([]);
  });

  it.skipIf(sample.expected.inputs)('has each site where the anatomy says', async () => {
    const { checkpoint, folder } = await inspectFolder(path);
    const device = nodeDevice('cpu', { threads: 1 });
    let compared = 0;
    const { fixed } = checkpoint.anatomy;
    for (const [p, ids] of sample.prompts.entries()) {
      if (ids.length !== (fixed?.tokens ?? ids.length)) continue; // shorter ones are padded by the runner only
      const captured = await captureRaw(checkpoint, device, ids, sample.expected.source);
      for (const [key, values] of captured) {
        compare(sample, `p${p}.${key}`, values);
        if (sample.tensor(`p${p}.${key}`)) compared++;
      }
    }
    await folder.close();
    expect(compared).toBeGreaterThan(4 * sample.expected.layers);
  });

  it.runIf(sample.expected.source)('says which input nobody gave', async () => {
    const opened = await openFolder(path);
    const run = runAll(opened.runner, { rows: [{ ids: sample.prompts[0] }] });
    await expect(run).rejects.toThrow(/the input "encoder_hidden_states"/);
    await opened.closeAll();
  });

  it('gives the same through taps', async () => {
    const opened = await openFolder(path, undefined, inputsOf(sample));
    const { blocks, unembedding, unrecognised } = opened.checkpoint.anatomy;
    let error = 0;
    const sites = [...new Set(blocks.flatMap(sitesOf))];
    const taps = sites.map((site) => ({
      site,
      layers: blocks.filter((block) => sitesOf(block).includes(site)).map((block) => block.layer),
    }));
    for (const [p, ids] of sample.prompts.entries()) {
      const [row] = await runAll(opened.runner, {
        rows: [{ ids }],
        taps,
        logits: unembedding ? 'all' : 'none',
      });
      for (const { site, layers } of taps)
        for (const layer of layers)
          error = Math.max(
            error,
            compare(sample, `p${p}.${site satisfies Site}.${layer}`, row.tap(site, layer).data),
          );
      error = Math.max(error, compare(sample, `p${p}.logits`, row.logits));
    }
    const kinds = [...new Set(blocks.map((block) => `${block.kind}${block.causal ? ', causal' : ''}`))];
    const missing = unrecognised.map(({ what, why }) => `${what}: ${why}`);
    const found = `${blocks.length} blocks (${kinds.join(' and ')}), ${sites.join(' ')}`;
    worst.set(name, error);
    rows.add(name, found, figure(error), missing.join('; '));
    await opened.closeAll();
  });
});

describe('a sliding window', () => {
  it('hides what is further back than two tokens', async () => {
    const opened = await openFolder(`${SAMPLES}/mistral`);
    const ids = [5, 9, 17, 3, 22, 8];
    const [row] = await runAll(opened.runner, { rows: [{ ids }], taps: [{ site: 'pattern' }] });
    for (const layer of [0, 1])
      row.tap('pattern', layer).data.forEach((value, i) => {
        const distance = (Math.floor(i / ids.length) % ids.length) - (i % ids.length);
        expect(value > 0, `distance ${distance}`).toBe(distance >= 0 && distance < 3);
      });
    await opened.closeAll();
  });
});

afterAll(() => {
  for (const [what, samples] of Object.entries(TRAITS))
    traits.add(what, samples.join(', '), figure(Math.max(...samples.map((name) => worst.get(name) ?? NaN))));
  traits.check();
  console.log(`exported samples, max abs: ${errors.text}`);
  rows.check();
});
