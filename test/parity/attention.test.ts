import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runAll, type RowResult, type Site } from '../../src/instrument/runner.ts';
import { readGolden } from '../helpers/golden.ts';
import { CHECKPOINTS, checkpointFolder, openFolder, type Opened } from '../helpers/models.ts';
import { Errors, maxAbs, softmax } from '../helpers/numbers.ts';
import { readReference, type Place } from '../helpers/packed.ts';

/** q, k, v and mlp of one layer, from a plain float64 model (reference.py). */
type Reference = Record<string, { prompt: number; layer: number } & Record<'q' | 'k' | 'v' | 'mlp', Place>>;
const reference = readReference<Reference>('parity');
const SITES: Site[] = [
  'q',
  'k',
  'v',
  'scores',
  'pattern',
  'z',
  'result',
  'resid_pre',
  'resid_mid',
  'resid_post',
];

describe.each(CHECKPOINTS)('%s: the parts of attention fit together', (name) => {
  const golden = readGolden(name);
  let model: Opened;
  let rows: RowResult[];

  beforeAll(async () => {
    model = await openFolder(checkpointFolder(name));
    const request = { rows: golden.prompts.map((ids) => ({ ids })), taps: SITES.map((site) => ({ site })) };
    rows = await runAll(model.runner, request);
  });
  afterAll(() => model.closeAll());

  /** Calls back for each head of each layer of each prompt with what is needed to index its tensors. */
  const forEachHead = (
    visit: (row: RowResult, layer: number, head: number, kvHead: number) => void,
  ): void => {
    const { heads, kvHeads } = model.runner.shape;
    for (const row of rows)
      for (let layer = 0; layer < golden.layers; layer++)
        for (let head = 0; head < heads[layer]; head++)
          visit(row, layer, head, Math.floor((head * kvHeads[layer]) / heads[layer]));
  };
  /** One head's matrix as rows. */
  const matrix = (row: RowResult, site: Site, layer: number, head: number): number[][] => {
    const { dims, data } = row.tap(site, layer);
    const [, t, d] = dims;
    return Array.from({ length: t }, (_, i) => [
      ...data.subarray((head * t + i) * d, (head * t + i + 1) * d),
    ]);
  };
  const dot = (a: readonly number[], b: readonly number[]): number =>
    a.reduce((sum, x, i) => sum + x * b[i], 0);

  test('softmax of the scores, and of q·k/√d under the causal mask, is the pattern', () => {
    const errors = new Errors();
    forEachHead((row, layer, head, kvHead) => {
      const pattern = matrix(row, 'pattern', layer, head);
      const scores = matrix(row, 'scores', layer, head);
      const q = matrix(row, 'q', layer, head);
      const k = matrix(row, 'k', layer, kvHead);
      pattern.forEach((want, query) => {
        errors.add('from scores', maxAbs(softmax(scores[query]), want));
        const seen = k.slice(0, query + 1).map((key) => dot(q[query], key) / Math.sqrt(key.length));
        const causal = [...softmax(seen), ...k.slice(query + 1).map(() => 0)];
        errors.add('from q and k', maxAbs(causal, want));
        expect(want.slice(query + 1).every((a) => a === 0)).toBe(true);
      });
    });
    console.info(`parity, ${name}, pattern: ${errors.text}`);
    expect(errors.worst).toBeLessThanOrEqual(1e-5);
  });

  test('pattern · v is z, and z · W_O of the head is result', async () => {
    const errors = new Errors();
    const weights = new Map<string, number[][]>();
    const { heads, headDim, dModel } = model.runner.shape;
    for (let layer = 0; layer < golden.layers; layer++)
      for (let head = 0; head < heads[layer]; head++) {
        const { dims, data } = await model.runner.outputWeights(layer, head);
        expect(dims).toEqual([headDim[layer], dModel]);
        // columns of W_O
        const columns = Array.from({ length: dModel }, (_, j) =>
          Array.from({ length: headDim[layer] }, (_, i) => data[i * dModel + j]),
        );
        weights.set(`${layer}/${head}`, columns);
      }
    forEachHead((row, layer, head, kvHead) => {
      const pattern = matrix(row, 'pattern', layer, head);
      const v = matrix(row, 'v', layer, kvHead);
      const z = matrix(row, 'z', layer, head);
      const result = matrix(row, 'result', layer, head);
      const columns = weights.get(`${layer}/${head}`)!;
      z.forEach((want, query) => {
        const mixed = want.map((_, d) =>
          dot(
            pattern[query],
            v.map((value) => value[d]),
          ),
        );
        errors.add('z', maxAbs(mixed, want));
        if (query === z.length - 1)
          errors.add(
            'result',
            maxAbs(
              columns.map((column) => dot(want, column)),
              result[query],
            ),
          );
      });
    });
    console.info(`parity, ${name}, mixing: ${errors.text}`);
    expect(errors.worst).toBeLessThanOrEqual(1e-4);
  });

  test('q and k after rotary positions, v and the MLP equal a plain model', () => {
    const { prompt, layer, ...places } = reference.document[name];
    const row = rows[prompt];
    const errors = new Errors();
    for (const site of ['q', 'k', 'v'] as const) {
      const want = reference.array(places[site]);
      expect(row.tap(site, layer).dims).toEqual(want.dims);
      errors.add(site, maxAbs(row.tap(site, layer).data, want.data));
    }
    const post = row.tap('resid_post', layer).data;
    const mid = row.tap('resid_mid', layer).data;
    errors.add(
      'mlp',
      maxAbs(
        post.map((x, i) => x - mid[i]),
        reference.array(places.mlp).data,
      ),
    );
    console.info(`parity, ${name}, layer ${layer}: ${errors.text}`);
    expect(errors.worst).toBeLessThanOrEqual(1e-4);
  });

  test('resid_mid is resid_pre plus what every head adds plus the output bias', () => {
    const errors = new Errors();
    for (const [p, row] of rows.entries()) {
      for (let layer = 0; layer < golden.layers; layer++) {
        const pre = golden.tensor(`p${p}.resid.${layer}`).data;
        const heads = golden.tensor(`p${p}.l${layer}.head_out`);
        const bias = golden.tensor(`l${layer}.attn_out_bias`).data;
        const mid = Array.from(pre, (x, i) => x + bias[i % bias.length]);
        heads.data.forEach((x, i) => (mid[i % pre.length] += x));
        errors.add('resid_mid', maxAbs(row.tap('resid_mid', layer).data, mid));
      }
    }
    console.info(`parity, ${name}: ${errors.text}`);
    expect(errors.worst).toBeLessThanOrEqual(1e-4);
  });
});
