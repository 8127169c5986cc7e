import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { effectiveRank, singularValues } from '../../src/analysis/profile/effective-rank.ts';
import { matchingScore } from '../../src/analysis/profile/matching.ts';
import {
  attentionDistance,
  duplicateTokenScore,
  inductionOffFirst,
  inductionScore,
  previousTokenScore,
  rowEntropy,
  shareOnFirst,
} from '../../src/analysis/profile/pattern-scores.ts';
import { roleOf } from '../../src/analysis/profile/role.ts';
import { WriteTally } from '../../src/analysis/profile/writes.ts';
import { Golden } from '../sinks/golden-runner.ts';

interface Expected {
  layer: number;
  head: number;
  previous: number;
  duplicate: number;
  entropy: number;
  distance: number;
  first: number;
  singular: [number, number, number, number];
  rank: number;
}
const expected = JSON.parse(readFileSync(new URL('expected.json', import.meta.url), 'utf8')) as Expected[];
const golden = new Golden('induction-2l');
const { ids } = golden.prompts[2];

// [bos] a b a b with rows written out.
const pattern = [
  [1, 0, 0, 0, 0],
  [0.5, 0.5, 0, 0, 0],
  [0.25, 0.5, 0.25, 0, 0],
  [0.5, 0.125, 0.25, 0.125, 0],
  [0, 0, 0.25, 0.5, 0.25],
].flat();

describe('pattern scores', () => {
  it('are right on a case worked by hand', () => {
    // Queries 3 and 4 should look at 2 and 3, the tokens after their first copies.
    expect(inductionScore(pattern, 5, 1, 2)).toBe((0.25 + 0.5) / 2);
    expect(inductionOffFirst(pattern, 5, 1, 2)).toBe((0.25 + 0.5) / (0.5 + 1));
    expect(previousTokenScore(pattern, 5)).toBe((0.5 + 0.5 + 0.25 + 0.5) / 4);
    // 3 repeats 1, 4 repeats 2.
    expect(duplicateTokenScore(pattern, [9, 4, 6, 4, 6])).toBe((0.125 + 0.25) / 2);
    expect(shareOnFirst(pattern, 5)).toBe((0.5 + 0.25 + 0.5 + 0) / 4);
    expect(rowEntropy(pattern, 5)).toBeCloseTo((0 + 1 + 1.5 + 1.75 + 1.5) / 5, 12);
    const distances = [0, 0.5, 0.5 + 0.5, 1.5 + 0.25 + 0.25, 0.5 + 0.5];
    expect(attentionDistance(pattern, 5)).toBeCloseTo(distances.reduce((a, b) => a + b, 0) / 5, 12);
  });

  it('count every earlier occurrence of a token, and nothing without one', () => {
    expect(duplicateTokenScore(pattern, [1, 2, 1, 3, 1])).toBe((0.25 + (0 + 0.25)) / 2);
    expect(duplicateTokenScore(pattern, [1, 2, 3, 4, 5])).toBeNull();
  });

  it.each(expected.map((head) => [`L${head.layer}H${head.head}`, head] as const))(
    'agree with NumPy on %s of induction-2l',
    (_, head) => {
      const a = golden.pattern(2, head.layer, head.head);
      expect(previousTokenScore(a, 32)).toBeCloseTo(head.previous, 6);
      expect(duplicateTokenScore(a, ids)).toBeCloseTo(head.duplicate, 6);
      expect(rowEntropy(a, 32)).toBeCloseTo(head.entropy, 5);
      expect(attentionDistance(a, 32)).toBeCloseTo(head.distance, 5);
      expect(shareOnFirst(a, 32)).toBeCloseTo(head.first, 6);
      const values = singularValues(a, 32);
      head.singular.forEach((value, i) => expect(values[i === 3 ? 31 : i]).toBeCloseTo(value, 6));
      expect(effectiveRank(a, 32)).toBeCloseTo(head.rank, 4);
    },
  );

  it('leave out of the sink-free induction score a head that never leaves position 0', () => {
    const rest = Array.from({ length: 25 }, (_, i) => Number(i % 5 === 0));
    expect(inductionOffFirst(rest, 5, 1, 2)).toBe(0);
  });
});

