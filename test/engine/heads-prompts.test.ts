import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WhatIfQuestion } from '../../src/workbench/engine/commands/what-if.ts';
import { openTestHost, type TestHost } from '../shell/host.ts';
import { checkpointFolder } from '../helpers/models.ts';
import { readGolden } from '../helpers/golden.ts';
import { readCases } from '../edits/cases.ts';
import { joinedEngine, NodeEnvironment } from './node-engine.ts';

interface Truth {
  tasks: {
    ioi: { clean_metric: number; heads: { layer: number; head: number; mean_ablation_effect: number }[] };
  };
}

let host: TestHost;
let joined: ReturnType<typeof joinedEngine>;
beforeAll(async () => {
  host = await openTestHost();
  joined = joinedEngine(new NodeEnvironment(host));
  const { source } = host.samples.find(({ name }) => name === 'ioi-4l')!;
  await joined.client.call('open', { source, device: 'cpu' });
});
afterAll(async () => {
  joined.close();
  await host.close();
});

const golden = readGolden('ioi-4l');
const question = (ids: readonly number[], part: Partial<WhatIfQuestion> = {}): WhatIfQuestion => ({
  ids,
  specs: [],
  prompts: {},
  references: [],
  answers: ['Noah'],
  distractors: ['Otto'],
  ...part,
});
const last = (logits: Float32Array): Float32Array => logits.subarray(logits.length - 342);
const NOAH = 40;
const OTTO = 42;

describe('what if', () => {
  const specs = [{ kind: 'ablate', head: { layer: 1, head: 3 }, mode: 'zero' }] as const;

  it('gives the same baseline again, whatever was asked in between, and the edits of each question', async () => {
    const [ids, others] = golden.prompts;
    const clean = last(golden.tensor('p0.logits').data);
    const zero = readCases().find(({ model, title }) => model === 'ioi-4l' && title === 'zero ablation')!;
    const first = await joined.client.call('whatIf', question(ids));
    expect(first.edited).toBeNull();
    for (const { id, logit } of first.baseline.predictions) expect(logit).toBeCloseTo(clean[id], 3);
    for (let round = 0; round < 2; round++) {
      const { baseline, edited, changes } = await joined.client.call(
        'whatIf',
        question(ids, { specs: [...specs] }),
      );
      expect(baseline).toEqual(first.baseline);
      expect(baseline.summaries.received[0].length).toBe(8 * ids.length);
      for (const { id, logit } of edited!.predictions) expect(logit).toBeCloseTo(zero.logits[id], 3);
      expect(changes[0]).toBeGreaterThan(0);
    }
    for (let i = 0; i < 6; i++) await joined.client.call('whatIf', question(others.slice(0, 6 + i)));
    expect(await joined.client.call('whatIf', question(ids))).toEqual(first);
    const other = await joined.client.call(
      'whatIf',
      question(ids, { answers: ['Otto'], distractors: ['Noah'] }),
    );
    expect(other.baseline.logitDifference).toBeCloseTo(-first.baseline.logitDifference!, 5);
  });
});

