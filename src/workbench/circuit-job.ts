import { rocAuc } from '../analysis/circuits/auc.ts';
import { causalEffects, type CausalPair, type CausalResult } from '../analysis/circuits/causal.ts';
import { findCircuit, type CircuitResult } from '../analysis/circuits/circuit.ts';
import { collectHeadVectors, type PositionChoice } from '../analysis/circuits/collect.ts';
import { faithfulnessCurve, type FaithfulnessCurve } from '../analysis/circuits/faithfulness.ts';
import type { MetricName } from '../analysis/circuits/metric.ts';
import type { CircuitSettings } from '../analysis/circuits/settings.ts';
import { HeadscopeError } from '../errors.ts';
import { headName } from '../instrument/runner.ts';
import type { ResolvedPrompt } from '../text/resolve.ts';
import type { Workbench } from './workbench.ts';

export interface CircuitJob {
  readonly settings: Partial<CircuitSettings>;
  readonly position?: PositionChoice;
  /** Also ablate and patch every head, and measure faithfulness and completeness. */
  readonly verify?: boolean;
  /** Known circuit, by "layer/head". */
  readonly truth?: ReadonlyMap<string, boolean>;
}

export interface CircuitJobOptions {
  readonly signal?: AbortSignal;
  readonly onStep?: (title: string) => void;
  readonly onProgress?: (done: number, total: number) => void;
}

/** AUC of recovering a known circuit: of the mean over autoencoders, and of each. */
interface Recovery {
  readonly mean: number;
  readonly perSeed: readonly number[];
}

export interface CircuitOutcome {
  readonly circuit: CircuitResult;
  readonly position: PositionChoice;
  readonly causal?: CausalResult;
  readonly curve?: FaithfulnessCurve;
  readonly auc?: { readonly node: Recovery; readonly edge: Recovery };
}

/** Positives and negatives of a prompt set: pairs by `corrupt`, or two labelled groups. @throws HeadscopeError `no-negatives` */
function contrast(prompts: readonly ResolvedPrompt[]): {
  positives: (readonly number[])[];
  negatives: (readonly number[])[];
  pairs: ResolvedPrompt[];
} {
  const pairs = prompts.filter((prompt) => prompt.corruptIds !== undefined);
  if (pairs.length)
    return {
      positives: pairs.map(({ ids }) => ids),
      negatives: pairs.map(({ corruptIds }) => corruptIds!),
      pairs,
    };
  const labelled = (label: string): (readonly number[])[] =>
    prompts.filter(({ item }) => item.label === label).map(({ ids }) => ids);
  const positives = labelled('positive');
  const negatives = labelled('negative');
  if (!positives.length || !negatives.length) {
    throw new HeadscopeError(
      'no-negatives',
      'A circuit needs prompts on which the model cannot do the task: give each line a "corrupt" prompt, or label lines "positive" and "negative".',
    );
  }
  return { positives, negatives, pairs: [] };
}

/** The metric a set asks for; KL where nothing says what is right. */
function metricOf(pairs: readonly ResolvedPrompt[]): MetricName {
  const [first] = pairs;
  if (first.item.metric) return first.item.metric;
  return pairs.every(({ answers, distractors }) => answers.length && distractors.length)
    ? 'logit-difference'
    : 'kl';
}

/**
 * Finds a task's circuit and, when asked, checks it causally.
 * @throws HeadscopeError `no-negatives`, and what the methods throw
 */
