import { seededRandom } from '../../random.ts';
import type { Device } from '../../runtime/device.ts';
import { breather } from './breather.ts';
import type { CircuitInput, CircuitOptions, CircuitSeed } from './circuit-types.ts';
import { encode } from './codes.ts';
import { UniqueCodes, WrittenEnergy, type Contrast } from './contrast.ts';
import { pairVotes } from './edges.ts';
import { partOf, squaredDistances } from './energy.ts';
import { prepare, rowsOf } from './prepare.ts';
import { initialParameters, SaeTrainer } from './sae.ts';
import { observedLabels, type Labels } from './scores.ts';
import type { CircuitSettings } from './settings.ts';
import { spearman } from './verify.ts';

/** Prompts that scores are computed from, positives first, with their labels. */
export interface Compared {
  readonly prompts: readonly number[];
  readonly positives: number;
  readonly labels: Labels;
}

/** What all autoencoders together say. */
export interface SeedsResult {
  readonly seeds: CircuitSeed[];
  /** Holds what all autoencoders say. */
  readonly contrast: Contrast;
  /** Pair scores, mean over autoencoders. [heads × heads] */
  readonly pairs: Float64Array;
  readonly heldOutCorrelation: number | null;
  readonly timings: { training: number; codes: number; scores: number };
}

/** Held-out prompts a side from which on scores are compared with those from held-out prompts alone. */
const ENOUGH_HELD_OUT = 4;

/**
 * Trains one autoencoder per seed on its own random prompts, takes the codes of all prompts, and scores heads and pairs of heads.
 * @throws HeadscopeError `cancelled`, `not-a-number`, `load-failed`, `run-failed`
 */
export async function trainSeeds(
  { vectors, positives }: CircuitInput,
  settings: CircuitSettings,
  compared: Compared,
  device: Device,
  { signal, onProgress }: CircuitOptions,
): Promise<SeedsResult> {
  const heads = vectors.heads.length;
  const timings = { training: 0, codes: 0, scores: 0 };
  const counts = new UniqueCodes(compared.prompts, settings.normalise);
  const energy = new WrittenEnergy();
  const published = settings.method === 'published';
  const contrast = published ? counts : energy;
  const pairs = new Float64Array(heads * heads);
  const seeds: CircuitSeed[] = [];
  const heldOut: number[] = [];
  const pause = breather(signal);
  const { x, unit } = prepare(vectors, settings);
  const trained = Math.min(settings.trainPrompts, vectors.prompts);
  const rows = trained * heads;
  const trainer = await SaeTrainer.create(device, { ...settings, rows, width: vectors.width });
  try {
    for (let i = 0; i < settings.seeds; i++) {
      let began = performance.now();
      const lap = (part: keyof typeof timings): void => {
        timings[part] += performance.now() - began;
        began = performance.now();
      };
      const seed = settings.seed + i;
      const random = seededRandom(seed);
      const trainedOn = random.sample([...Array(vectors.prompts).keys()], trained).sort((a, b) => a - b);
      const start = initialParameters({ ...settings, width: vectors.width }, random);
      const { parameters, losses } = await trainer.train(rowsOf(x, vectors.prompts, trainedOn), start, {
        signal,
        onProgress: (epoch, loss) =>
          onProgress?.({
            stage: 'training',
            done: (i + epoch / settings.epochs) / settings.seeds,
            seed,
            epoch,
            loss,
          }),
      });
      lap('training');
      const codes = await encode(device, parameters, x, heads, signal);
      lap('codes');

      let squared: Float32Array[] = [];
      if (published) counts.add(codes);
      else {
        squared = await squaredDistances(device, parameters, x, heads, compared.prompts, unit, signal);
        energy.add(squared);
      }
      const scores = contrast.nodes(compared.labels);
      const own = new Float64Array(heads * heads);
      for (let first = 0; first < heads; first++) {
        for (let second = 0; second < first; second++)
          own[first * heads + second] = own[second * heads + first] = contrast.pair(
            first,
            second,
            compared.labels,
          );
        await pause();
      }
      own.forEach((score, at) => (pairs[at] += score / settings.seeds));
      const votes = pairVotes(own, heads, settings.method === 'headscope');
      seeds.push({ seed, trainedOn, losses, codes, scores, votes });

      const kept = [...compared.prompts.keys()].filter((at) => !trainedOn.includes(compared.prompts[at]));
      const others = kept.map((at) => compared.prompts[at]);
      const otherPositives = others.filter((e) => e < positives).length;
      if (Math.min(otherPositives, others.length - otherPositives) >= ENOUGH_HELD_OUT) {
        const without = published ? new UniqueCodes(others, settings.normalise) : new WrittenEnergy();
        if (without instanceof UniqueCodes) without.add(codes);
        else without.add(squared.map((one) => partOf(one, kept)));
        const labels = observedLabels(otherPositives, others.length - otherPositives);
        heldOut.push(spearman([...scores], [...without.nodes(labels)]));
      }
      lap('scores');
    }
  } finally {
    await trainer.release();
  }
  const heldOutCorrelation = heldOut.length ? heldOut.reduce((a, b) => a + b, 0) / heldOut.length : null;
  return { seeds, contrast, pairs, heldOutCorrelation, timings };
}
