import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bootstrapMean,
  intervalFromCounts,
  mean,
  median,
  pairedBootstrap,
  quantile,
  resampleCounts,
  standardDeviation,
} from '../../src/analysis/stats.ts';

interface Expected {
  values: number[];
  counts: number[];
  mean: number;
  sd: number;
  quantiles: Record<string, number>;
  interval: [number, number];
}
const { stats } = JSON.parse(readFileSync(new URL('expected.json', import.meta.url), 'utf8')) as {
  stats: Expected;
};

describe('statistics', () => {
  it('agree with NumPy on mean, standard deviation and quantiles', () => {
    expect(mean(stats.values)).toBeCloseTo(stats.mean, 12);
    expect(standardDeviation(stats.values)).toBeCloseTo(stats.sd, 12);
    for (const [q, value] of Object.entries(stats.quantiles))
      expect(quantile(stats.values, Number(q))).toBeCloseTo(value, 12);
    expect(median([3, 1, 2, 10])).toBe(2.5);
    expect(standardDeviation([4])).toBe(0);
    expect(() => mean([])).toThrow('no values');
  });

  it('give the interval that NumPy gives for the same resamples', () => {
    const interval = intervalFromCounts(stats.values, Uint16Array.from(stats.counts));
    expect(interval.mean).toBeCloseTo(stats.mean, 12);
    expect(interval.low).toBeCloseTo(stats.interval[0], 12);
    expect(interval.high).toBeCloseTo(stats.interval[1], 12);
  });

  it('resample as many items as there are, alike for the same seed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.nat(1000), (n, seed) => {
        const counts = resampleCounts(n, 5, seed);
        for (let s = 0; s < 5; s++)
          expect(counts.subarray(s * n, (s + 1) * n).reduce((a, b) => a + b, 0)).toBe(n);
        expect(resampleCounts(n, 5, seed)).toEqual(counts);
      }),
    );
  });

  it('keep the pairs of a paired bootstrap together', () => {
    const before = Array.from({ length: 30 }, (_, i) => 100 * Math.sin(i));
    const shifted = before.map((value) => value + 0.5);
    const gain = pairedBootstrap(before, shifted, { seed: 1 });
    // The examples differ wildly, their gains do not at all.
    expect(gain.mean).toBeCloseTo(0.5, 10);
    expect(gain.high - gain.low).toBeLessThan(1e-10);
    expect(() => pairedBootstrap([1], [1, 2])).toThrow('equal lengths');
  });

  it('cover the true mean about as often as they claim', () => {
    // 40 values of a fair coin: the 95 % interval must contain 0.5 in most of 200 draws.
    let covered = 0;
    for (let draw = 0; draw < 200; draw++) {
      const coins = resampleCounts(2, 40, draw).filter((_, i) => i % 2 === 0);
      const { low, high } = bootstrapMean(coins, { samples: 300, seed: draw });
      // Each count is binomial(2, 1/2), so its mean is 1.
      if (low <= 1 && high >= 1) covered++;
    }
    expect(covered).toBeGreaterThan(178);
    expect(covered).toBeLessThan(200);
  });
});
