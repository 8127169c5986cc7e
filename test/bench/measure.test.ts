import { describe, expect, it } from 'vitest';
import { interleave, interleaveWithin, quantile, ratio } from './measure.ts';

describe('interleave', () => {
  it('runs cases in turn, every second round backwards, and does not count the warm-up', async () => {
    const order: string[] = [];
    const note = (name: string) => () => {
      order.push(name);
      return Promise.resolve(order.length);
    };
    const times = await interleave(
      { a: note('a'), b: note('b'), c: note('c') },
      { clock: 'elapsed', rounds: 2, warmUp: 1, pause: 0 },
    );
    expect(order.join('')).toBe('cbaabccba');
    expect(times).toEqual({ a: [4, 9], b: [5, 8], c: [6, 7] });
  });

  it('times what gives no time of its own', async () => {
    const wait = (ms: number) => () => new Promise<void>((resolve) => setTimeout(resolve, ms));
    const { short, long } = await interleave(
      { short: wait(5), long: wait(60) },
      { clock: 'elapsed', rounds: 3, warmUp: 0, pause: 0 },
    );
    expect(ratio(long, short).median).toBeGreaterThan(2);
  });
});

describe('interleaveWithin', () => {
  const cases = (ms: number) => ({
    a: () => new Promise<void>((resolve) => setTimeout(resolve, ms)),
  });

  it('runs as many rounds as fit, within its bounds', async () => {
    const budget = { clock: 'elapsed', seconds: 0.001 } as const;
    expect((await interleaveWithin(cases(1), { ...budget, rounds: [2, 5] })).a).toHaveLength(2);
    expect((await interleaveWithin(cases(1), { ...budget, seconds: 60, rounds: [2, 3] })).a).toHaveLength(3);
  });
});

describe('ratio', () => {
  it('is taken round by round, so that a slow round does not count', () => {
    const { median, spread, best } = ratio([10, 20, 300, 40], [5, 10, 100, 20]);
    expect(median).toBe(2);
    expect(spread).toEqual([2, 2.25]);
    expect(best).toBe(2);
  });

  it('interpolates quantiles as NumPy does', () => {
    // numpy.quantile([3, 1, 4, 1, 5], [0, .1, .5, .8, 1])
    expect([0, 0.1, 0.5, 0.8, 1].map((p) => quantile([3, 1, 4, 1, 5], p))).toEqual([
      1,
      1,
      3,
      expect.closeTo(4.2),
      5,
    ]);
  });
});
