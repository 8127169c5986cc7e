import { describe, expect, it } from 'vitest';
import { attributeLogits } from '../../src/analysis/lens/attribution.ts';
import type { RowResult, Runner, Site } from '../../src/instrument/runner.ts';
import type { FloatTensor } from '../../src/runtime/device.ts';
import { atPositions } from '../helpers/at-positions.ts';
import { Golden, goldenRunner } from '../sinks/golden-runner.ts';
import { frozenLogit, toyUnembedding, type FinalNorm } from './toy-unembedding.ts';

const golden = new Golden('ioi-4l');
const { shape } = golden;
const { ids } = golden.prompts[0];
const [answer, distractor] = [ids[3], ids[5]];
const request = { ids, answers: [answer], distractors: [distractor] };
const last = ids.length - 1;
const rowOf = (data: Float32Array, row: number): Float32Array =>
  data.slice(row * shape.dModel, (row + 1) * shape.dModel);

describe.each<FinalNorm>(['layernorm', 'rmsnorm', 'none'])(
  'direct logit attribution through a %s',
  (kind) => {
    const toy = toyUnembedding(kind, shape.dModel, shape.vocab);
    const runner = goldenRunner(golden, { head: toy });
    const final = rowOf(golden.site(0, 'resid_post', 3).data, last);
    const value = (vector: Float32Array): number =>
      frozenLogit(toy, kind, vector, final, answer) - frozenLogit(toy, kind, vector, final, distractor);

    it('gives each head what its result is worth by the definition', async () => {
      const found = await attributeLogits(runner, request);
      expect(found.heads).toHaveLength(32);
      for (const { layer, head, value: got } of found.heads) {
        const vector = rowOf(golden.site(0, 'result', layer).data, head * ids.length + last);
        expect(Math.abs(got - value(vector))).toBeLessThan(1e-4);
      }
      expect(found.embedding).toBeCloseTo(value(rowOf(golden.site(0, 'resid_pre', 0).data, last)), 4);
    });

    it('is complete: the parts add up to the logit difference', async () => {
      const found = await attributeLogits(runner, request);
      const logits = (await toy.unembed({ dims: [1, shape.dModel], data: final })).data;
      expect(found.logitDifference).toBeCloseTo(logits[answer] - logits[distractor], 5);
      const layers = [...found.heads, ...found.attentionBias, ...found.mlps];
      const sum = layers.reduce((total, part) => total + part.value, found.embedding + found.constant);
      expect(Math.abs(sum - found.logitDifference)).toBeLessThan(1e-3);
      expect(found.error).toBeCloseTo(Math.abs(sum - found.logitDifference), 10);
    });

    it('attributes the answer’s own logit when there is no distractor', async () => {
      const found = await attributeLogits(runner, { ids, answers: [answer] });
      expect(found.error).toBeLessThan(1e-3);
      const logits = (await toy.unembed({ dims: [1, shape.dModel], data: final })).data;
      expect(found.logitDifference).toBeCloseTo(logits[answer], 5);
    });
  },
);

/** The golden run with a residual stream after attention, resid_pre + factor · Σ results + bias. */
function withMid(runner: Runner, factor: number): Runner {
  const mid = (layer: number): FloatTensor => {
    const { dims, data } = golden.site(0, 'resid_pre', layer);
    const results = golden.site(0, 'result', layer).data;
    const bias = golden.tensor(`l${layer}.attn_out_bias`).data;
    const sum = data.map((x, i) => {
      let total = x + bias[i % shape.dModel];
      for (let head = 0; head < 8; head++) total += factor * results[head * data.length + i];
      return total;
    });
    return { dims, data: sum };
  };
  return {
    ...runner,
    shape: { ...shape, sites: shape.sites.map((sites) => [...sites, 'resid_mid' as const]) },
    run: (asked, onRow, options) => {
      const onMid = (row: RowResult): void =>
        onRow({
          ...row,
          tap: (site, layer) =>
            site === 'resid_mid' ? atPositions(mid(layer), site, asked) : row.tap(site, layer),
        });
      return runner.run(asked, onMid, options);
    },
  };
}

describe('what a graph shows', () => {
  const toy = toyUnembedding('layernorm', shape.dModel, shape.vocab);

  it('decides whether the attention bias can be told from the MLP', async () => {
    const plain = goldenRunner(golden, { head: toy });
    const without = await attributeLogits(plain, request);
    expect(without.attentionBias).toEqual([]);
    expect(without.notes[0]).toContain('no residual stream between attention and MLP');
  });

  it('gives the attention bias its own share when there is a stream after attention', async () => {
    const runner = withMid(goldenRunner(golden, { head: toy }), 1);
    const found = await attributeLogits(runner, request);
    const final = rowOf(golden.site(0, 'resid_post', 3).data, last);
    expect(found.notes).toEqual([]);
    expect(found.error).toBeLessThan(1e-3);
    for (const { layer, value } of found.attentionBias) {
      const bias = golden.tensor(`l${layer}.attn_out_bias`).data;
      const worth = (id: number): number => frozenLogit(toy, 'layernorm', bias, final, id);
      expect(Math.abs(value - worth(answer) + worth(distractor))).toBeLessThan(1e-4);
    }
  });

  it('shows when more than a bias is done to the heads’ sum, so that heads are approximate', async () => {
    const runner = withMid(goldenRunner(golden, { head: toy }), 0.5);
    const found = await attributeLogits(runner, request);
    expect(found.notes).toHaveLength(1);
    expect(found.notes[0]).toContain('In 4 of 4 blocks more than a bias');
    expect(found.error).toBeLessThan(1e-3);
  });

  it('must include results and the residual stream', async () => {
    const plain = goldenRunner(golden, { head: toy });
    const sites: Site[][] = shape.sites.map((seen, layer) =>
      layer === 2 ? seen.filter((s) => s !== 'result') : [...seen],
    );
    const poor = { ...plain, shape: { ...shape, sites } };
    await expect(attributeLogits(poor, { ids, answers: [answer] })).rejects.toThrow(
      'needs result of every layer',
    );
    await expect(attributeLogits(poor, { ids, answers: [answer] })).rejects.toThrow('layer 2');
  });

  it('does not include tokens outside the vocabulary', async () => {
    const plain = goldenRunner(golden, { head: toy });
    await expect(attributeLogits(plain, { ids, answers: [342] })).rejects.toThrow('vocabulary of 342');
    await expect(attributeLogits(plain, { ids, answers: [] })).rejects.toThrow('at least one answer');
    await expect(attributeLogits(plain, { ids: [], answers: [answer] })).rejects.toThrow(
      'at least one token',
    );
  });
});
