import { HeadscopeError } from '../../errors.ts';
import { headName, type HeadRef, type Runner } from '../../instrument/runner.ts';
import type { Device } from '../../runtime/device.ts';
import { rocAuc } from './auc.ts';
import { causalEffects, type CausalPair, type CausalResult } from './causal.ts';
import { findCircuit } from './circuit.ts';
import type { CircuitEdge, CircuitHead, CircuitResult } from './circuit-types.ts';
import { collectHeadVectors, type PositionChoice } from './collect.ts';
import { faithfulnessCurve, type FaithfulnessCurve } from './faithfulness.ts';
import type { MetricName, Targets } from './metric.ts';
import type { CircuitSettings } from './settings.ts';
import { agreement, type Agreement } from './verify.ts';

/** Prompts of a task as token ids, special tokens included. */
export interface CircuitPrompts {
  readonly positives: readonly (readonly number[])[];
  readonly negatives: readonly (readonly number[])[];
  /** The i-th negative is the i-th positive, corrupted; causal checks need it. */
  readonly paired: boolean;
  /** Right and wrong answers of each positive; causal checks by logit or probability difference need them. */
  readonly targets?: readonly Targets[];
}

export interface CircuitJobSettings extends Partial<CircuitSettings> {
  /** Which positions stand for a prompt. Default: the mean over all, as published. */
  readonly position?: PositionChoice;
  /** Check causally: mean ablation and patching of every head, faithfulness and completeness. */
  readonly verify?: boolean;
  /** Pairs to check causally, from the first; all when absent. Each costs two runs of the model per head. */
  readonly verifyPairs?: number;
  /** Metric of the causal check; logit difference by default. */
  readonly metric?: MetricName;
  /** Known circuit by "layer/head"; heads it does not name are left out. */
  readonly truth?: ReadonlyMap<string, boolean>;
}

/** Change of the metric by each intervention, and as a share of clean − corrupt. */
export interface HeadEffect {
  readonly meanAblation: number;
  readonly meanAblationRelative: number | null;
  /** Absent when a pair's prompts differ in length. */
  readonly patching?: number;
  readonly patchingRelative?: number | null;
}

/** The JSON document of `headscope circuit`: plain numbers and strings only. */
export interface CircuitDocument {
  readonly method: string;
  readonly settings: CircuitSettings & { readonly position: PositionChoice };
  readonly prompts: {
    readonly positives: number;
    readonly negatives: number;
    readonly labels: 'paired' | 'unpaired';
  };
  readonly heads: readonly (CircuitHead & { readonly effect?: HeadEffect })[];
  readonly edges: readonly CircuitEdge[];
  readonly faithfulness?: FaithfulnessCurve;
  readonly causal?: {
    readonly metric: MetricName;
    readonly pairs: number;
    readonly clean: number;
    readonly corrupt: number;
    readonly mean: CausalResult['mean'];
    readonly agreement: Agreement;
  };
  readonly auc?: { readonly node: number; readonly edge: number };
  readonly warnings: readonly string[];
  /** Milliseconds. */
  readonly timings: CircuitResult['timings'] & {
    readonly collect: number;
    readonly causal: number;
    readonly total: number;
  };
}

export interface CircuitJobProgress {
  readonly stage: 'collect' | 'training' | 'tests' | 'causal' | 'curve';
  /** Part of the whole job that is done, 0 … 1. */
  readonly done: number;
  readonly seed?: number;
  readonly epoch?: number;
  readonly loss?: number;
}

export interface CircuitJobOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CircuitJobProgress) => void;
}

/** Rough shares of the time, for one bar over all parts. */
const SHARES = { collect: 0.03, circuit: 0.6, causal: 0.27, curve: 0.1 };

/**
 * The whole of `headscope circuit`: outputs of all heads, circuit, and if asked the causal check.
 * @returns the document, and what a screen shows besides: codes and loss curves
 * @throws HeadscopeError `no-pairs` when `verify` is asked of unpaired prompts, and what `findCircuit`, `causalEffects` and
 * `faithfulnessCurve` throw
 */
