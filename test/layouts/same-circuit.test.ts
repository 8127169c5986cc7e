import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { circuitJob, type CircuitPrompts } from '../../src/analysis/circuits/job.ts';
import { headName } from '../../src/instrument/runner.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { parsePromptSet } from '../../src/text/prompt-set.ts';
import { resolvePromptSet } from '../../src/text/resolve.ts';
import { loadTokenizer } from '../../src/text/tokenizer/tokenizer.ts';
import { circuitPrompts } from '../../src/workbench/circuit-job.ts';
import { checkpointFolder, openFolder, variantFolder } from '../helpers/models.ts';
import { FormatRows } from './formats.ts';
import { GPT_LAYOUTS, writeGpt } from './gpt-layouts.ts';
import { LLAMA_LAYOUTS, writeLlama } from './llama-layouts.ts';
import { gptWeights, llamaWeights } from './weights.ts';

/*
 * The circuit of the same weights is the same, whatever layout they are in: order of heads and, closely, their scores.
 */

/**
 * How far two heads are from each other at least. A head's score may be half of the smallest distance from its score in the original layout,
 * so the order of the heads is the same wherever the scores are, on any CPU.
 */
const APART = 3e-4;

const PAIRS = 16;
const SETTINGS = { seeds: 2, epochs: 150, permutations: 99 } as const;

/** @param first pair of the task, chosen for the distances between the heads */
function prompts(checkpoint: string, first: number): CircuitPrompts {
  const read = (name: string): string => readFileSync(path.join(checkpointFolder(checkpoint), name), 'utf8');
  const tokenizer = loadTokenizer(read('tokenizer.json'), read('tokenizer_config.json'));
  const set = resolvePromptSet(tokenizer, parsePromptSet(read('tasks/ioi.jsonl')));
  return circuitPrompts(set.prompts.slice(first, first + PAIRS));
}

async function ranking(folder: string, contrast: CircuitPrompts): Promise<{ name: string; score: number }[]> {
  const device = nodeDevice('cpu', { threads: 1 });
  const opened = await openFolder(folder, device);
  const { document } = await circuitJob(opened.runner, device, contrast, SETTINGS);
  await opened.closeAll();
  return document.heads
    .map((head) => ({ name: headName(head), score: head.score }))
    .sort((a, b) => b.score - a.score || (a.name < b.name ? -1 : 1));
}

const rows = new FormatRows('The same circuit', [
  'weights',
  'layout',
  'order of the heads',
  'scores differ by',
]);
afterAll(() => rows.check());

describe.each([
  {
    checkpoint: 'ioi-4l',
    first: 8,
    layouts: Object.keys(GPT_LAYOUTS),
    variants: ['external-data', 'ms-mha', 'optimum-past'],
    write: async (name: string) => writeGpt(name, await gptWeights()),
  },
  {
    checkpoint: 'llama-tiny',
    first: 48,
    layouts: Object.keys(LLAMA_LAYOUTS),
    variants: [],
    write: async (name: string) => writeLlama(name, await llamaWeights()),
  },
])('$checkpoint', async ({ checkpoint, first, layouts, variants, write }) => {
  const contrast = prompts(checkpoint, first);
  const original = await ranking(checkpointFolder(checkpoint), contrast);
  const apart = Math.min(...original.slice(1).map(({ score }, i) => original[i].score - score));

  const same = async (name: string, folder: string): Promise<void> => {
    const found = await ranking(folder, contrast);
    const scores = new Map(original.map((head) => [head.name, head.score]));
    const difference = Math.max(...found.map((head) => Math.abs(head.score - scores.get(head.name)!)));
    console.log(`${checkpoint}, ${name}: scores differ by ${difference.toExponential(1)}`);
    expect(difference).toBeLessThan(apart / 2);
    expect(found.map(({ name: head }) => head)).toEqual(original.map(({ name: head }) => head));
    rows.add(checkpoint, name, 'the same', 'below half the distance of the two closest heads');
  };

  it('has heads that differ, each from the next', () => {
    expect(apart).toBeGreaterThan(APART);
  });

  it.each(layouts)('%s', async (name) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'circuit-'));
    writeFileSync(path.join(folder, 'model.onnx'), await write(name));
    await same(name, folder);
    rmSync(folder, { recursive: true });
  });

  it.each(variants)('%s', async (name) => {
    await same(name, variantFolder(name));
  });
});
