import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { argmax, klDivergence, logSumExp, rankOf, topTokens } from '../../src/analysis/lens/distribution.ts';

const anyLogits = fc.array(fc.float({ min: -50, max: 50, noNaN: true }), { minLength: 2, maxLength: 30 });

describe('a row of logits', () => {
  it('has a log-sum-exp that does not overflow', () => {
    expect(logSumExp([0, 0])).toBeCloseTo(Math.log(2), 12);
    expect(logSumExp([1000, 1000])).toBeCloseTo(1000 + Math.log(2), 9);
    expect(logSumExp([-1000, 0])).toBe(0);
    expect(logSumExp([-Infinity, 0])).toBe(0);
    expect(logSumExp([-Infinity])).toBe(-Infinity);
  });

  it('ranks tokens from 0', () => {
    expect([2, 0, 1].map((id) => rankOf([0.5, -1, 3], id))).toEqual([0, 1, 2]);
    expect(argmax([1, 7, 7, 2])).toBe(1);
  });

  it('lists its top tokens with log-probabilities', () => {
    const top = topTokens([Math.log(1), Math.log(5), Math.log(4)], 2);
    expect(top.map(({ id }) => id)).toEqual([1, 2]);
    expect(top[0].logprob).toBeCloseTo(Math.log(0.5), 12);
    expect(top[1].logprob).toBeCloseTo(Math.log(0.4), 12);
  });

  it('gives the same top tokens as sorting', () => {
    fc.assert(
      fc.property(anyLogits, fc.integer({ min: 1, max: 12 }), (logits, count) => {
        const sorted = [...logits.keys()].sort((a, b) => logits[b] - logits[a] || a - b).slice(0, count);
        expect(topTokens(logits, count).map(({ id }) => id)).toEqual(sorted);
      }),
    );
  });
});

describe('KL divergence', () => {
  it('is right for two coins', () => {
    const nats = 0.5 * Math.log(0.5 / 0.9) + 0.5 * Math.log(0.5 / 0.1);
    expect(klDivergence([0, 0], [Math.log(9), 0])).toBeCloseTo(nats, 12);
  });

  it('is never negative, 0 to itself, and blind to a shift of all logits', () => {
    fc.assert(
      fc.property(anyLogits, fc.float({ min: -9, max: 9, noNaN: true }), (logits, shift) => {
        const moved = logits.map((x) => x + shift);
        const reversed = [...logits].reverse();
        expect(klDivergence(logits, reversed)).toBeGreaterThanOrEqual(0);
        expect(klDivergence(logits, moved)).toBeLessThan(1e-9);
        expect(klDivergence(moved, reversed)).toBeCloseTo(klDivergence(logits, reversed), 8);
      }),
    );
  });
});
