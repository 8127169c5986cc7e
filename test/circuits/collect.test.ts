import { expect, it } from 'vitest';
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
  }
  await model.closeAll();
});