export async function circuitJob(
  runner: Runner,
  device: Device,
  prompts: CircuitPrompts,
  settings: CircuitJobSettings = {},
  options: CircuitJobOptions = {},
): Promise<{ document: CircuitDocument; result: CircuitResult; causal?: CausalResult }> {
  const {
    position = 'mean',
    verify = false,
    verifyPairs,
    metric = 'logit-difference',
    truth,
    ...rest
  } = settings;
  const pairs = verify ? causalPairs(prompts, metric).slice(0, verifyPairs) : [];
  const { signal } = options;
  const began = performance.now();
  const whole = verify ? 1 : SHARES.collect + SHARES.circuit;
  const rows = (stage: 'collect' | 'causal' | 'curve', before: number) => (done: number, total: number) =>
    options.onProgress?.({ stage, done: (before + (SHARES[stage] * done) / total) / whole });

  const both = [...prompts.positives, ...prompts.negatives];
  const vectors = await collectHeadVectors(runner, device, both, position, {
    signal,
    onProgress: rows('collect', 0),
  });
  const collect = performance.now() - began;
  const result = await findCircuit(
    {
      vectors,
      positives: prompts.positives.length,
      negatives: prompts.negatives.length,
      paired: prompts.paired,
    },
    rest,
    device,
    {
      signal,
      onProgress: (progress) =>
        options.onProgress?.({
          ...progress,
          done: (SHARES.collect + SHARES.circuit * progress.done) / whole,
        }),
    },
  );

  const checked = performance.now();
  const warnings = [...result.warnings];
  let causal: CausalResult | undefined;
  let faithfulness: FaithfulnessCurve | undefined;
  if (verify) {
    const before = SHARES.collect + SHARES.circuit;
    const aligned = pairs.every(({ clean, corrupt }) => clean.length === corrupt.length);
    if (!aligned)
      warnings.push('Some pairs have prompts of different length: heads were ablated but not patched.');
    causal = await causalEffects(
      runner,
      pairs,
      { metric, interventions: aligned ? ['meanAblation', 'noising'] : ['meanAblation'] },
      { signal, onProgress: rows('causal', before) },
    );
    const order: HeadRef[] = [...result.heads].sort((a, b) => b.score - a.score);
    faithfulness = await faithfulnessCurve(
      runner,
      pairs,
      order,
      { metric },
      {
        signal,
        onProgress: rows('curve', before + SHARES.causal),
      },
    );
  }
  const now = performance.now();
  const effects = new Map(causal?.heads.map((head) => [headName(head), effectOf(head)]));
  const document: CircuitDocument = {
    method: result.method,
    settings: { ...result.settings, position },
    prompts: { positives: result.positives, negatives: result.negatives, labels: result.labels },
    heads: result.heads.map((head) => ({ ...head, ...(causal && { effect: effects.get(headName(head)) }) })),
    edges: result.edges,
    ...(faithfulness && { faithfulness }),
    ...(causal && {
      causal: {
        metric,
        pairs: causal.pairs,
        clean: causal.clean,
        corrupt: causal.corrupt,
        mean: causal.mean,
        agreement: agreement(result.heads, causal),
      },
    }),
    ...(truth && { auc: aucAgainst(result.heads, truth) }),
    warnings,
    timings: { collect, ...result.timings, causal: verify ? now - checked : 0, total: now - began },
  };
  return { document, result, causal };
}

/**
 * ROC AUC of scores and of votes against a known circuit.
 * @param truth by "layer/head"
 * @throws HeadscopeError `bad-truth` when it names none of the heads, `no-data` when all heads it names are on one side
 */
export function aucAgainst(
  heads: readonly CircuitHead[],
  truth: ReadonlyMap<string, boolean>,
): { node: number; edge: number } {
  const known = heads.filter(({ layer, head }) => truth.has(`${layer}/${head}`));
  if (known.length === 0)
    throw new HeadscopeError(
      'bad-truth',
      'The truth names none of this model’s heads; is it of another model?',
    );
  const sides = known.map(({ layer, head }) => truth.get(`${layer}/${head}`)!);
  return {
    node: rocAuc(
      known.map(({ score }) => score),
      sides,
    ),
    edge: rocAuc(
      known.map(({ votes }) => votes),
      sides,
    ),
  };
}

function effectOf({ effects }: CausalResult['heads'][number]): HeadEffect {
  const { meanAblation, noising } = effects;
  return {
    meanAblation: meanAblation!.effect,
    meanAblationRelative: meanAblation!.relative,
    ...(noising && { patching: noising.effect, patchingRelative: noising.relative }),
  };
}

const NO_TARGETS: Targets = { answers: [], distractors: [] };

function causalPairs(prompts: CircuitPrompts, metric: MetricName): CausalPair[] {
  if (!prompts.paired)
    throw new HeadscopeError(
      'no-pairs',
      'A causal check needs each prompt with its corrupted twin; these prompts come without pairs. Leave it out, or give "corrupt".',
    );
  if (metric !== 'kl' && prompts.targets === undefined)
    throw new HeadscopeError(
      'no-targets',
      'A causal check needs an answer and a distractor for every prompt, or the metric kl.',
    );
  return prompts.positives.map((clean, i) => ({
    clean,
    corrupt: prompts.negatives[i],
    targets: prompts.targets?.[i] ?? NO_TARGETS,
  }));
}
