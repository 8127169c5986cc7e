import { HeadscopeError } from '../../errors.ts';
import { headName, type HeadRef } from '../../instrument/runner.ts';
import { seededRandom } from '../../random.ts';
import type { Device } from '../../runtime/device.ts';
import { breather } from './breather.ts';
import { encode, type Codes } from './codes.ts';
import type { HeadVectors } from './collect.ts';
import { CodeEnergy, UniqueCodes, type Contrast } from './contrast.ts';
import { causalEdges, pairVotes } from './edges.ts';
import { falseDiscoveryRates, labelPermutations, permutationTest } from './permutation.ts';
import { prepare, rowsOf } from './prepare.ts';
import { initialParameters, SaeTrainer } from './sae.ts';
import { observedLabels } from './scores.ts';
import { circuitSettings, METHOD_NOTES, type CircuitSettings } from './settings.ts';
import { circuitWarnings } from './warnings.ts';

export interface CircuitInput {
  /** Outputs of every head on the positives followed by the negatives. */
  readonly vectors: HeadVectors;
  readonly positives: number;
  readonly negatives: number;
  /** The i-th negative is the i-th positive, corrupted. */
  readonly paired: boolean;
}

export interface CircuitHead extends HeadRef {
  /** Mean over autoencoders; see the method for its unit. */
  readonly score: number;
  /** Sample standard deviation over autoencoders. */
  readonly sd: number;
  /** Against permuted labels: z-score, p-value, and false-discovery rate over the heads. */
  readonly z: number;
  readonly p: number;
  readonly q: number;
  readonly inCircuit: boolean;
  /** Votes of the strongest pairs, mean over autoencoders. */
  readonly votes: number;
}

export interface CircuitEdge {
  /** Head names, such as L0H5; `to` is in a later layer. */
  readonly from: string;
  readonly to: string;
  readonly score: number;
  /** Against permuted labels, of this pair alone. */
  readonly p: number;
}

/** What one autoencoder found. */
export interface CircuitSeed {
  readonly seed: number;
  /** Prompts it was trained on: indices into positives followed by negatives. */
  readonly trainedOn: readonly number[];
  /** Loss before each epoch. */
  readonly losses: Float32Array;
  /** Which code fires for which head on which prompt. */
  readonly codes: Codes;
  /** [heads] */
  readonly scores: Float64Array;
  /** [heads] */
  readonly votes: Float64Array;
}

export interface CircuitResult {
  readonly settings: CircuitSettings;
  /** What the method does, in words. */
  readonly method: string;
  readonly positives: number;
  readonly negatives: number;
  readonly labels: 'paired' | 'unpaired';
  readonly heads: readonly CircuitHead[];
  /** Strongest first. */
  readonly edges: readonly CircuitEdge[];
  readonly seeds: readonly CircuitSeed[];
  readonly warnings: readonly string[];
  /** Milliseconds. */
  readonly timings: {
    readonly training: number;
    readonly codes: number;
    readonly scores: number;
    readonly tests: number;
  };
}

export interface CircuitProgress {
  readonly stage: 'training' | 'tests';
  /** Part of the whole job that is done, 0 … 1. */
  readonly done: number;
  readonly seed?: number;
  readonly epoch?: number;
  readonly loss?: number;
}

export interface CircuitOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CircuitProgress) => void;
}

