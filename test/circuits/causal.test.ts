import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { causalEffects, type CausalPair } from '../../src/analysis/circuits/causal.ts';
import { faithfulnessCurve } from '../../src/analysis/circuits/faithfulness.ts';
import { capturableHeads } from '../../src/analysis/circuits/collect.ts';
import { headName, runAll, type Runner } from '../../src/instrument/runner.ts';
import { checkpointFolder, openFolder, type Opened } from '../helpers/models.ts';
import { inductionPairs, sampleTask, TASKS, type TaskName } from './sample.ts';

const metricOf = (task: TaskName) =>
  task === 'greater_than' ? ('probability-difference' as const) : ('logit-difference' as const);

describe.each(['ioi-4l', 'llama-tiny'])('%s against what PyTorch measured', (name) => {
  let model: Opened;
  beforeAll(async () => {
    model = await openFolder(checkpointFolder(name));
  });
  afterAll(() => model.closeAll());

  it.each(TASKS)(
    '%s: mean ablation and patching of every head',
    async (task) => {
      const sample = sampleTask(name, task);
      const found = await causalEffects(model.runner, sample.pairs, {
        metric: metricOf(task),
        interventions: ['meanAblation', 'noising'],
      });
      expect(found.mean).toBe('per-position');
      expect(Math.abs(found.clean - sample.clean_metric)).toBeLessThan(2e-4);
      expect(Math.abs(found.corrupt - sample.corrupted_metric)).toBeLessThan(2e-4);
      expect(found.heads).toHaveLength(32);
      let worst = 0;
      found.heads.forEach(({ layer, head, effects }, i) => {
        const truth = sample.heads[i];
        expect([layer, head]).toEqual([truth.layer, truth.head]);
        worst = Math.max(
          worst,
          Math.abs(effects.meanAblation!.effect - truth.mean_ablation_effect),
          Math.abs(effects.noising!.effect - truth.patching_effect),
        );
      });
      // 5e-5 of it is the rounding of the files.
      expect(worst).toBeLessThan(2e-4);
    },
    120_000,
  );

  it('keeping and removing the true circuit', async () => {
    const sample = sampleTask(name, 'ioi');
    const heads = capturableHeads(model.runner);
    const order = [...heads.filter((_, i) => sample.truth[i]), ...heads.filter((_, i) => !sample.truth[i])];
    const size = sample.truth.filter(Boolean).length;
    const curve = await faithfulnessCurve(model.runner, sample.pairs, order, {
      metric: 'logit-difference',
      sizes: [0, size, 32],
    });
    const [empty, circuit, everything] = curve.points;
    expect(Math.abs(curve.full - sample.clean_metric)).toBeLessThan(2e-4);
    expect(Math.abs(curve.none - sample.all_heads_mean_ablated_metric)).toBeLessThan(2e-4);
    expect(Math.abs(circuit.kept - sample.only_circuit_heads_kept_metric)).toBeLessThan(2e-4);
    expect(Math.abs(circuit.removed - sample.circuit_heads_ablated_metric)).toBeLessThan(2e-4);
    expect([empty.faithfulness, empty.incompleteness]).toEqual([0, 1]);
    expect([everything.faithfulness, everything.incompleteness]).toEqual([1, 0]);
    const gap = sample.clean_metric - sample.all_heads_mean_ablated_metric;
    const faithful = (sample.only_circuit_heads_kept_metric - sample.all_heads_mean_ablated_metric) / gap;
    expect(circuit.faithfulness).toBeCloseTo(faithful, 3);
  });
});