export async function runCircuit(
  workbench: Workbench,
  prompts: readonly ResolvedPrompt[],
  job: CircuitJob,
  options: CircuitJobOptions = {},
): Promise<CircuitOutcome> {
  const { runner, device } = workbench.opened;
  const { signal, onProgress } = options;
  const position = job.position ?? 'mean';
  const { positives, negatives, pairs } = contrast(prompts);
  options.onStep?.('head outputs');
  const vectors = await collectHeadVectors(runner, [...positives, ...negatives], position, {
    signal,
    onProgress,
  });
  options.onStep?.('codes and scores');
  const circuit = await findCircuit(
    { vectors, positives: positives.length, negatives: negatives.length, paired: pairs.length > 0 },
    job.settings,
    device,
    {
      signal,
      onProgress: ({ done }) => onProgress?.(done, 1),
    },
  );
  const auc = job.truth && recovery(circuit, job.truth);
  if (!job.verify) return { circuit, position, ...(auc && { auc }) };
  if (pairs.length === 0)
    throw new HeadscopeError(
      'no-pairs',
      'A causal check needs pairs: give each line a "corrupt" prompt, or leave --verify out.',
    );
  const metric = metricOf(pairs);
  const causalPairs = pairs.map((prompt): CausalPair => ({
    clean: prompt.ids,
    corrupt: prompt.corruptIds!,
    targets: prompt,
  }));
  const aligned = pairs.every((prompt) => prompt.aligned);
  options.onStep?.('ablation and patching');
  const causal = await causalEffects(
    runner,
    causalPairs,
    { metric, interventions: aligned ? ['meanAblation', 'noising'] : ['meanAblation'] },
    { signal, onProgress },
  );
  options.onStep?.('faithfulness');
  const order = [...circuit.heads].sort((a, b) => b.score - a.score);
  const curve = await faithfulnessCurve(runner, causalPairs, order, { metric }, { signal, onProgress });
  return { circuit, position, causal, curve, ...(auc && { auc }) };
}

/** How well the scores and the votes recover a known circuit; undefined when the truth names no head in or none out of it. */
function recovery(circuit: CircuitResult, truth: ReadonlyMap<string, boolean>): CircuitOutcome['auc'] {
  const known = circuit.heads.map(({ layer, head }) => truth.get(`${layer}/${head}`));
  if (known.some((value) => value === undefined))
    throw new HeadscopeError(
      'bad-truth',
      'The circuit file does not say of every head of this model whether it is in the circuit.',
    );
  if (!known.includes(true) || !known.includes(false)) return undefined;
  const of = (overall: readonly number[], seeds: readonly ArrayLike<number>[]): Recovery => ({
    mean: rocAuc(overall, known as boolean[]),
    perSeed: seeds.map((scores) => rocAuc(scores, known as boolean[])),
  });
  return {
    node: of(
      circuit.heads.map(({ score }) => score),
      circuit.seeds.map(({ scores }) => scores),
    ),
    edge: of(
      circuit.heads.map(({ votes }) => votes),
      circuit.seeds.map(({ votes }) => votes),
    ),
  };
}

/** The `circuit` document of the command line. */
export function circuitDocument({ circuit, position, causal, curve, auc }: CircuitOutcome) {
  const effects = new Map(causal?.heads.map((head) => [headName(head), head.effects]));
  return {
    method: circuit.settings.method,
    about: circuit.method,
    settings: { ...circuit.settings, position },
    prompts: { positives: circuit.positives, negatives: circuit.negatives, labels: circuit.labels },
    heads: circuit.heads
      .map((head) => {
        const effect = effects.get(headName(head));
        return {
          name: headName(head),
          ...head,
          effect: effect
            ? {
                meanAblation: effect.meanAblation?.effect ?? null,
                patching: effect.noising?.effect ?? null,
                relative: {
                  meanAblation: effect.meanAblation?.relative ?? null,
                  patching: effect.noising?.relative ?? null,
                },
              }
            : null,
        };
      })
      .sort((a, b) => b.score - a.score),
    edges: circuit.edges,
    metric: causal
      ? { name: causal.metric, clean: causal.clean, corrupt: causal.corrupt, mean: causal.mean }
      : null,
    faithfulness: curve ?? null,
    auc: auc
      ? {
          node: auc.node.mean,
          edge: auc.edge.mean,
          perSeed: { node: auc.node.perSeed, edge: auc.edge.perSeed },
        }
      : null,
    losses: circuit.seeds.map(({ seed, losses, trainedOn }) => ({
      seed,
      first: losses[0],
      last: losses[losses.length - 1],
      trainedOn,
    })),
    timings: circuit.timings,
    warnings: circuit.warnings,
  };
}

export type CircuitDocument = ReturnType<typeof circuitDocument>;
