import { describe, expect, it } from 'vitest';
import { rocAuc } from '../../src/analysis/circuits/auc.ts';
import {
  falseDiscoveryRates,
  labelPermutations,
  permutationTest,
  testAgainstNull,
} from '../../src/analysis/circuits/permutation.ts';
import { observedLabels, type Labels } from '../../src/analysis/circuits/scores.ts';
import { spearman } from '../../src/analysis/circuits/verify.ts';
import { seededRandom } from '../../src/random.ts';

describe('label permutations', () => {
  const rows = ({ count, prompts, labels }: ReturnType<typeof labelPermutations>): number[][] =>
    Array.from({ length: count }, (_, p) => [...labels.subarray(p * prompts, (p + 1) * prompts)]);

  it('swaps labels within pairs', () => {
    const permutations = labelPermutations(12, 12, true, 200, seededRandom(1));
    expect(permutations.kind).toBe('paired');
    for (const row of rows(permutations)) for (let i = 0; i < 12; i++) expect(row[i] + row[12 + i]).toBe(1);
    const swaps = rows(permutations).flatMap((row) => row.slice(0, 12));
    expect(swaps.reduce((a, b) => a + b, 0) / swaps.length).toBeCloseTo(0.5, 1);
  });

  it.each([
    ['unpaired prompts', 20, 15, false],
    ['too few pairs', 6, 6, true],
  ])('shuffles labels over all prompts: %s', (_, positives, negatives, paired) => {
    const permutations = labelPermutations(positives, negatives, paired, 50, seededRandom(1));
    expect(permutations.kind).toBe('unpaired');
    for (const row of rows(permutations)) expect(row.reduce((a, b) => a + b, 0)).toBe(positives);
    expect(new Set(rows(permutations).map(String)).size).toBeGreaterThan(45);
  });
});

describe('permutation test', () => {
  it('counts the observed arrangement among the permutations', () => {
    // Null 1, 2, 3, 4: observed 3 is reached by two of four. Mean 2.5, sample sd sqrt(5/3).
    const { p, z } = testAgainstNull(3, Float64Array.of(1, 2, 3, 4));
    expect(p).toBe(3 / 5);
    expect(z).toBeCloseTo(0.5 / Math.sqrt(5 / 3), 12);
    expect(testAgainstNull(9, Float64Array.of(1, 2, 3, 4)).p).toBe(1 / 5);
    expect(testAgainstNull(2, Float64Array.of(2, 2, 2))).toEqual({ p: 1, z: 0 });
  });

  const meanDifference = (values: readonly number[]) => (labels: Labels) =>
    values.reduce((sum, value, i) => sum + (labels[i] ? value : -value), 0);

  it.each([
    ['paired', 16],
    ['unpaired', 8],
  ])('gives uniform p-values where labels mean nothing (%s)', (kind, pairs) => {
    const random = seededRandom(7);
    const ps: number[] = [];
    for (let trial = 0; trial < 400; trial++) {
      const permutations = labelPermutations(pairs, pairs, true, 99, random);
      expect(permutations.kind).toBe(kind);
      const values = Array.from({ length: 2 * pairs }, () => random.normal());
      const statistic = meanDifference(values);
      ps.push(permutationTest(statistic, statistic(observedLabels(pairs, pairs)), permutations).p);
    }
    // Kolmogorov–Smirnov distance from uniform on 0.01 … 1; 0.085 is the 0.5 % point for 400 values.
    ps.sort((a, b) => a - b);
    const distance = Math.max(
      ...ps.map((p, i) => Math.max(Math.abs((i + 1) / 400 - p), Math.abs(p - i / 400))),
    );
    expect(distance).toBeLessThan(0.085);
  });

  it('is small where they do', () => {
    const random = seededRandom(3);
    const values = Array.from({ length: 40 }, (_, i) => random.normal() + (i < 20 ? 2 : 0));
    const statistic = meanDifference(values);
    const permutations = labelPermutations(20, 20, true, 999, random);
    const { p, z } = permutationTest(statistic, statistic(observedLabels(20, 20)), permutations);
    expect(p).toBe(1 / 1000);
    expect(z).toBeGreaterThan(3);
  });
});

it('false-discovery rates follow Benjamini and Hochberg’s steps', () => {
  const p = [0.04, 0.005, 0.9, 0.02, 0.03];
  // Sorted 0.005, 0.02, 0.03, 0.04, 0.9 times 5/rank: 0.025, 0.05, 0.05, 0.05, 0.9, already rising.
  const q = falseDiscoveryRates(p);
  [0.05, 0.025, 0.9, 0.05, 0.05].forEach((want, i) => expect(q[i]).toBeCloseTo(want, 12));
  // 0.01·3/1 = 0.03 and 0.02·3/2 = 0.03; 0.021·3/3 = 0.021 pulls both down.
  expect(falseDiscoveryRates([0.01, 0.02, 0.021])[0]).toBeCloseTo(0.021, 12);
  expect([...falseDiscoveryRates([1, 1])]).toEqual([1, 1]);
  expect(falseDiscoveryRates([])).toHaveLength(0);
});

describe('ROC AUC', () => {
  const bruteForce = (scores: number[], truth: boolean[]): number => {
    let sum = 0;
    let pairs = 0;
    scores.forEach((a, i) =>
      scores.forEach((b, j) => {
        if (!truth[i] || truth[j]) return;
        pairs++;
        sum += a > b ? 1 : a === b ? 0.5 : 0;
      }),
    );
    return sum / pairs;
  };

  it('equals counting all pairs, ties included', () => {
    const random = seededRandom(5);
    for (let trial = 0; trial < 200; trial++) {
      const n = 2 + random.int(20);
      const scores = Array.from({ length: n }, () => random.int(5) - 2);
      const truth = Array.from({ length: n }, () => random.int(2) === 1);
      truth[0] = true;
      truth[1] = false;
      expect(rocAuc(scores, truth)).toBeCloseTo(bruteForce(scores, truth), 12);
    }
  });

  it('says what is wrong with its input', () => {
    expect(() => rocAuc([1, 2], [true])).toThrow(/one truth value/);
    expect(() => rocAuc([1, 2], [true, true])).toThrow(/one side/);
    expect(() => rocAuc([1, Number.NaN], [true, false])).toThrow(/NaN/);
  });
});

it('Spearman’s correlation shares ranks among ties', () => {
  expect(spearman([1, 2, 3, 4], [10, 20, 30, 40])).toBeCloseTo(1, 12);
  expect(spearman([1, 2, 3], [3, 2, 1])).toBeCloseTo(-1, 12);
  // Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: covariance 4.5, variances 4.5 and 5.
  expect(spearman([1, 5, 5, 9], [1, 2, 3, 4])).toBeCloseTo(4.5 / Math.sqrt(4.5 * 5), 12);
  expect(spearman([1, 1], [1, 2])).toBe(0);
});
