import { describe, expect, it } from 'vitest';
import type { GivenInputs } from '../../src/instrument/given.ts';
import { runAll, type Edit, type RowResult } from '../../src/instrument/runner.ts';
import { inRepository, openFolder } from '../helpers/models.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { scratchModels } from '../helpers/scratch-models.ts';
import { GPT_LAYOUTS, writeGpt } from './gpt-layouts.ts';
import { LLAMA_LAYOUTS, writeLlama } from './llama-layouts.ts';
import { gptWeights, llamaWeights } from './weights.ts';

/* Attention in blocks of four queries gives what attention at once gives, however the graph is written. */

const ROWS = 4;
const written = scratchModels();

const IDS = [5, 17, 3, 22, 8, 17, 3, 9, 11];
const EDITS: readonly Edit[] = [
  { kind: 'act', layer: 1, head: 0, beta: 0.4, absolute: 0.1 },
  { kind: 'pattern', layer: 0, head: 0, scale: 0.5, positions: [2, 7] },
  { kind: 'mask', layer: 1, head: 1, allowed: Uint8Array.from({ length: 81 }, (_, i) => (i % 3 ? 1 : 0)) },
];

interface Given {
  readonly given?: GivenInputs;
  readonly edits?: readonly Edit[];
}

async function answers(folder: string, { given, edits = EDITS }: Given, queryRows?: number) {
  const opened = await openFolder(folder, undefined, given, { queryRows });
  try {
    // all edits, ACT with no other edit before it, none
    const alone = edits.filter(({ kind }) => kind === 'act');
    const rows = [{ ids: IDS, edits }, { ids: IDS.slice(0, 6), edits: alone }, { ids: IDS.slice(0, 4) }];
    const taps = [{ site: 'pattern' as const }, { site: 'scores' as const }, { site: 'z' as const }];
    const request = { rows, taps, logits: 'all', summaries: true, allowNoEffect: true } as const;
    return { results: await runAll(opened.runner, request), layers: opened.queryBlocks() };
  } finally {
    await opened.closeAll();
  }
}

/** Everything that a row gave, by name. */
function numbers(row: RowResult, layers: number): Record<string, ArrayLike<number>> {
  const { received, entropy, previous, distance, first } = row.summaries();
  const all: Record<string, ArrayLike<number>> = { logits: row.logits, changes: row.changes };
  for (let layer = 0; layer < layers; layer++) {
    for (const site of ['pattern', 'z'] as const) all[`${site} ${layer}`] = row.tap(site, layer).data;
    // what is masked is −∞ or the smallest number
    all[`scores ${layer}`] = row.tap('scores', layer).data.map((score) => Math.max(score, -100));
    Object.assign(all, {
      [`received ${layer}`]: received[layer],
      [`means ${layer}`]: [entropy, previous, distance, first].flatMap((each) => [...each[layer]]),
    });
  }
  return all;
}

async function expectSame(folder: string, stays?: string, given: Given = {}): Promise<void> {
  const whole = await answers(folder, given);
  const blocks = await answers(folder, given, ROWS);
  expect(blocks.layers).toEqual(blocks.layers!.map(() => (stays === undefined ? true : { why: stays })));
  if (stays === undefined)
    for (const change of whole.results[1].changes) expect(change).toBeGreaterThan(1e-3);
  whole.results.forEach((row, i) => {
    const wanted = numbers(row, blocks.layers!.length);
    for (const [name, values] of Object.entries(numbers(blocks.results[i], blocks.layers!.length)))
      expect(maxAbs(values, wanted[name]), name).toBeLessThan(1e-4);
  });
}

describe('attention in blocks of queries', () => {
  it.each(['bloom', 'gemma2-nofold', 'gpt-oss', 'mistral', 'neox', 'opt-post', 'qwen3'])('%s', (name) =>
    expectSame(inRepository(`test/layouts/samples/${name}`)),
  );
  it.each(['t5-pair', 'bart-pair'])('cross-attention of %s', (name) => {
    const data = Float32Array.from({ length: 5 * 16 }, (_, i) => Math.sin(3 * i));
    const given: GivenInputs = {
      encoder_hidden_states: { type: 'float32', dims: [1, 5, 16], data },
      ...(name === 't5-pair' && {
        encoder_attention_mask: { type: 'int64', dims: [1, 5], data: new BigInt64Array(5).fill(1n) },
      }),
    };
    return expectSame(inRepository(`test/layouts/pairs/${name}`), undefined, { given, edits: [] });
  });
  it('one head of keys for queries that are joined with heads: stays whole, and says so', () =>
    expectSame(inRepository('test/layouts/samples/bigcode'), 'Reshape joins queries with something else'));
  it.each(Object.keys(GPT_LAYOUTS))('%s', async (name) => {
    await expectSame(written(name, writeGpt(name, await gptWeights())));
  });
  it.each(Object.keys(LLAMA_LAYOUTS))('%s', async (name) => {
    await expectSame(written(name, writeLlama(name, await llamaWeights())));
  });
});
