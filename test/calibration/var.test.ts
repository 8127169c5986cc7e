import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkFocus, redistributed, splitSinks } from '../../src/analysis/calibration/var.ts';
import { Golden } from '../sinks/golden-runner.ts';
import { causalPattern, expectRowsKept, headOf } from './patterns.ts';

interface Case {
  pattern: string;
  sinks: number[];
  focus: [number, number];
  rho: number;
  summ: number;
  p: number;
  imageCentric: number[][];
  row: number;
  values: number[][];
  column: number;
  down: number[][];
}
const cases = (JSON.parse(readFileSync(new URL('expected.json', import.meta.url), 'utf8')) as { var: Case[] })
  .var;

// Focus 1:4; key 1 is a span sink, key 0 a text sink. Only the last row matters.
const lastRow = (row: number[]): number[] => [...Array<number>(20).fill(0), ...row];
const focus = [1, 4] as const;

describe('VAR', () => {
  it('is right on a case worked by hand', () => {
    const pattern = lastRow([0.2, 0.2, 0.1, 0.3, 0.2]);
    const { pattern: out, imageCentric } = redistributed(pattern, 5, [0, 1], focus);
    expect(imageCentric).toEqual([4]);
    // 0.4 of the 0.4 on sinks is freed, 0.16: a quarter to key 2, three quarters to key 3.
    const byHand = [0.12, 0.12, 0.14, 0.42, 0.2];
    byHand.forEach((value, k) => expect(out[20 + k]).toBeCloseTo(value, 6));
    expect([...out.subarray(0, 20)]).toEqual(Array(20).fill(0));
  });

  it('treats only queries after the span', () => {
    const pattern = Array<number>(25).fill(0.2);
    const { imageCentric } = redistributed(pattern, 5, [1], [1, 3], { summ: 0.1 });
    expect(imageCentric).toEqual([3, 4]);
  });

  it('takes a head as image-centric at the limits, not beyond them', () => {
    // Span attention 0.5, half of it on the span sink.
    const at = lastRow([0.5, 0.25, 0.125, 0.125, 0]);
    expect(redistributed(at, 5, [1], focus, { summ: 0.5, rho: 0.5 }).imageCentric).toEqual([4]);
    expect(redistributed(at, 5, [1], focus, { summ: 0.51, rho: 0.5 }).imageCentric).toEqual([]);
    expect(redistributed(at, 5, [1], focus, { summ: 0.5, rho: 0.49 }).imageCentric).toEqual([]);
  });

  it('changes nothing without a sink in the span', () => {
    const pattern = lastRow([0.2, 0.2, 0.1, 0.3, 0.2]);
    const { pattern: out, imageCentric } = redistributed(pattern, 5, [0, 4], focus);
    expect(imageCentric).toEqual([]);
    expect(out).toEqual(Float32Array.from(pattern));
  });

  it('leaves a row alone whose span attention is all on sinks', () => {
    const pattern = lastRow([0.5, 0.5, 0, 0, 0]);
    const { pattern: out, imageCentric, untouched } = redistributed(pattern, 5, [0, 1], focus, { rho: 1 });
    expect([imageCentric, untouched]).toEqual([[4], [4]]);
    expect(out).toEqual(Float32Array.from(pattern));
  });

  it.each(cases.map((one) => [one.pattern, one] as const))('agrees with NumPy on %s', (name, one) => {
    const tensor = new Golden('sink-delim-2l').tensor(name);
    for (let head = 0; head < 4; head++) {
      const { pattern: out, imageCentric } = redistributed(
        headOf(tensor, head),
        24,
        one.sinks,
        one.focus,
        one,
      );
      expect(imageCentric).toEqual(one.imageCentric[head]);
      one.values[head].forEach((value, k) => expect(out[one.row * 24 + k]).toBeCloseTo(value, 6));
      one.down[head].forEach((value, q) => expect(out[q * 24 + one.column]).toBeCloseTo(value, 6));
    }
  });

  const share = fc.double({ min: 0, max: 1, noNaN: true });
  const anyCase = fc.record({
    pattern: causalPattern(8),
    sinks: fc.uniqueArray(fc.nat(7), { maxLength: 4 }),
    start: fc.nat(3),
    size: fc.integer({ min: 1, max: 4 }),
    settings: fc.record({ rho: share, summ: share, p: share }),
  });

  it('keeps row sums, exact zeros, and all it has no business with', () => {
    fc.assert(
      fc.property(anyCase, ({ pattern, sinks, start, size, settings }) => {
        const end = start + size;
        const result = redistributed(pattern, 8, sinks, [start, end], settings);
        const out = result.pattern;
        expectRowsKept(pattern, out, 8);
        for (let i = 0; i < 64; i++) {
          const [q, k] = [Math.floor(i / 8), i % 8];
          const isSink = sinks.includes(k);
          const inSpan = k >= start && k < end;
          if (pattern[i] === 0) expect(out[i]).toBe(0);
          if (!result.imageCentric.includes(q) || (!isSink && !inSpan)) expect(out[i]).toBe(pattern[i]);
          else if (isSink) expect(out[i]).toBeLessThanOrEqual(pattern[i]);
          else expect(out[i]).toBeGreaterThanOrEqual(pattern[i] - 1e-6);
        }
      }),
    );
  });

  it('with p = 1 changes nothing', () => {
    fc.assert(
      fc.property(anyCase, ({ pattern, sinks, start, size, settings }) => {
        const result = redistributed(pattern, 8, sinks, [start, start + size], { ...settings, p: 1 });
        expect(result.pattern).toEqual(pattern);
      }),
    );
  });

  it('does not count a sink twice that is named twice', () => {
    const pattern = lastRow([0.2, 0.2, 0.1, 0.3, 0.2]);
    expect(redistributed(pattern, 5, [1, 1, 0], focus)).toEqual(redistributed(pattern, 5, [0, 1], focus));
  });

  it('refuses spans without a query after them, and settings that are no shares', () => {
    expect(() => checkFocus([2, 2], 5)).toThrow('focus 2:2');
    expect(() => checkFocus([0, 5], 5)).toThrow('at least one token after it');
    expect(() => checkFocus([-1, 2], 5)).toThrow('focus -1:2');
    expect(() => redistributed(lastRow([1, 0, 0, 0, 0]), 5, [], focus, { p: 2 })).toThrow("VAR's p");
  });
});

describe('a layer’s sinks', () => {
  it('are split at the span', () => {
    expect(splitSinks([0, 3, 5, 6], [3, 6])).toEqual({ span: [3, 5], text: [0, 6] });
  });
});
