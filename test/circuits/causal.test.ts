import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { causalEffects } from '../../src/analysis/circuits/causal.ts';
import { checkpointFolder, openFolder, type Opened } from '../helpers/models.ts';
import { sampleTask, TASKS } from './sample.ts';

describe.each(['ioi-4l', 'llama-tiny'])('%s against the effects that PyTorch measured', (name) => {
  let model: Opened;
  beforeAll(async () => {
    model = await openFolder(checkpointFolder(name));
  });
  afterAll(() => model.closeAll());

  it.each(TASKS)('%s: mean ablation and patching of every head', async (task) => {
    const sample = sampleTask(name, task);
    const found = await causalEffects(model.runner, sample.pairs, {
      metric: task === 'greater_than' ? 'probability-difference' : 'logit-difference',
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
  });
});
