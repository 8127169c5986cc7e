import { HeadscopeError } from '../../errors.ts';
import { seededRandom } from '../../random.ts';
import type { Device } from '../../runtime/device.ts';
import { mean, standardDeviation } from '../stats.ts';
import { chooseHeads, ruleOf } from './choose.ts';
import type { CircuitInput, CircuitOptions, CircuitResult } from './circuit-types.ts';
import { falseDiscoveryRates, labelPermutations } from './permutation.ts';
import { observedLabels } from './scores.ts';
import { trainSeeds, type Compared } from './seeds.ts';
import { circuitSettings, METHOD_NOTES, type CircuitSettings } from './settings.ts';
import { testScores } from './tests.ts';
import { circuitWarnings } from './warnings.ts';

export type * from './circuit-types.ts';

/** Beyond this many prompts a random part of them is compared: distances grow with the square. */
const MOST_COMPARED = 256;
/** Distances that pairs of heads may need in all. */
const MOST_PAIR_DISTANCES = 4e9;
const LEAST_COMPARED = 16;
/** Rough share of the time that training takes, for progress. */
const TRAINING_SHARE = 0.85;

/**
 * Finds the circuit of a task from the outputs of all heads on positive and negative prompts: trains sparse autoencoders, takes
 * codes, scores heads and pairs of heads, and tests the scores against permuted labels (O'Neill & Bui 2024, and `METHOD_NOTES`).
 * @throws HeadscopeError `no-prompts`, `bad-shape`, `bad-setting`, `cancelled`, `not-a-number`, `load-failed`, `run-failed`
 */
export async function findCircuit(
  input: CircuitInput,
  given: Partial<CircuitSettings>,
  device: Device,
  options: CircuitOptions = {},
): Promise<CircuitResult> {
  const settings = circuitSettings(given);
  checkInput(input);
  const { vectors, positives, negatives, paired } = input;
  const random = seededRandom(settings.seed - 1);
  const compared = comparedPrompts(input, settings, random.int(2 ** 30));
  const { seeds, contrast, pairs, heldOutCorrelation, timings } = await trainSeeds(
    input,
    settings,
    compared,
    device,
    {
      signal: options.signal,
      onProgress: (progress) => options.onProgress?.({ ...progress, done: TRAINING_SHARE * progress.done }),
    },
  );

  const began = performance.now();
  const permutations = labelPermutations(
    compared.positives,
    compared.prompts.length - compared.positives,
    paired,
    settings.permutations,
    random,
  );
  const { nodes, edges } = await testScores(
    vectors.heads,
    contrast,
    pairs,
    settings.edges,
    compared.labels,
    permutations,
    {
      signal: options.signal,
      onProgress: (done) =>
        options.onProgress?.({ stage: 'tests', done: TRAINING_SHARE + (1 - TRAINING_SHARE) * done }),
    },
  );
  const tests = performance.now() - began;

  const scores = vectors.heads.map((_, h) => mean(seeds.map((seed) => seed.scores[h])));
  const q = falseDiscoveryRates(nodes.map(({ p }) => p));
  const chosen = chooseHeads(ruleOf(settings, scores.length), scores, q);
  const result: CircuitResult = {
    settings,
    method: METHOD_NOTES[settings.method],
    positives,
    negatives,
    labels: permutations.kind,
    heads: vectors.heads.map(({ layer, head }, h) => ({
      layer,
      head,
      score: scores[h],
      sd: standardDeviation(seeds.map((seed) => seed.scores[h])),
      ...nodes[h],
      q: q[h],
      inCircuit: chosen[h],
      votes: mean(seeds.map((seed) => seed.votes[h])),
    })),
    edges,
    seeds,
    heldOutCorrelation,
    warnings: [],
    timings: { ...timings, tests },
  };
  return { ...result, warnings: circuitWarnings(result, compared.prompts.length) };
}

/** All prompts, or a random part of them when comparing all would take too long; positives first. */
function comparedPrompts(
  { vectors, positives, paired }: CircuitInput,
  settings: CircuitSettings,
  seed: number,
): Compared {
  const all = [...Array(vectors.prompts).keys()];
  const affordable = Math.floor(Math.sqrt(MOST_PAIR_DISTANCES) / vectors.heads.length);
  const limit = Math.max(LEAST_COMPARED, Math.min(MOST_COMPARED, affordable));
  if (settings.method === 'published' || all.length <= limit)
    return { prompts: all, positives, labels: observedLabels(positives, all.length - positives) };
  const random = seededRandom(seed);
  const some = (from: readonly number[]) => random.sample(from, Math.min(Math.floor(limit / 2), from.length));
  const first = some(all.slice(0, positives));
  const second = paired ? first.map((e) => e + positives) : some(all.slice(positives));
  return {
    prompts: [...first, ...second],
    positives: first.length,
    labels: observedLabels(first.length, second.length),
  };
}

function checkInput({ vectors, positives, negatives, paired }: CircuitInput): void {
  if (positives < 2 || negatives < 2)
    throw new HeadscopeError(
      'no-prompts',
      `A circuit needs at least 2 positive and 2 negative prompts, got ${positives} and ${negatives}.`,
    );
  const { prompts, heads, width, x } = vectors;
  if (prompts !== positives + negatives || x.length !== prompts * heads.length * width)
    throw new HeadscopeError(
      'bad-shape',
      `There are head outputs for ${prompts} prompts, but ${positives} positives and ${negatives} negatives.`,
    );
  if (paired && positives !== negatives)
    throw new HeadscopeError(
      'bad-shape',
      `Paired prompts need equal numbers, got ${positives} and ${negatives}.`,
    );
}
