import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attributeLogits, type Attribution } from '../../src/analysis/lens/attribution.ts';
import { logitLens } from '../../src/analysis/lens/logit-lens.ts';
import type { OpenModel } from '../../src/workbench/open.ts';
import { openSample } from '../sinks/sample.ts';

interface Expected {
  ids: number[];
  answer: number;
  distractor: number;
  lens: { layer: number; position: number; top: number[]; rank: number; logprob: number; kl: number }[];
  embedding: number;
  heads: number[][];
  attentionBias: number[];
  mlp: number[];
  constant: number;
  logitDifference: number;
}
const expected = JSON.parse(readFileSync(new URL('expected.json', import.meta.url), 'utf8')) as Record<
  string,
  Expected
>;

describe.each(Object.keys(expected))('%s', (name) => {
  const truth = expected[name];
  const { ids, answer, distractor } = truth;
  let model: OpenModel;
  beforeAll(async () => {
    model = await openSample(name);
  });
  afterAll(() => model.close());

  it('has the direct logit attribution that NumPy computes from its weights', async () => {
    const found: Attribution = await attributeLogits(model.runner, {
      ids,
      answers: [answer],
      distractors: [distractor],
    });
    for (const { layer, head, value } of found.heads)
      expect(Math.abs(value - truth.heads[layer][head])).toBeLessThan(1e-4);
    expect(Math.abs(found.embedding - truth.embedding)).toBeLessThan(1e-4);
    expect(Math.abs(found.constant - truth.constant)).toBeLessThan(1e-4);
    expect(found.attentionBias).toHaveLength(4);
    for (const { layer, value } of found.attentionBias)
      expect(Math.abs(value - truth.attentionBias[layer])).toBeLessThan(1e-4);
    for (const { layer, value } of found.mlps) expect(Math.abs(value - truth.mlp[layer])).toBeLessThan(1e-4);
    expect(Math.abs(found.logitDifference - truth.logitDifference)).toBeLessThan(1e-4);
    expect(found.error).toBeLessThan(1e-4);
    expect(found.notes).toEqual([]);
  });

  it('has the logit lens that NumPy computes from its weights', async () => {
    const request = { ids, answers: [answer], positions: [5, ids.length - 1], top: 3 };
    const { readings, error } = await logitLens(model.runner, request);
    expect(readings).toHaveLength(truth.lens.length);
    readings.forEach((reading, i) => {
      const { layer, position, top, rank, logprob, kl } = truth.lens[i];
      expect(reading).toMatchObject({ layer, position, answer: { rank } });
      expect(reading.top.map(({ id }) => id)).toEqual(top);
      expect(reading.answer?.logprob).toBeCloseTo(logprob, 3);
      expect(reading.klToFinal).toBeCloseTo(kl, 3);
    });
    expect(error).toBeLessThan(1e-4);
  });

  it('has a linear unembedding that agrees with the odd part of its own', async () => {
    // At equal length a vector and its negative pass the norm with the same scale, so half their difference holds no bias.
    const { dModel, vocab } = model.runner.shape;
    const vector = Float32Array.from({ length: dModel }, (_, d) => 3 * Math.sin(d * d));
    const both = Float32Array.from([...vector, ...vector.map((x) => -x)]);
    const { data } = await model.runner.unembed({ dims: [2, dModel], data: both });
    const row = { dims: [1, dModel], data: vector };
    const frozen = (await model.runner.unembedFrozen(row, row)).data;
    for (let id = 0; id < vocab; id++)
      expect(Math.abs((data[id] - data[vocab + id]) / 2 - frozen[id])).toBeLessThan(1e-4);
  });
});
