import { describe, expect, it } from 'vitest';
import { logitLens } from '../../src/analysis/lens/logit-lens.ts';
import { Golden, goldenRunner } from '../sinks/golden-runner.ts';
import { toyUnembedding } from './toy-unembedding.ts';

const golden = new Golden('ioi-4l');
const { shape } = golden;
const { ids } = golden.prompts[0];
const toy = toyUnembedding('layernorm', shape.dModel, shape.vocab);
const runner = goldenRunner(golden, { head: toy });

/** Log-probabilities [vocab] that the toy's head gives to one residual vector. */
async function logprobs(layer: number, position: number): Promise<Float64Array> {
  const stream = golden.tensor(`p0.resid.${layer}`).data;
  const data = stream.slice(position * shape.dModel, (position + 1) * shape.dModel);
  const logits = Float64Array.from((await toy.unembed({ dims: [1, shape.dModel], data })).data);
  const total = Math.log(logits.reduce((sum, x) => sum + Math.exp(x), 0));
  return logits.map((x) => x - total);
}

describe('the logit lens', () => {
  it('reads every layer and the final stream at the last position', async () => {
    const { readings, error } = await logitLens(runner, { ids, answers: [40], top: 3 });
    expect(readings.map(({ layer }) => layer)).toEqual([0, 1, 2, 3, 4]);
    const final = await logprobs(4, 15);
    for (const { layer, position, top, answer, klToFinal } of readings) {
      expect(position).toBe(15);
      const own = await logprobs(layer, 15);
      const order = [...own.keys()].sort((a, b) => own[b] - own[a]);
      expect(top.map(({ id }) => id)).toEqual(order.slice(0, 3));
      expect(top[0].logprob).toBeCloseTo(own[order[0]], 4);
      expect(answer).toMatchObject({ rank: order.indexOf(40) });
      expect(answer!.logprob).toBeCloseTo(own[40], 4);
      const kl = final.reduce((sum, x, i) => sum + Math.exp(x) * (x - own[i]), 0);
      expect(klToFinal).toBeCloseTo(kl, 3);
    }
    expect(readings[4].klToFinal).toBe(0);
    expect(error).toBeLessThan(1e-5);
  });

  it('follows several answers as one', async () => {
    const { readings } = await logitLens(runner, { ids, answers: [40, 7] });
    const own = await logprobs(2, 15);
    const rank = (id: number): number => own.filter((x) => x > own[id]).length;
    expect(readings[2].answer?.rank).toBe(Math.min(rank(40), rank(7)));
    expect(readings[2].answer?.logprob).toBeCloseTo(Math.log(Math.exp(own[40]) + Math.exp(own[7])), 4);
  });

  it('reads the positions asked for', async () => {
    const { readings, error } = await logitLens(runner, { ids, positions: [2, 7] });
    expect(readings.map(({ position, layer }) => [position, layer])).toEqual([
      ...[0, 1, 2, 3, 4].map((layer) => [2, layer]),
      ...[0, 1, 2, 3, 4].map((layer) => [7, layer]),
    ]);
    expect(readings[0].answer).toBeNull();
    expect(readings[9].klToFinal).toBe(0);
    const own = await logprobs(1, 7);
    expect(readings[6].top[0].logprob).toBeCloseTo(Math.max(...own), 4);
    // The model's own logits exist for the last position only.
    expect(error).toBeNull();
  });

  it('shows when the head it reads through is not the model’s', async () => {
    const other = { ...runner, unembed: toyUnembedding('layernorm', shape.dModel, shape.vocab, 2).unembed };
    const { error } = await logitLens(other, { ids });
    expect(error).toBeGreaterThan(1);
  });

  it('refuses positions and tokens that do not exist', async () => {
    await expect(logitLens(runner, { ids, positions: [16] })).rejects.toThrow('Position 16 does not exist');
    await expect(logitLens(runner, { ids, answers: [-1] })).rejects.toThrow('outside the vocabulary');
    const sites = shape.sites.map(() => ['pattern' as const]);
    const blind = { ...runner, shape: { ...shape, sites } };
    await expect(logitLens(blind, { ids })).rejects.toMatchObject({ code: 'not-available' });
  });
});
