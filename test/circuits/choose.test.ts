import { describe, expect, it } from 'vitest';
import { chooseHeads, recovery, ruleOf } from '../../src/analysis/circuits/choose.ts';

describe('choosing heads from scores that are there', () => {
  const scores = [0.1, 2, 1, 2, 0.5];
  const q = [0.01, 0.01, 0.2, 0.06, 0.01];

  it('takes heads at the false-discovery rate among the upper half', () => {
    expect(chooseHeads({ by: 'fdr', fdr: 0.05 }, scores, q)).toEqual([false, true, false, false, false]);
    expect(chooseHeads({ by: 'fdr', fdr: 0.06 }, scores, q)).toEqual([false, true, false, true, false]);
  });

  it('takes heads by the softmax of the score', () => {
    const powers = scores.map(Math.exp);
    const sum = powers.reduce((a, b) => a + b, 0);
    const shares = powers.map((power) => power / sum);
    expect(chooseHeads({ by: 'softmax', theta: 0.2 }, scores, q)).toEqual(shares.map((share) => share > 0.2));
    expect(shares.filter((share) => share > 0.2)).toHaveLength(2);
    expect(chooseHeads({ by: 'softmax', theta: 0.9 }, [800, 1], [1, 1])).toEqual([true, false]);
  });

  it('takes heads above a score, and the strongest ones, the first of equals first', () => {
    expect(chooseHeads({ by: 'score', above: 1 }, scores, q)).toEqual([false, true, false, true, false]);
    expect(chooseHeads({ by: 'size', size: 1 }, scores, q)).toEqual([false, true, false, false, false]);
    expect(chooseHeads({ by: 'size', size: 3 }, scores, q)).toEqual([false, true, true, true, false]);
    expect(chooseHeads({ by: 'size', size: 0 }, scores, q)).not.toContain(true);
  });

  it('knows the rule of each method', () => {
    expect(ruleOf({ method: 'headscope', fdr: 0.1 }, 8)).toEqual({ by: 'fdr', fdr: 0.1 });
    expect(ruleOf({ method: 'published', fdr: 0.1 }, 8)).toEqual({ by: 'softmax', theta: 1 / 8 });
    expect(ruleOf({ method: 'published', fdr: 0.1, theta: 0.3 }, 8)).toEqual({ by: 'softmax', theta: 0.3 });
  });
});

describe('recovery of a known circuit', () => {
  it('counts found, missed and extra heads, and leaves out those that are not known', () => {
    const chosen = [true, true, true, false, true, false];
    const truth = [true, true, false, true, undefined, undefined];
    expect(recovery(chosen, truth)).toEqual({
      found: 2,
      missed: 1,
      extra: 1,
      precision: 2 / 3,
      recall: 2 / 3,
      f1: 2 / 3,
    });
  });

  it('has no precision without chosen heads, and no recall without heads that belong', () => {
    expect(recovery([false, false], [true, false])).toMatchObject({ precision: null, recall: 0, f1: 0 });
    expect(recovery([true, false], [false, false])).toMatchObject({ precision: 0, recall: null, f1: 0 });
    expect(recovery([false], [undefined]).f1).toBeNull();
  });
});
