import { HeadscopeError } from '../../errors.ts';
import type { DecoderNorm } from './sae-graph.ts';

/**
 * `published`: O'Neill & Bui 2024 as their code does it. `headscope`: the same codes, compared in a way that has a scale; see
 * `METHOD_NOTES`.
 */
export type CircuitMethod = 'published' | 'headscope';

export interface CircuitSettings {
  readonly method: CircuitMethod;
  readonly latents: number;
  /** λ of the L1 penalty; with `scale` it counts in units of the outputs' root mean square. */
  readonly lambda: number;
  readonly epochs: number;
  readonly learningRate: number;
  /** Prompts, drawn from positives and negatives together, whose heads an autoencoder is trained on; other ones for each seed. */
  readonly trainPrompts: number;
  /** How many autoencoders; scores are averaged over them and their spread is shown. */
  readonly seeds: number;
  readonly seed: number;
  /** Subtract each head's mean over all prompts before the autoencoder. */
  readonly centre: boolean;
  /** Divide by one number, the root mean square of all outputs, before the autoencoder. */
  readonly scale: boolean;
  readonly decoderNorm: DecoderNorm;
  /** `published` only: divide a head's count by its number of distinct codes. */
  readonly normalise: boolean;
  /** `published` only: heads whose softmax of the score is above this are the circuit; 1/heads when absent. */
  readonly theta?: number;
  readonly permutations: number;
  /** False-discovery rate of the circuit. */
  readonly fdr: number;
  /** Edges to list and test at most. */
  readonly edges: number;
}

const COMMON = {
  latents: 200,
  lambda: 0.02,
  epochs: 500,
  learningRate: 1e-3,
  trainPrompts: 10,
  seeds: 5,
  seed: 0,
  normalise: false,
  permutations: 999,
  fdr: 0.05,
  edges: 200,
} as const;

/** The settings of both methods; the authors' λ was 0.05 for docstring prompts. */
export const DEFAULTS: Readonly<Record<CircuitMethod, CircuitSettings>> = {
  published: { ...COMMON, method: 'published', centre: false, scale: false, decoderNorm: 'dimension' },
  headscope: { ...COMMON, method: 'headscope', centre: true, scale: true, decoderNorm: 'latent' },
};

/** What each method does, for reports. */
export const METHOD_NOTES: Readonly<Record<CircuitMethod, string>> = {
  published:
    'O’Neill & Bui 2024: a head scores the number of distinct codes that occur in positives and never in negatives; the circuit is softmax(score) > θ.',
  headscope:
    'Codes of O’Neill & Bui 2024 on centred, scaled head outputs. A head scores the energy score of its positives under its negatives: how far what the autoencoder writes for it on a positive prompt is from what it writes on the negatives, less half the spread of the negatives. Mean over autoencoders; the circuit is what label permutation finds at the false-discovery rate among the upper half of the heads by score. No causal evidence enters.',
};

/**
 * Fills in and checks settings.
 * @throws HeadscopeError `bad-setting`, naming it
 */
export function circuitSettings(given: Partial<CircuitSettings> = {}): CircuitSettings {
  const settings = { ...DEFAULTS[given.method ?? 'headscope'], ...withoutUndefined(given) };
  const whole = (
    name: 'latents' | 'epochs' | 'trainPrompts' | 'seeds' | 'seed' | 'permutations' | 'edges',
    from: number,
    to: number,
  ) => {
    const value = settings[name];
    if (!Number.isInteger(value) || value < from || value > to)
      bad(name, value, `a whole number from ${from} to ${to}`);
  };
  whole('latents', 2, 65536);
  whole('epochs', 1, 1e6);
  whole('trainPrompts', 1, 1e6);
  whole('seeds', 1, 1000);
  whole('permutations', 19, 1e6);
  whole('edges', 0, 1e6);
  whole('seed', -(2 ** 31), 2 ** 31 - 1);
  if (!(settings.lambda >= 0 && Number.isFinite(settings.lambda)))
    bad('lambda', settings.lambda, 'at least 0');
  if (!(settings.learningRate > 0 && settings.learningRate < 1))
    bad('learningRate', settings.learningRate, 'between 0 and 1');
  if (!(settings.fdr > 0 && settings.fdr <= 1)) bad('fdr', settings.fdr, 'above 0 and at most 1');
  return settings;
}

function withoutUndefined<T extends object>(given: T): Partial<T> {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Partial<T>;
}

function bad(name: string, value: unknown, wanted: string): never {
  throw new HeadscopeError(
    'bad-setting',
    `The circuit setting ${name} is ${String(value)}; it must be ${wanted}.`,
  );
}