describe('induction-2l', () => {
  let model: Opened;
  const pairs = inductionPairs();
  beforeAll(async () => {
    model = await openFolder(checkpointFolder('induction-2l'));
  });
  afterAll(() => model.closeAll());

  it('ablation puts the heads first whose ablation cost accuracy in training', async () => {
    const truth = JSON.parse(readFileSync(`${checkpointFolder('induction-2l')}/circuit.json`, 'utf8')) as {
      heads: { layer: number; head: number; accuracy_drop: number }[];
    };
    const expected = [...truth.heads].sort((a, b) => b.accuracy_drop - a.accuracy_drop).slice(0, 2);
    expect(expected.map(headName)).toEqual(['L0H7', 'L1H1']);
    const { heads } = await causalEffects(model.runner, pairs, {
      metric: 'logit-difference',
      interventions: ['meanAblation'],
    });
    const order = [...heads].sort((a, b) => b.effects.meanAblation!.effect - a.effects.meanAblation!.effect);
    expect(order.slice(0, 2).map(headName)).toEqual(['L0H7', 'L1H1']);
  });

  it('interventions are what they are called', async () => {
    const some = pairs.slice(0, 3);
    const head = { layer: 0, head: 7 };
    const { heads, clean, corrupt } = await causalEffects(model.runner, some, {
      metric: 'logit-difference',
      interventions: ['zeroAblation', 'denoising', 'noising', 'meanAblation'],
      heads: [head],
      mean: 'over-positions',
    });
    // The same by hand, one run at a time through edits written out here.
    const runner = model.runner;
    const plain = async (ids: readonly number[]) =>
      (await runAll(runner, { rows: [{ ids }], taps: [{ site: 'z', layers: [0] }] }))[0];
    const edited = async (ids: readonly number[], add?: Float32Array) =>
      (await runAll(runner, { rows: [{ ids, edits: [{ kind: 'z', ...head, scale: 0, add }] }] }))[0].logits;
    const size = runner.shape.headDim[0];
    const zOf = ({ dims, data }: { dims: readonly number[]; data: Float32Array }) =>
      data.slice(head.head * dims[1] * size, (head.head + 1) * dims[1] * size);
    const total = { zeroAblation: 0, denoising: 0, noising: 0, meanAblation: 0, clean: 0, corrupt: 0 };
    const mean = new Float32Array(size);
    let tokens = 0;
    for (const pair of some) {
      const z = zOf((await plain(pair.corrupt)).tap('z', 0));
      tokens += z.length / size;
      z.forEach((value, i) => (mean[i % size] += value));
    }
    mean.forEach((value, i) => (mean[i] = value / tokens));
    for (const { clean: ids, corrupt: other, targets } of some) {
      const difference = (logits: Float32Array) =>
        logits[targets.answers[0]] - logits[targets.distractors[0]];
      const [good, bad] = [await plain(ids), await plain(other)];
      total.clean += difference(good.logits) / 3;
      total.corrupt += difference(bad.logits) / 3;
      const effect = async (add?: Float32Array) =>
        (difference(good.logits) - difference(await edited(ids, add))) / 3;
      total.zeroAblation += await effect();
      total.noising += await effect(zOf(bad.tap('z', 0)));
      total.meanAblation += await effect(mean);
      total.denoising +=
        (difference(await edited(other, zOf(good.tap('z', 0)))) - difference(bad.logits)) / 3;
    }
    expect(clean).toBeCloseTo(total.clean, 4);
    expect(corrupt).toBeCloseTo(total.corrupt, 4);
    for (const what of ['zeroAblation', 'denoising', 'noising', 'meanAblation'] as const) {
      const { effect, relative } = heads[0].effects[what]!;
      expect(Math.abs(effect - total[what])).toBeLessThan(1e-4);
      expect(relative).toBeCloseTo(effect / (clean - corrupt), 8);
    }
    expect(Math.abs(total.denoising)).toBeGreaterThan(1e-3);
  });

  it('what does not fit into memory together is captured in parts, with the same effects', async () => {
    const settings = {
      metric: 'logit-difference',
      interventions: ['meanAblation', 'noising', 'denoising'],
      heads: [
        { layer: 1, head: 1 },
        { layer: 0, head: 7 },
        { layer: 1, head: 5 },
      ],
    } as const;
    const some = pairs.slice(0, 5);
    const whole = await causalEffects(model.runner, some, settings);
    const { heads, headDim } = model.runner.shape;
    const longest = Math.max(...some.flatMap(({ clean, corrupt }) => [clean.length, corrupt.length]));
    const layerOfPrompt = 4 * heads[0] * headDim[0] * longest;
    // one layer of two pairs, and of less than one
    for (const captureBytes of [5 * layerOfPrompt + 2000, 1]) {
      const seen: number[][] = [];
      const taps: (number | undefined)[] = [];
      const runner: Runner = {
        ...model.runner,
        run(request, onRow, options) {
          for (const tap of request.taps ?? []) taps.push(tap.layers?.length);
          return model.runner.run(request, onRow, options);
        },
      };
      const apart = await causalEffects(runner, some, settings, {
        captureBytes,
        onProgress: (...at) => void seen.push(at),
      });
      expect(taps.length).toBeGreaterThan(4);
      expect(new Set(taps)).toEqual(new Set([1]));
      const total = 5 * (2 * 2 + 3 * 3);
      expect(seen.at(-1)).toEqual([total, total]);
      expect(seen.every(([at], i) => i === 0 || at >= seen[i - 1][0])).toBe(true);
      expect(apart.heads.map(headName)).toEqual(['L1H1', 'L0H7', 'L1H5']);
      apart.heads.forEach(({ effects }, h) => {
        for (const what of settings.interventions)
          expect(effects[what]!.effect).toBeCloseTo(whole.heads[h].effects[what]!.effect, 4);
      });
      expect([apart.clean, apart.corrupt]).toEqual([
        expect.closeTo(whole.clean, 4),
        expect.closeTo(whole.corrupt, 4),
      ]);
    }
    const none = await causalEffects(model.runner, some, { ...settings, heads: [] });
    expect(none.clean).toBeCloseTo(whole.clean, 4);
  });

  it('means of all heads at positions that are too many together are taken over positions', async () => {
    const { shape } = model.runner;
    const asked: string[] = [];
    const runner: Runner = {
      ...model.runner,
      // as wide as the means of 56 tokens would be that take a gigabyte
      shape: { ...shape, headDim: shape.headDim.map(() => 2 ** 20) },
      run: (request, onRow, options) => {
        for (const { edits = [] } of request.rows)
          for (const edit of edits) if (edit.kind === 'z') asked.push(`${edit.add?.length}`);
        return model.runner.run(request, onRow, options);
      },
    };
    const order = capturableHeads(runner);
    const settings = { metric: 'logit-difference', sizes: [0] } as const;
    const curve = await faithfulnessCurve(runner, pairs.slice(0, 2), order, settings);
    expect(curve.mean).toBe('over-positions');
    expect(new Set(asked)).toEqual(new Set([`${shape.headDim[0]}`]));
    const refused = faithfulnessCurve(runner, pairs.slice(0, 2), order, {
      ...settings,
      mean: 'per-position',
    });
    await expect(refused).rejects.toMatchObject({ code: 'too-large' });
  });

  it('KL needs no answers; unequal pairs can be ablated but not patched', async () => {
    const NONE = { answers: [], distractors: [] };
    const some = pairs.slice(0, 4).map((pair) => ({ ...pair, targets: NONE }));
    const run = (list: CausalPair[], metric: 'kl' | 'logit-difference', what: 'noising' | 'meanAblation') =>
      causalEffects(model.runner, list, { metric, interventions: [what] });
    const found = await run(some, 'kl', 'meanAblation');
    expect(found.clean).toBe(0);
    expect(found.corrupt).toBeLessThan(-0.1);
    for (const { effects } of found.heads) expect(effects.meanAblation!.effect).toBeGreaterThanOrEqual(0);
    await expect(run(some, 'logit-difference', 'meanAblation')).rejects.toMatchObject({ code: 'no-targets' });
    const uneven = some.map((pair, i) => (i === 1 ? { ...pair, corrupt: pair.corrupt.slice(1) } : pair));
    await expect(run(uneven, 'kl', 'noising')).rejects.toMatchObject({ code: 'not-aligned' });
    expect((await run(uneven, 'kl', 'meanAblation')).mean).toBe('over-positions');
    await expect(run([], 'kl', 'noising')).rejects.toMatchObject({ code: 'no-pairs' });
  });
});