describe('ablation effects', () => {
  it('of zero ablation equal those of a plain float64 model', async () => {
    const zero = readCases().find(({ model, title }) => model === 'ioi-4l' && title === 'zero ablation')!;
    const { values, before } = await joined.client.call('ablationEffects', {
      ...question(golden.prompts[0]),
      mode: 'zero',
      metric: 'logit-difference',
    });
    const clean = last(golden.tensor('p0.logits').data);
    expect(before).toBeCloseTo(clean[NOAH] - clean[OTTO], 3);
    const effect = clean[NOAH] - clean[OTTO] - (zero.logits[NOAH] - zero.logits[OTTO]);
    expect(values[1][3]).toBeCloseTo(effect, 3);
    expect(values.map((row) => row.length)).toEqual([8, 8, 8, 8]);
  });

  it('of mean ablation, averaged over the task, equal the known circuit', async () => {
    const truth = (JSON.parse(readFileSync(`${checkpointFolder('ioi-4l')}/circuit.json`, 'utf8')) as Truth)
      .tasks.ioi;
    const { tasks } = await joined.client.call('tasks', {});
    const { items } = tasks.find(({ origin }) => origin === 'tasks/ioi.jsonl')!;
    const encode = async (text: string): Promise<readonly number[]> =>
      (await joined.client.call('encode', { text })).ids;
    const references = await Promise.all(items.map(({ corrupt }) => encode(corrupt!)));
    const sums = Array.from({ length: 4 }, () => new Float64Array(8));
    for (const { prompt, answer, distractor } of items) {
      const asked = question(await encode(prompt), {
        references,
        answers: [answer as string],
        distractors: distractor as string[],
      });
      const { values } = await joined.client.call('ablationEffects', {
        ...asked,
        mode: 'mean',
        metric: 'logit-difference',
      });
      values.forEach((row, layer) =>
        row.forEach((value, head) => (sums[layer][head] += value! / items.length)),
      );
    }
    for (const { layer, head, mean_ablation_effect } of truth.heads)
      expect(sums[layer][head], `L${layer}H${head}`).toBeCloseTo(mean_ablation_effect, 3);
  });

  it('count what an edit that is on has left, and KL is never negative', async () => {
    const [ids] = golden.prompts;
    const edited = question(ids, { specs: [{ kind: 'ablate', head: { layer: 1, head: 3 }, mode: 'zero' }] });
    const { values } = await joined.client.call('ablationEffects', { ...edited, mode: 'zero', metric: 'kl' });
    expect(values[1][3]).toBeCloseTo(0, 6); // ablated already
    expect(Math.max(...values.flat().map((value) => value!))).toBeGreaterThan(0.01);
    expect(Math.min(...values.flat().map((value) => value!))).toBeGreaterThanOrEqual(0);
  });

  it('of the logit difference need both answers', async () => {
    const asked = question(golden.prompts[0], { distractors: [] });
    await expect(
      joined.client.call('ablationEffects', { ...asked, mode: 'zero', metric: 'logit-difference' }),
    ).rejects.toMatchObject({ code: 'no-targets' });
  });
});

it('logit attribution adds up to the logit difference', async () => {
  const found = await joined.client.call('headAttribution', question(golden.prompts[0]));
  const clean = last(golden.tensor('p0.logits').data);
  expect(found.logitDifference).toBeCloseTo(clean[NOAH] - clean[OTTO], 3);
  const heads = found.values.flat().reduce<number>((sum, value) => sum + value!, 0);
  expect(heads + found.embedding + found.rest).toBeCloseTo(found.logitDifference, 3);
  await expect(
    joined.client.call('headAttribution', question(golden.prompts[0], { answers: [] })),
  ).rejects.toMatchObject({ code: 'no-targets' });
});

it('profiles give every head its scores', async () => {
  const steps: number[] = [];
  const { heads } = await joined.client.call(
    'headProfile',
    {},
    { onProgress: ({ done, total }) => steps.push(done / total) },
  );
  expect(heads).toHaveLength(32);
  expect(steps.at(-1)).toBe(1);
  expect(heads.every(({ induction, copying }) => induction >= 0 && induction <= 1 && copying === null)).toBe(
    true,
  );
});

it('answers that are not one token say why', async () => {
  const [good, bad] = await joined.client.call('answerTokens', { texts: ['Noah', 'Noah and'] });
  expect(good).toEqual({ text: 'Noah', token: { id: NOAH, text: 'Noah', special: false } });
  expect(bad).toMatchObject({ text: 'Noah and', error: expect.stringContaining('2 tokens') as string });
});

it('reads prompt sets with problems by line', async () => {
  const text = [
    '{"prompt":"Then , Noah and Otto walked to the station . Otto gave a lamp to","answer":"Noah","distractor":"Otto","corrupt":"Then , Emma and Dora"}',
    'not JSON',
    '',
    '{"prompt":"Then , Noah","answer":"Noah and"}',
    `{"prompt":"${'and '.repeat(60)}"}`,
    '{"prompt":"Then , Zorblax"}',
  ].join('\n');
  const { rows, problems } = await joined.client.call('promptSet', { text });
  expect(rows.map(({ line, tokens, corruptTokens }) => [line, tokens, corruptTokens])).toEqual([
    [1, 16, 6],
    [6, 4, null],
  ]);
  expect(rows[0]).toMatchObject({ answers: ['Noah'], distractors: ['Otto'], unknown: [] });
  expect(rows[1].unknown).toEqual(['Zorblax']);
  expect(problems.map(({ line }) => line)).toEqual([2, 4, 5]);
  expect(problems[2].message).toContain('61 tokens');
  const again = await joined.client.call('promptSet', { items: rows.map(({ item }) => item) });
  expect(again.rows.map(({ tokens }) => tokens)).toEqual([16, 4]);
});
