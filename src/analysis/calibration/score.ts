import { HeadscopeError } from '../../errors.ts';
import { argmax, logSumExp } from '../lens/distribution.ts';
import { mean } from '../stats.ts';
import type { ResolvedPrompt } from '../../text/resolve.ts';

/** A prompt with its right next token, or tokens when several are right; with `choices` it is a multiple choice among these. */
export interface LabelledPrompt {
  readonly ids: readonly number[];
  readonly answers: readonly number[];
  /** Candidate next tokens, the answers among them. */
  readonly choices?: readonly number[];
}

/**
 * A resolved prompt set as labelled prompts; a choice of several tokens is told by its first.
 * @throws HeadscopeError `bad-example` when two choices of a prompt begin with the same token
 */
export function labelledPrompts(prompts: readonly ResolvedPrompt[]): LabelledPrompt[] {
  return prompts.map(({ ids, answers, choices }, i) => {
    const firsts = choices.map(([first]) => first);
    if (new Set(firsts).size < firsts.length) {
      throw new HeadscopeError(
        'bad-example',
        `Two choices of example ${i + 1} begin with the same token, so they cannot be told apart. Reword one of them.`,
      );
    }
    return { ids, answers, ...(firsts.length > 0 && { choices: firsts }) };
  });
}

export type Metric = 'accuracy' | 'logprob';

/** One score per example. */
export interface Scores {
  /** 1 when the model's most likely token is an answer, else 0. */
  readonly accuracy: Float64Array;
  /** Log-probability of the answers together over the whole vocabulary, in nats. */
  readonly logprob: Float64Array;
}

export interface MeanScores {
  readonly accuracy: number;
  readonly logprob: number;
}

export const newScores = (examples: number): Scores => ({
  accuracy: new Float64Array(examples),
  logprob: new Float64Array(examples),
});

export const copyScores = (scores: Scores): Scores => ({
  accuracy: scores.accuracy.slice(),
  logprob: scores.logprob.slice(),
});

export const meanScores = (scores: Scores): MeanScores => ({
  accuracy: mean(scores.accuracy),
  logprob: mean(scores.logprob),
});

/**
 * Scores one example from the logits of its last token, [vocab]. With choices the answer is right when its logit is the largest
 * among them (the authors compare log-probabilities over the choices, which order alike); without, when it is the largest of all.
 */
export function scoreInto(
  scores: Scores,
  index: number,
  example: LabelledPrompt,
  logits: Float32Array,
): void {
  const { answers, choices } = example;
  const chosen = choices === undefined ? argmax(logits) : choices[argmax(choices.map((id) => logits[id]))];
  scores.accuracy[index] = answers.includes(chosen) ? 1 : 0;
  scores.logprob[index] = logSumExp(answers.map((id) => logits[id])) - logSumExp(logits);
}

/** @throws HeadscopeError `bad-example`, naming the example by its number from 1 */
export function checkExamples(examples: readonly LabelledPrompt[], vocab: number): void {
  for (const [i, { ids, answers, choices }] of examples.entries()) {
    const fail = (what: string): never => {
      throw new HeadscopeError('bad-example', `Example ${i + 1} ${what}.`);
    };
    if (ids.length === 0) fail('has an empty prompt');
    if (answers.length === 0) fail('has no answer');
    for (const id of [...answers, ...(choices ?? [])])
      if (!Number.isInteger(id) || id < 0 || id >= vocab)
        fail(`has token ${id}, outside the vocabulary of ${vocab}`);
    if (choices === undefined) continue;
    if (!answers.every((id) => choices.includes(id))) fail('has an answer that is not among its choices');
    if (new Set(choices).size < choices.length)
      fail('has two choices that begin with the same token, so that they cannot be told apart');
  }
}
