import { HeadscopeError } from '../../errors.ts';

/** How well a prediction does the task; names as in prompt sets. */
export type MetricName = 'logit-difference' | 'probability-difference' | 'kl';

/** What a prompt's right and wrong answers are, as token ids. */
export interface Targets {
  readonly answers: readonly number[];
  readonly distractors: readonly number[];
}

const meanAt = (values: ArrayLike<number>, ids: readonly number[]): number =>
  ids.reduce((sum, id) => sum + values[id], 0) / ids.length;

/** Natural logarithm of the softmax. [vocab] */
export function logSoftmax(logits: ArrayLike<number>): Float64Array {
  let top = -Infinity;
  for (let i = 0; i < logits.length; i++) top = Math.max(top, logits[i]);
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i] - top);
  const norm = top + Math.log(sum);
  return Float64Array.from(logits, (value) => value - norm);
}

/** Mean logit of the answers − mean logit of the distractors. */
export function logitDifference(logits: ArrayLike<number>, targets: Targets): number {
  needTargets(logits, targets);
  return meanAt(logits, targets.answers) - meanAt(logits, targets.distractors);
}

/** Σ p(answers) − Σ p(distractors), softmax over the whole vocabulary. */
export function probabilityDifference(logits: ArrayLike<number>, targets: Targets): number {
  needTargets(logits, targets);
  const logP = logSoftmax(logits);
  const total = (ids: readonly number[]) => ids.reduce((sum, id) => sum + Math.exp(logP[id]), 0);
  return total(targets.answers) - total(targets.distractors);
}

/** KL(p ‖ q) in nats of the predictions of two logit vectors. */
export function klDivergence(p: ArrayLike<number>, q: ArrayLike<number>): number {
  const logP = logSoftmax(p);
  const logQ = logSoftmax(q);
  let sum = 0;
  for (let i = 0; i < logP.length; i++)
    if (logP[i] > -Infinity) sum += Math.exp(logP[i]) * (logP[i] - logQ[i]);
  return Math.max(0, sum);
}

/**
 * The metric as one number per prediction.
 *
 * `kl` is −KL(clean ‖ prediction), so that greater is better for it too; the clean prediction itself scores 0.
 * @param logits [vocab] at the last position
 * @param clean [vocab] of the unedited clean prompt
 * @throws HeadscopeError `no-targets` when the metric needs answers and distractors that the prompt lacks
 */
export function score(
  metric: MetricName,
  logits: ArrayLike<number>,
  targets: Targets,
  clean: ArrayLike<number>,
): number {
  if (metric === 'logit-difference') return logitDifference(logits, targets);
  return metric === 'kl' ? -klDivergence(clean, logits) : probabilityDifference(logits, targets);
}

function needTargets(logits: ArrayLike<number>, { answers, distractors }: Targets): void {
  if (answers.length === 0 || distractors.length === 0)
    throw new HeadscopeError(
      'no-targets',
      'This metric needs an answer and a distractor for every prompt; a prompt has none. Add them or use the metric kl.',
    );
  for (const id of [...answers, ...distractors])
    if (!(id >= 0 && id < logits.length))
      throw new HeadscopeError(
        'no-targets',
        `The answer token ${id} is not in the vocabulary of ${logits.length}.`,
      );
}
