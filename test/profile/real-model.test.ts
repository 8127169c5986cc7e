import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { profileHeads, type HeadProfile } from '../../src/analysis/profile/profile.ts';
import {
  attentionDistance,
  previousTokenScore,
  rowEntropy,
  shareOnFirst,
} from '../../src/analysis/profile/pattern-scores.ts';
import type { OpenModel } from '../../src/workbench/open.ts';
import { openSample, sampleJson } from '../sinks/sample.ts';

interface Truth {
  heads: { layer: number; head: number; ov_norm: number; role: string | null }[];
  induction_heads: [number, number][];
  previous_token_heads: [number, number][];
}

describe('the profile of induction-2l', () => {
  const truth = sampleJson('induction-2l', 'circuit.json') as Truth;
  let model: OpenModel;
  let heads: readonly HeadProfile[];
  beforeAll(async () => {
    model = await openSample('induction-2l');
    ({ heads } = await profileHeads(model.runner, { bos: 0, special: [1, 2], seed: 1 }));
  });
  afterAll(() => model.close());

  const of = (layer: number, head: number): HeadProfile =>
    heads.find((one) => one.layer === layer && one.head === head)!;

  it('tells the heads that write from those that only look, as the weights do', () => {
    for (const { layer, head, ov_norm } of truth.heads) expect(of(layer, head).idle).toBe(ov_norm < 0.05);
  });

  it('names the induction and previous-token heads of its README, with their backups', () => {
    for (const { layer, head, role, ov_norm } of truth.heads) {
      if (ov_norm < 0.05) continue;
      expect(of(layer, head).role).toBe(role?.startsWith('induction') ? 'induction' : 'previous-token');
    }
    const [[layer, head]] = truth.induction_heads;
    const strongest = heads.reduce((best, one) => (one.writes! > best.writes! ? one : best));
    expect(strongest).toBe(of(layer, head));
    expect(strongest.induction).toBeGreaterThan(0.95);
  });

  it('finds that induction heads copy what they attend to', () => {
    for (const { layer, head, role } of truth.heads)
      if (role === 'induction' || role === 'induction_backup')
        expect(of(layer, head).copying).toBeGreaterThan(0.95);
  });

  it('gives the same means that the device reports on its own', async () => {
    const rows = [{ ids: [0, ...Array.from({ length: 30 }, (_, i) => 3 + ((i * 37) % 100))] }];
    await model.runner.run({ rows, summaries: true, taps: [{ site: 'pattern' }] }, (row) => {
      const summaries = row.summaries();
      for (let layer = 0; layer < 2; layer++) {
        const { data } = row.tap('pattern', layer);
        for (let head = 0; head < 8; head++) {
          const a = data.subarray(head * 31 ** 2, (head + 1) * 31 ** 2);
          expect(summaries.previous[layer][head]).toBeCloseTo(previousTokenScore(a, 31), 5);
          expect(summaries.entropy[layer][head]).toBeCloseTo(rowEntropy(a, 31), 4);
          expect(summaries.distance[layer][head]).toBeCloseTo(attentionDistance(a, 31), 4);
          expect(summaries.first[layer][head]).toBeCloseTo(shareOnFirst(a, 31), 5);
        }
      }
    });
  });
});
