import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { initialParameters, SaeTrainer } from '../../src/analysis/circuits/sae.ts';
import { seededRandom } from '../../src/random.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { openBuiltPage, type EnginePage } from './engine-page.ts';
import type { TrainingUnderTest } from './training/main.ts';
import { trainingRows } from './training/rows.ts';
import type { TrainArgs } from './training/worker.ts';

/* Autoencoders trained on WebGPU (SwiftShader where there is no graphics card), with a state that stays there. */

// Shaders are compiled slowly there.
vi.setConfig({ testTimeout: 180_000 });

declare const training: TrainingUnderTest['training'];

const EPOCHS = 60;
const shape = {
  rows: 48,
  width: 16,
  latents: 12,
  lambda: 0.01,
  learningRate: 1e-2,
  epochs: EPOCHS,
} as const;

let page: EnginePage;
beforeAll(async () => {
  page = await openBuiltPage('test/browser/training', []);
  await page.page.waitForFunction(() => 'training' in globalThis);
}, 120_000);
afterAll(() => page.close());

/** Trains in the browser; numbers come back as plain arrays. */
const train = (args: TrainArgs) =>
  page.page.evaluate(async (asked) => {
    const { losses, parameters, runs, buffers } = await training.call('train', asked);
    const { encoder, encoderBias, decoder, bias } = parameters;
    const arrays = { losses, encoder, encoderBias, decoder, bias };
    const plain = Object.entries(arrays).map(([name, values]) => [name, [...values]] as const);
    return { arrays: Object.fromEntries(plain) as Record<keyof typeof arrays, number[]>, runs, buffers };
  }, args);

it.each(['latent', 'dimension'] as const)(
  'gives the losses and parameters of the CPU, in a run for 25 epochs; unit norm per %s',
  async (decoderNorm) => {
    const asked = { ...shape, decoderNorm };
    const trainer = await SaeTrainer.create(nodeDevice('cpu', { threads: 1 }), asked);
    const expected = await trainer.train(trainingRows(asked), initialParameters(asked, seededRandom(1)));
    await trainer.release();
    const found = await train({ training: asked, epochsPerRun: 25 });
    expect(found.runs).toBe(Math.ceil(EPOCHS / 25));
    expected.losses.forEach((loss, i) =>
      expect(Math.abs(found.arrays.losses[i] / loss - 1), `epoch ${i}`).toBeLessThan(1e-3),
    );
    expect(expected.losses[EPOCHS - 1]).toBeLessThan(expected.losses[0] / 4);
    for (const name of ['encoder', 'encoderBias', 'decoder', 'bias'] as const)
      expect(maxAbs(found.arrays[name], expected.parameters[name]), name).toBeLessThan(1e-3);
  },
);

it('keeps its state on the card: runs make next to no buffers, and the same numbers', async () => {
  const asked = { training: { ...shape, decoderNorm: 'latent' }, epochsPerRun: 1 } as const;
  const kept = await train(asked);
  const copied = await train({ ...asked, throughHost: true });
  expect(kept.runs).toBe(EPOCHS);
  expect(copied.runs).toBe(EPOCHS);
  expect(kept.arrays).toEqual(copied.arrays);
  // A run that is handed twelve tensors from the host and hands them back makes a buffer for each, each way.
  expect(copied.buffers).toBeGreaterThan(24 * EPOCHS);
  expect(kept.buffers).toBeLessThan(copied.buffers / 3);
});

it('chooses the epochs of a run itself, and switches graphs on the way', async () => {
  const asked = { ...shape, decoderNorm: 'latent' } as const;
  const fixed = await train({ training: asked, epochsPerRun: 25 });
  const chosen = await train({ training: asked });
  expect(chosen.runs).toBeLessThanOrEqual(EPOCHS);
  expect(maxAbs(chosen.arrays.losses, fixed.arrays.losses)).toBeLessThan(1e-5);
  expect(maxAbs(chosen.arrays.decoder, fixed.arrays.decoder)).toBeLessThan(1e-5);
});

it('stops between runs when cancelled', async () => {
  const told = await page.page.evaluate(
    async (asked) => {
      const stop = new AbortController();
      const seen: number[] = [];
      const work = training.call(
        'train',
        { training: asked, epochsPerRun: 5 },
        {
          signal: stop.signal,
          onProgress: (epoch) => {
            seen.push(epoch);
            if (seen.length === 2) stop.abort();
          },
        },
      );
      const code = await work.then(
        () => 'finished',
        (error: { code: string }) => error.code,
      );
      return { code, seen };
    },
    { ...shape, decoderNorm: 'latent', epochs: 2000 } as const,
  );
  expect(told.code).toBe('cancelled');
  expect(told.seen.slice(0, 2)).toEqual([5, 10]);
  expect(told.seen.length).toBeLessThan(20);
});

it('notices a loss that is no number, and can be used afterwards', async () => {
  const asked = { training: { ...shape, decoderNorm: 'latent' }, epochsPerRun: 25 } as const;
  const code = await page.page.evaluate(
    (args) =>
      training.call('train', { ...args, broken: true }).then(
        () => 'finished',
        (error: { code: string }) => error.code,
      ),
    asked,
  );
  expect(code).toBe('not-a-number');
  const { arrays } = await train(asked);
  expect(arrays.losses.every(Number.isFinite)).toBe(true);
});

it('nothing went wrong on the way', () => {
  expect(page.troubles.filter((text) => !/favicon|status of 404/.test(text))).toEqual([]);
});
