import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runAll, type HeadSummaries } from '../../src/instrument/runner.ts';
import { readGolden } from '../helpers/golden.ts';
import { CHECKPOINTS, checkpointFolder, openFolder, type Opened } from '../helpers/models.ts';
import { Errors, maxAbs } from '../helpers/numbers.ts';
import { readReference, type Place } from '../helpers/packed.ts';

const reference =
  readReference<Record<string, { prompt: number; layer: number; k: Place; v: Place }>>('parity');

/** The summaries of one head's pattern [T × T] in float64, straight from their definitions. */
function summariesOf(pattern: ArrayLike<number>, t: number) {
  const received = new Array<number>(t).fill(0);
  let [entropy, previous, distance, first] = [0, 0, 0, 0];
  for (let q = 0; q < t; q++) {
    for (let k = 0; k <= q; k++) {
      const a = pattern[q * t + k];
      received[k] += a / (t - k);
      if (a > 0) entropy -= (a * Math.log2(a)) / t;
      distance += (a * (q - k)) / t;
    }
    if (q >= 1) previous += pattern[q * t + q - 1] / (t - 1);
    if (q >= 1) first += pattern[q * t] / (t - 1);
  }
  return { received, entropy, previous, distance, first };
}

/** max over tokens of |x| / RMS(x), per dimension, in float64. */
function maxNormalised(residual: Float32Array, dModel: number): number[] {
  const out = new Array<number>(dModel).fill(0);
  for (let start = 0; start < residual.length; start += dModel) {
    const row = [...residual.subarray(start, start + dModel)];
    const rms = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0) / dModel);
    row.forEach((x, d) => (out[d] = Math.max(out[d], Math.abs(x) / rms)));
  }
  return out;
}

/** L2 norms of the rows of [heads, T, headDim]. */
function norms({ dims, data }: { dims: readonly number[]; data: Float32Array }): number[] {
  const width = dims[2];
  return Array.from({ length: dims[0] * dims[1] }, (_, row) =>
    Math.hypot(...data.subarray(row * width, (row + 1) * width)),
  );
}

const cases = CHECKPOINTS.flatMap(
  (name) => [{ name }, { name, queryRows: 5 }] as { name: string; queryRows?: number }[],
);
describe.each(cases)(
  '$name, blocks of $queryRows queries: summaries reduced on the device',
  ({ name, queryRows }) => {
    const golden = readGolden(name);
    let model: Opened;
    let summaries: HeadSummaries[];
    beforeAll(async () => {
      model = await openFolder(checkpointFolder(name), undefined, undefined, { queryRows });
      const rows = await runAll(model.runner, {
        rows: golden.prompts.map((ids) => ({ ids })),
        summaries: true,
      });
      summaries = rows.map((row) => row.summaries());
    });
    afterAll(() => model.closeAll());

    test('equal the same quantities of the golden patterns and residual streams in float64', () => {
      const errors = new Errors();
      for (const [p, ids] of golden.prompts.entries()) {
        const t = ids.length;
        for (let layer = 0; layer < golden.layers; layer++) {
          const { data, dims } = golden.tensor(`p${p}.l${layer}.attn`);
          for (let head = 0; head < dims[0]; head++) {
            const want = summariesOf(data.subarray(head * t * t, (head + 1) * t * t), t);
            const got = summaries[p];
            errors.add(
              'received',
              maxAbs(got.received[layer].subarray(head * t, (head + 1) * t), want.received),
            );
            for (const key of ['entropy', 'previous', 'distance', 'first'] as const)
              errors.add(key, Math.abs(got[key][layer][head] - want[key]));
          }
        }
        for (let layer = 0; layer <= golden.layers; layer++) {
          const want = maxNormalised(golden.tensor(`p${p}.resid.${layer}`).data, model.runner.shape.dModel);
          errors.add('maxNormalised', maxAbs(summaries[p].maxNormalised[layer], want));
        }
      }
      console.info(`parity, ${name}, summaries: ${errors.text}`);
      expect(errors.worst).toBeLessThanOrEqual(1e-4);
    });

    test('value and key norms equal those of a plain model', () => {
      const { prompt, layer, k, v } = reference.document[name];
      const errors = new Errors();
      errors.add('value norm', maxAbs(summaries[prompt].valueNorm[layer], norms(reference.array(v))));
      errors.add('key norm', maxAbs(summaries[prompt].keyNorm[layer], norms(reference.array(k))));
      console.info(`parity, ${name}: ${errors.text}`);
      expect(errors.worst).toBeLessThanOrEqual(1e-4);
    });

    test('a prompt of one token has no previous token and no entropy', async () => {
      const [row] = await runAll(model.runner, {
        rows: [{ ids: golden.prompts[0].slice(0, 1) }],
        summaries: true,
      });
      const { received, entropy, previous, distance, first } = row.summaries();
      for (let layer = 0; layer < golden.layers; layer++) {
        expect([...received[layer]]).toEqual(new Array(received[layer].length).fill(1));
        for (const values of [entropy, previous, distance, first])
          expect(Math.max(...values[layer].map(Math.abs))).toBe(0);
      }
    });
  },
);
