import { expect, it } from 'vitest';
import {
  klDivergence,
  logitDifference,
  logSoftmax,
  probabilityDifference,
  score,
} from '../../src/analysis/circuits/metric.ts';

/** Logits whose probabilities are 1/2, 1/4, 1/8, 1/8; shifted, which must not matter. */
const logits = Float32Array.of(Math.log(4) + 90, Math.log(2) + 90, 90, 90);

it('logit difference is between means over the answer and the distractor tokens', () => {
  expect(logitDifference([1, 5, 2, 8], { answers: [1], distractors: [0, 2] })).toBe(5 - 1.5);
  expect(logitDifference([1, 5, 2, 8], { answers: [1, 3], distractors: [0] })).toBe(6.5 - 1);
});

it('probability difference is between sums over the answer and the distractor tokens', () => {
  const targets = { answers: [0, 2], distractors: [1] };
  expect(probabilityDifference(logits, targets)).toBeCloseTo(1 / 2 + 1 / 8 - 1 / 4, 5);
});

it('softmax does not overflow, and KL is that of the definition', () => {
  expect(Math.exp(logSoftmax(logits)[1])).toBeCloseTo(1 / 4, 5);
  // KL between (1/2, 1/4, 1/8, 1/8) and the uniform distribution: log 4 minus its entropy of 1.75 bits.
  expect(klDivergence(logits, [0, 0, 0, 0])).toBeCloseTo(Math.log(4) - 1.75 * Math.log(2), 5);
  expect(klDivergence(logits, logits)).toBe(0);
  expect(klDivergence([0, -Infinity], [0, 0])).toBeCloseTo(Math.log(2), 12);
});

it('scores by name and names missing answers', () => {
  const none = { answers: [], distractors: [] };
  expect(score('kl', [0, 0, 0, 0], none, logits)).toBeCloseTo(1.75 * Math.log(2) - Math.log(4), 5);
  expect(score('logit-difference', [1, 3], { answers: [1], distractors: [0] }, [0, 0])).toBe(2);
  expect(() => score('probability-difference', logits, none, logits)).toThrow(/needs an answer/);
  expect(() => logitDifference([1, 2], { answers: [5], distractors: [0] })).toThrow(/not in the vocabulary/);
});
