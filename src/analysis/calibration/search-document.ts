import type { HeadRef, LayerIndex } from '../../instrument/runner.ts';
import { sinkThreshold, type SinkRule } from '../sinks/by-attention.ts';
import type { ActCalibration } from './saved.ts';
import type { LabelledPrompt, MeanScores, Metric } from './score.ts';

export interface ActSearchSettings extends SinkRule {
  readonly beta?: number;
  /** Layers searched. Default 2 … L − 2 as published, all in models of fewer than five. */
  readonly layers?: readonly LayerIndex[];
  /** What a head must improve. Default accuracy, as published. */
  readonly metric?: Metric;
  /** `interval` (default): the bootstrap interval of the gain lies above 0. `gain`: the gain does, as published. */
  readonly keep?: 'interval' | 'gain';
  /** `union` (default, published): all kept heads together. `greedy`: added best first, each only if the score still rises. */
  readonly combine?: 'union' | 'greedy';
  /** Share of the examples held out of the search. Default 0.5. */
  readonly heldOut?: number;
  /** Bootstrap resamples. Default 2000. */
  readonly samples?: number;
  readonly seed?: number;
}

export interface HeadGain extends HeadRef {
  readonly name: string;
  /** Mean change of the metric over the search examples. */
  readonly gain: number;
  readonly ci95: readonly [number, number];
  readonly accuracyGain: number;
  /** Nats. */
  readonly logprobGain: number;
  readonly kept: boolean;
  /** Search examples in which the head has a sink to calibrate. */
  readonly examplesWithSinks: number;
  readonly note: string | null;
}

/** The `calibrate act` document of the command line. */
export interface ActSearch {
  readonly settings: {
    readonly metric: Metric;
    readonly keep: string;
    readonly combine: string;
    readonly layers: readonly LayerIndex[];
    readonly seed: number;
  };
  readonly examples: { readonly search: number; readonly heldOut: number };
  /** Scores of the uncalibrated model on the search examples. */
  readonly baseline: MeanScores;
  readonly heads: readonly HeadGain[];
  /** Heads whose interval would lie above 0 if no head had any effect on average: 2.5 % of the heads with sinks. */
  readonly keptByChance: number;
  /** Scores with the chosen heads together, on the search examples: optimistic, since the heads were chosen on them. */
  readonly calibrated: MeanScores & { readonly heads: readonly string[] };
  /** The honest comparison, on examples that played no part in the choice. */
  readonly heldOut: {
    readonly baseline: MeanScores;
    readonly calibrated: MeanScores;
    readonly gain: number;
    readonly ci95: readonly [number, number];
  };
  readonly calibration: ActCalibration;
  readonly notes: readonly string[];
}

/** What a person should know before trusting a head search. */
export function searchNotes(search: {
  /** The note on the layers searched. */
  readonly layers: string | null;
  readonly examples: readonly LabelledPrompt[];
  readonly rule: SinkRule;
  /** Heads with a sink in some example. */
  readonly searched: number;
  readonly kept: number;
  readonly keep: 'interval' | 'gain';
}): string[] {
  const { layers, examples, rule, searched, kept, keep } = search;
  const out = layers === null ? [] : [layers];
  const chance = (keep === 'interval' ? 0.025 : 0.5) * searched;
  if (searched === 0)
    out.push(
      'No head searched has a sink other than the first token in any example: there is nothing to calibrate.',
    );
  else
    out.push(
      `${kept} of ${searched} heads with sinks were kept; if calibration had no effect at all, about ${chance.toFixed(1)} would be kept by chance. Trust the held-out gain.`,
    );
  const tooShort = examples.filter(({ ids }) => !sinkThreshold(ids.length, rule).reachable).length;
  if (tooShort > 0)
    out.push(
      `${tooShort} of ${examples.length} prompts are so short that alpha / T is 1 or more: no sink can be found in them.`,
    );
  if (examples.length < 20)
    out.push(
      `The search used ${examples.length} examples; a bootstrap interval of so few is too narrow to rely on.`,
    );
  return out;
}