/** Beyond this many prompts a random part of them is compared: distances grow with the square. */
const MOST_COMPARED = 256;
/** Distances that pairs of heads may need in all. */
const MOST_PAIR_DISTANCES = 4e9;
/** Rough share of the whole that training takes, for progress. */
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
  const { vectors, positives, negatives } = input;
  const timings = { training: 0, codes: 0, scores: 0, tests: 0 };
  const timed = async <T>(part: keyof typeof timings, work: () => Promise<T>): Promise<T> => {
    const began = performance.now();
    const result = await work();
    timings[part] += performance.now() - began;
    return result;
  };
  const random = seededRandom(settings.seed);
  const compared = comparedPrompts(input, settings, random.int(2 ** 30));
  const labels = observedLabels(compared.positives, compared.prompts.length - compared.positives);
  const contrast: Contrast =
    settings.method === 'published' ? new UniqueCodes(settings.normalise) : new CodeEnergy(compared.prompts);
  const heads = vectors.heads.length;
  const pairs = new Float64Array(heads * heads);
  const seeds: CircuitSeed[] = [];
  const pause = breather(options.signal);

  const { x, unit } = prepare(vectors, settings);
  const trained = Math.min(settings.trainPrompts, vectors.prompts);
  const trainer = await SaeTrainer.create(device, {
    ...settings,
    rows: trained * heads,
    width: vectors.width,
  });
  try {
    for (let i = 0; i < settings.seeds; i++) {
      const seed = settings.seed + i;
      const own = seededRandom(seed * 2 + 1);
      const trainedOn = own.sample([...Array(vectors.prompts).keys()], trained).sort((a, b) => a - b);
      const start = initialParameters({ ...settings, width: vectors.width }, own);
      const batch = rowsOf(x, vectors.prompts, trainedOn);
      const { parameters, losses } = await timed('training', () =>
        trainer.train(batch, start, {
          signal: options.signal,
          onProgress: (epoch, loss) =>
            options.onProgress?.({
              stage: 'training',
              done: (TRAINING_SHARE * (i + epoch / settings.epochs)) / settings.seeds,
              seed,
              epoch,
              loss,
            }),
        }),
      );
      const codes = await timed('codes', () => encode(device, parameters, x, heads, options.signal));
      await timed('scores', async () => {
        contrast.add(codes, parameters.decoder, unit);
        const scores = contrast.nodes(labels);
        const own = new Float64Array(heads * heads);
        for (let first = 0; first < heads; first++) {
          for (let second = 0; second < first; second++)
            own[first * heads + second] = own[second * heads + first] = contrast.pair(first, second, labels);
          await pause();
        }
        own.forEach((score, at) => (pairs[at] += score / settings.seeds));
        const votes = pairVotes(own, heads, settings.method === 'headscope');
        seeds.push({ seed, trainedOn, losses, codes, scores, votes });
      });
    }
  } finally {
    await trainer.release();
  }

  const tests = await timed('tests', async () => {
    const permutations = labelPermutations(
      compared.positives,
      compared.prompts.length - compared.positives,
      input.paired,
      settings.permutations,
      random,
    );
    const report = (done: number) =>
      options.onProgress?.({ stage: 'tests', done: TRAINING_SHARE + (1 - TRAINING_SHARE) * done });
    const edges = causalEdges(
      pairs,
      vectors.heads.map(({ layer }) => layer),
      settings.edges,
    );
    const total = heads + edges.length;
    const nodes = [];
    for (let head = 0; head < heads; head++) {
      const statistic = contrast.nodeStatistic(head);
      nodes.push(permutationTest(statistic, statistic(labels), permutations));
      report(nodes.length / total);
      await pause();
    }
    const tested: CircuitEdge[] = [];
    for (const { first, second, score } of edges) {
      const statistic = contrast.pairStatistic(first, second);
      const { p } = permutationTest(statistic, statistic(labels), permutations);
      tested.push({ from: headName(vectors.heads[first]), to: headName(vectors.heads[second]), score, p });
      report((heads + tested.length) / total);
      await pause();
    }
    return { kind: permutations.kind, nodes, edges: tested };
  });

  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const scores = vectors.heads.map((_, h) => mean(seeds.map((seed) => seed.scores[h])));
  const q = falseDiscoveryRates(tests.nodes.map(({ p }) => p));
  const chosen = chooseHeads(settings, scores, q);
  const result: CircuitResult = {
    settings,
    method: METHOD_NOTES[settings.method],
    positives,
    negatives,
    labels: tests.kind,
    heads: vectors.heads.map((ref, h) => ({
      layer: ref.layer,
      head: ref.head,
      score: scores[h],
      sd: spread(seeds.map((seed) => seed.scores[h])),
      ...tests.nodes[h],
      q: q[h],
      inCircuit: chosen[h],
      votes: mean(seeds.map((seed) => seed.votes[h])),
    })),
    edges: tests.edges,
    seeds,
    warnings: [],
    timings,
  };
  return { ...result, warnings: circuitWarnings(result, compared.prompts.length) };
}

/**
 * `published`: softmax of the score above θ. `headscope`: false-discovery rate, among heads with more than an even share of the total
 * score, since with enough prompts every head tells the labels apart a little.
 */
function chooseHeads(settings: CircuitSettings, scores: readonly number[], q: Float64Array): boolean[] {
  if (settings.method === 'headscope') {
    const even = scores.reduce((a, b) => a + b, 0) / scores.length;
    return scores.map((score, h) => q[h] <= settings.fdr && score > even);
  }
  const top = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum > (settings.theta ?? 1 / scores.length));
}

/** All prompts, or a random part of them when comparing all would take too long; positives first. */
function comparedPrompts(
  { vectors, positives, paired }: CircuitInput,
  settings: CircuitSettings,
  seed: number,
): { prompts: number[]; positives: number } {
  const all = [...Array(vectors.prompts).keys()];
  const limit = Math.max(
    16,
    Math.min(MOST_COMPARED, Math.floor(Math.sqrt(MOST_PAIR_DISTANCES) / vectors.heads.length)),
  );
  if (settings.method === 'published' || all.length <= limit) return { prompts: all, positives };
  const random = seededRandom(seed);
  const half = Math.floor(limit / 2);
  const first = random.sample(all.slice(0, positives), Math.min(half, positives));
  const second = paired
    ? first.map((e) => e + positives)
    : random.sample(all.slice(positives), Math.min(half, vectors.prompts - positives));
  return { prompts: [...first, ...second], positives: first.length };
}

function spread(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}

function checkInput({ vectors, positives, negatives, paired }: CircuitInput): void {
  if (positives < 2 || negatives < 2)
    throw new HeadscopeError(
      'no-prompts',
      `A circuit needs at least 2 positive and 2 negative prompts, got ${positives} and ${negatives}.`,
    );
  if (
    vectors.prompts !== positives + negatives ||
    vectors.x.length !== vectors.prompts * vectors.heads.length * vectors.width
  )
    throw new HeadscopeError(
      'bad-shape',
      `There are outputs for ${vectors.prompts} prompts, but ${positives} positives and ${negatives} negatives.`,
    );
  if (paired && positives !== negatives)
    throw new HeadscopeError(
      'bad-shape',
      `Paired prompts need equal numbers, got ${positives} and ${negatives}.`,
    );
}
