import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  meanAttentionTo,
  meanReceived,
  sinksByAttention,
  sinkThreshold,
  uniformReceived,
  withoutPadding,
} from '../../src/analysis/sinks/by-attention.ts';
import { Golden } from './golden-runner.ts';

const expected = JSON.parse(readFileSync(new URL('expected.json', import.meta.url), 'utf8')) as {
  uniform: number[];
  'sink-3l': { received: number[][][] };
  'sink-delim-2l': { received: number[][][] };
};

// Three queries over three keys, causal.
const pattern = [1, 0, 0, 0.75, 0.25, 0, 0.5, 0.25, 0.25];

describe('mean attention received', () => {
  it('is the mean over the queries that may see the key', () => {
    expect([...meanReceived(pattern, 3, true)]).toEqual([(1 + 0.75 + 0.5) / 3, 0.25, 0.25]);
  });

  it('is the mean over all queries when the head is not causal', () => {
    expect([...meanReceived(pattern, 3, false)]).toEqual([0.75, 0.5 / 3, 0.25 / 3]);
  });

  it.each(['sink-3l', 'sink-delim-2l'] as const)('agrees with NumPy on every head of %s', (name) => {
    const golden = new Golden(name);
    expected[name].received.forEach((heads, layer) =>
      heads.forEach((row, head) => {
        const received = meanReceived(golden.pattern(0, layer, head), 24, true);
        row.forEach((value, k) => expect(received[k]).toBeCloseTo(value, 8));
      }),
    );
  });

  it('of an evenly attending head is what NumPy says', () => {
    uniformReceived(24, true).forEach((value, k) => expect(value).toBeCloseTo(expected.uniform[k], 8));
    expect([...uniformReceived(4, false)]).toEqual([0.25, 0.25, 0.25, 0.25]);
  });

  it('of any causal pattern, weighted by its queries, adds up to the number of rows', () => {
    const weights = fc.array(fc.float({ min: Math.fround(0.01), max: 1, noNaN: true }), {
      minLength: 36,
      maxLength: 36,
    });
    fc.assert(
      fc.property(weights, (values) => {
        const rows = Array.from({ length: 6 }, (_, q) => {
          const row = values.slice(q * 6, q * 6 + 6).map((x, k) => (k <= q ? x : 0));
          const sum = row.reduce((a, b) => a + b, 0);
          return row.map((x) => x / sum);
        });
        const received = meanReceived(rows.flat(), 6, true);
        const total = received.reduce((sum, a, k) => sum + a * (6 - k), 0);
        expect(total).toBeCloseTo(6, 6);
      }),
    );
  });

  it('refuses a pattern of another size', () => {
    expect(() => meanReceived(pattern, 4, true)).toThrow('16 values, got 9');
  });
});

describe('padding', () => {
  it('never counts, on either side', () => {
    const padded = new Float32Array(25).fill(0.9);
    for (let q = 0; q < 3; q++) for (let k = 0; k < 3; k++) padded[(q + 1) * 5 + k + 1] = pattern[q * 3 + k];
    const cropped = withoutPadding(padded, [0, 1, 1, 1, 0]);
    expect([...cropped.pattern]).toEqual(pattern);
    expect(cropped.positions).toEqual([1, 2, 3]);
  });
});

describe('the threshold', () => {
  it('is alpha / T with alpha = 5, or absolute', () => {
    expect(sinkThreshold(100)).toEqual({ rule: 'alpha', value: 0.05, reachable: true, note: null });
    expect(sinkThreshold(100, { alpha: 2 }).value).toBe(0.02);
    expect(sinkThreshold(100, { absolute: 0.1 })).toMatchObject({ rule: 'absolute', value: 0.1 });
  });

  it('says when a prompt is too short for alpha / T', () => {
    const short = sinkThreshold(5);
    expect(short.reachable).toBe(false);
    expect(short.note).toContain('cannot be exceeded');
    expect(sinkThreshold(6).reachable).toBe(true);
    expect(sinkThreshold(3, { absolute: 0.1 }).note).toBeNull();
  });

  it('refuses settings that mean nothing', () => {
    expect(() => sinkThreshold(10, { alpha: 5, absolute: 0.1 })).toThrow('not both');
    expect(() => sinkThreshold(10, { alpha: 0 })).toThrow('positive');
    expect(() => sinkThreshold(10, { absolute: Number.NaN })).toThrow('positive');
  });
});

describe('sinks of one head', () => {
  const received = [0.9, 0.1, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.5];

  it('are the keys above the threshold, with what speaks against them', () => {
    const sinks = sinksByAttention(received, { threshold: 0.3, causal: true });
    expect(sinks.map(({ position, queries, weak }) => ({ position, queries, weak }))).toEqual([
      { position: 0, queries: 10, weak: false },
      { position: 2, queries: 8, weak: false },
      { position: 9, queries: 1, weak: true },
    ]);
    // An even head gives key 9, seen by the last query alone, a tenth.
    expect(sinks[2].enrichment).toBeCloseTo(5, 10);
  });

  it('need more than the threshold, not just as much', () => {
    expect(sinksByAttention([0.5, 0.5], { threshold: 0.5, causal: true })).toEqual([]);
  });

  it('are all seen by every query when the head is not causal', () => {
    const [, , last] = sinksByAttention(received, { threshold: 0.3, causal: false });
    expect(last).toMatchObject({ position: 9, queries: 10, weak: false });
  });
});

describe('attention from later queries', () => {
  it('is averaged from the query named', () => {
    expect(meanAttentionTo(pattern, 3, [0], 1)).toBe(0.625);
    expect(meanAttentionTo(pattern, 3, [0, 2], 2)).toBe(0.75);
  });
});