describe('effective rank', () => {
  it('is the size of an identity, 1 of equal rows, and between otherwise', () => {
    const identity = Array.from({ length: 16 }, (_, i) => Number(i % 5 === 0));
    expect(effectiveRank(identity, 4)).toBeCloseTo(4, 12);
    const equal = Array.from({ length: 16 }, (_, i) => [0.1, 0.2, 0.3, 0.4][i % 4]);
    expect(effectiveRank(equal, 4)).toBeCloseTo(1, 6);
    expect(effectiveRank(new Array(16).fill(0), 4)).toBe(0);
  });

  it('belongs to singular values that keep the Frobenius norm and survive transposition', () => {
    const entry = fc.float({ min: -5, max: 5, noNaN: true });
    fc.assert(
      fc.property(fc.array(entry, { minLength: 25, maxLength: 25 }), (matrix) => {
        const values = singularValues(matrix, 5);
        const squares = values.reduce((sum, x) => sum + x * x, 0);
        expect(squares).toBeCloseTo(
          matrix.reduce((sum, x) => sum + x * x, 0),
          6,
        );
        const flipped = Array.from({ length: 25 }, (_, i) => matrix[(i % 5) * 5 + Math.floor(i / 5)]);
        singularValues(flipped, 5).forEach((x, i) => expect(x).toBeCloseTo(values[i], 6));
      }),
    );
  });
});

describe('matching', () => {
  it('is how many deviations the repeated token’s score stands out', () => {
    // A segment of 3 at position 1. Query 4 gives its match, key 1, a 5; the others 1 and 3: mean 2, deviation 1.
    const scores = new Array<number>(49).fill(0);
    scores.splice(4 * 7, 5, 99, 5, 1, 3, 0);
    // Query 5: the others have no spread to measure by. Query 6: match -1, others 1, 3, 1, 3.
    scores.splice(5 * 7, 6, 99, 0, 7, 0, 0, 0);
    scores.splice(6 * 7, 7, 99, 1, 3, -1, 1, 3, 0);
    expect(matchingScore(scores, 7, 1, 3)).toBeCloseTo((3 + 0 - 3) / 3, 12);
  });
});

describe('what a head writes', () => {
  it('is the part of its result that varies, relative to the stream', () => {
    // Two positions, two dimensions: the constant part (5, 5) does not count.
    const result = [5 + 3, 5, 5 - 3, 5];
    const resid = [3, 4, 0, 5];
    const share = (...blocks: [number[], number[]][]): number => {
      const tally = new WriteTally(2);
      for (const [written, stream] of blocks) tally.add(written, stream);
      return tally.share();
    };
    expect(share([result, resid])).toBeCloseTo(Math.sqrt(18 / 50), 12);
    expect(share([[2, 7, 2, 7], resid])).toBe(0);
    expect(share([result, [0, 0, 0, 0]])).toBe(0);
    const apart: [number[], number[]][] = [
      [result.slice(0, 2), resid.slice(0, 2)],
      [result.slice(2), resid.slice(2)],
    ];
    expect(share(...apart)).toBeCloseTo(Math.sqrt(18 / 50), 12);
  });
});

describe('the role of a head', () => {
  const none = { inductionOffFirst: 0, previousToken: 0, duplicateToken: 0, first: 0 };
  it('is the clearest score', () => {
    expect(roleOf({ ...none, previousToken: 0.9, first: 0.1 })).toBe('previous-token');
    expect(roleOf({ ...none, duplicateToken: 0.5, previousToken: 0.45 })).toBe('duplicate-token');
    expect(roleOf({ ...none, previousToken: 0.3 })).toBeNull();
  });

  it('may be induction for a head that rests on the first token half of the time, not for one that hardly leaves it', () => {
    expect(roleOf({ ...none, inductionOffFirst: 0.9, first: 0.6 })).toBe('induction');
    expect(roleOf({ ...none, inductionOffFirst: 1, first: 0.95 })).toBe('sink');
  });
});
