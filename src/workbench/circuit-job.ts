import { rocAuc } from '../analysis/circuits/auc.ts';
import type { CausalResult } from '../analysis/circuits/causal.ts';
import type { CircuitResult } from '../analysis/circuits/circuit-types.ts';
import {
  circuitJob,
  type CircuitJobProgress,
  type CircuitJobSettings,
  type CircuitPrompts,
} from '../analysis/circuits/job.ts';
import type { MetricName } from '../analysis/circuits/metric.ts';
import { HeadscopeError } from '../errors.ts';
import { headName } from '../instrument/runner.ts';
import type { ResolvedPrompt } from '../text/resolve.ts';
import type { Workbench } from './workbench.ts';

/** A prompt set as positives and negatives: pairs by `corrupt`, or two labelled groups. @throws HeadscopeError `no-negatives` */
export function circuitPrompts(
  prompts: readonly ResolvedPrompt[],
): CircuitPrompts & { readonly metric: MetricName } {
  const pairs = prompts.filter((prompt) => prompt.corruptIds !== undefined);
  if (pairs.length > 0) {
    const targeted = pairs.every(({ answers, distractors }) => answers.length > 0 && distractors.length > 0);
    return {
      positives: pairs.map(({ ids }) => ids),
      negatives: pairs.map(({ corruptIds }) => corruptIds as readonly number[]),
      paired: true,
      targets: pairs,
      metric: targeted ? (pairs[0].item.metric ?? 'logit-difference') : 'kl',
    };
  }
  const labelled = (label: string): (readonly number[])[] =>
    prompts.filter(({ item }) => item.label === label).map(({ ids }) => ids);
  const positives = labelled('positive');
  const negatives = labelled('negative');
  if (positives.length === 0 || negatives.length === 0) {
    throw new HeadscopeError(
      'no-negatives',
      'A circuit needs prompts on which the model cannot do the task: give each line a "corrupt" prompt, or label lines "positive" and "negative".',
    );
  }
  return { positives, negatives, paired: false, metric: 'kl' };
}

export interface CircuitOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CircuitJobProgress) => void;
}

export interface CircuitOutcome {
  readonly document: CircuitReport;
  readonly result: CircuitResult;
  readonly causal?: CausalResult;
}

/** Finds the circuit of a prompt set and, when asked, checks it causally. @throws HeadscopeError `no-negatives`, and what the methods throw */
export async function runCircuit(
  workbench: Workbench,
  prompts: readonly ResolvedPrompt[],
  settings: CircuitJobSettings,
  options: CircuitOptions = {},
): Promise<CircuitOutcome> {
  const { runner, device } = workbench.opened;
  const { metric, ...contrast } = circuitPrompts(prompts);
  const { document, result, causal } = await circuitJob(
    runner,
    device,
    contrast,
    { metric, ...settings },
    options,
  );
  const heads = document.heads
    .map((head) => ({ name: headName(head), ...head }))
    .sort((a, b) => b.score - a.score);
  const { auc, ...rest } = document;
  const recovered = auc && settings.truth && { ...auc, perSeed: aucPerSeed(result, settings.truth) };
  return { document: { ...rest, heads, ...(recovered && { auc: recovered }) }, result, causal };
}

/** How well each autoencoder alone recovers a known circuit: the spread that methods are compared by. */
function aucPerSeed(
  { heads, seeds }: CircuitResult,
  truth: ReadonlyMap<string, boolean>,
): { node: number[]; edge: number[] } {
  const known = heads.flatMap(({ layer, head }, i) => (truth.has(`${layer}/${head}`) ? [i] : []));
  const sides = known.map((i) => truth.get(`${heads[i].layer}/${heads[i].head}`) as boolean);
  const of = (values: ArrayLike<number>): number =>
    rocAuc(
      known.map((i) => values[i]),
      sides,
    );
  return { node: seeds.map(({ scores }) => of(scores)), edge: seeds.map(({ votes }) => of(votes)) };
}

type Document = Awaited<ReturnType<typeof circuitJob>>['document'];

/** The `circuit` document of the command line: heads by score, strongest first. */
export type CircuitReport = Omit<Document, 'heads' | 'auc'> & {
  readonly heads: readonly (Document['heads'][number] & { readonly name: string })[];
  readonly auc?: {
    readonly node: number;
    readonly edge: number;
    readonly perSeed: { readonly node: readonly number[]; readonly edge: readonly number[] };
  };
};
