import { expect, it } from 'vitest';
import { meanZ } from '../../src/analysis/circuits/ablation.ts';
import { capturableHeads, collectHeadVectors } from '../../src/analysis/circuits/collect.ts';
import { readGolden } from '../helpers/golden.ts';
import { checkpointFolder, openFolder } from '../helpers/models.ts';

it.each(['ioi-4l', 'llama-tiny'])('%s: head outputs are those that PyTorch recorded', async (name) => {
  const golden = readGolden(name);
  const model = await openFolder(checkpointFolder(name));
  const { runner, device } = model;
  const heads = capturableHeads(runner);
  expect(heads).toHaveLength(32);
  expect(heads[9]).toEqual({ layer: 1, head: 1 });
  for (const position of ['mean', 'last'] as const) {
    const vectors = await collectHeadVectors(runner, device, golden.prompts, position);
    const { width, x } = vectors;
    expect([vectors.prompts, vectors.heads.length, width]).toEqual([golden.prompts.length, 32, 128]);
    let worst = 0;
    golden.prompts.forEach((ids, e) =>
      heads.forEach(({ layer, head }, h) => {
        const { data } = golden.tensor(`p${e}.l${layer}.head_out`); // [heads, T, width]
        for (let k = 0; k < width; k++) {
          let want = 0;
          for (let t = position === 'last' ? ids.length - 1 : 0; t < ids.length; t++)
            want += data[(head * ids.length + t) * width + k];
          if (position === 'mean') want /= ids.length;
          worst = Math.max(worst, Math.abs(want - x[(e * 32 + h) * width + k]));
        }
      }),
    );
    expect(worst).toBeLessThan(1e-5);
    let runs = 0;
    const counting: typeof runner = {
      ...runner,
      run(request, onRow, options) {
        runs++;
        expect(request.taps?.flatMap(({ layers }) => layers)).toHaveLength(1);
        return runner.run(request, onRow, options);
      },
    };
    const apart = await collectHeadVectors(counting, device, golden.prompts, position, { captureBytes: 1 });
    expect(runs).toBe(runner.shape.layers);
    expect(apart.x.reduce((most, v, i) => Math.max(most, Math.abs(v - x[i])), 0)).toBeLessThan(1e-5);
  }
  await model.closeAll();
});

it.each(['per-position', 'over-positions'] as const)(
  'the mean %s of z is the same a layer a run',
  async (kind) => {
    const model = await openFolder(checkpointFolder('ioi-4l'));
    const { prompts } = readGolden('ioi-4l');
    const long = prompts.map((ids) => ids.slice(0, 8)).filter(({ length }) => length === 8);
    const used = kind === 'per-position' ? long : prompts;
    const layers = [3, 0, 2];
    const { runner } = model;
    const whole = await meanZ(runner, used, layers, kind);
    const progress: number[] = [];
    const apart = await meanZ(runner, used, layers, kind, {
      captureBytes: 1,
      onProgress: (done) => void progress.push(done),
    });
    expect(progress.at(-1)).toBe(used.length);
    expect(progress.length).toBeGreaterThanOrEqual(3);
    expect([...apart.layers.keys()].sort()).toEqual([0, 2, 3]);
    for (const [layer, mean] of apart.layers) {
      const other = whole.layers.get(layer)!;
      expect(mean.length).toBe(8 * 16 * (kind === 'per-position' ? 8 : 1));
      expect(mean.reduce((most, v, i) => Math.max(most, Math.abs(v - other[i])), 0)).toBeLessThan(1e-5);
    }
    await model.closeAll();
  },
);
