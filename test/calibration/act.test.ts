import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { act } from '../../src/analysis/calibration/act.ts';
import { Golden } from '../sinks/golden-runner.ts';
import { causalPattern, expectRowsKept, headOf } from './patterns.ts';

interface Case {
  pattern: string;
  alpha?: number;
  absolute?: number;
  beta: number;
  sinks: number[][];
  row: number;
  values: number[][];
  column: number;
  down: number[][];
}
const cases = (JSON.parse(readFileSync(new URL('expected.json', import.meta.url), 'utf8')) as { act: Case[] })
  .act;

// Key 1 receives (1/2 + 1/4 + 1/2) / 3 = 5/12 of the attention, key 2 (1/2 + 1/4) / 2 = 3/8.
const pattern = [
  [1, 0, 0, 0],
  [0.5, 0.5, 0, 0],
  [0.25, 0.25, 0.5, 0],
  [0.25, 0.5, 0.25, 0],
].flat();

describe('ACT', () => {
  it('is right on a case worked by hand', () => {
    const { pattern: out, sinks } = act(pattern, 4, { absolute: 0.4, beta: 0.4 });
    expect(sinks).toEqual([1]);
    const byHand = [
      [1, 0, 0, 0],
      [0.5 + 0.3, 0.2, 0, 0],
      // 0.15 freed, a third of it to key 0, two thirds to key 2.
      [0.3, 0.1, 0.6, 0],
      // 0.3 freed, half to each.
      [0.4, 0.2, 0.4, 0],
    ].flat();
    byHand.forEach((value, i) => expect(out[i]).toBeCloseTo(value, 6));
  });

  it('never calibrates position 0, however much it receives', () => {
    const first = [1, 0, 0, 1, 0, 0, 1, 0, 0];
    expect(act(first, 3, { absolute: 0.1 })).toMatchObject({ sinks: [] });
    expect([...act(first, 3, { absolute: 0.1 }).pattern]).toEqual(first);
  });

  it('leaves a row alone whose attention is all on sinks', () => {
    const rows = [1, 0, 0, 0, 1, 0, 0.5, 0.5, 0];
    const { pattern: out, sinks, untouched } = act(rows, 3, { absolute: 0.5, beta: 0.4 });
    expect(sinks).toEqual([1]);
    expect(untouched).toEqual([1]);
    expect([...out.subarray(3, 6)]).toEqual([0, 1, 0]);
    expect([...out.subarray(6, 9)].map((x) => Math.round(x * 1e6) / 1e6)).toEqual([0.8, 0.2, 0]);
  });

  it('uses alpha / T of the real tokens and leaves padding as it is', () => {
    const padded = new Float32Array(36).fill(7);
    for (let q = 0; q < 4; q++) for (let k = 0; k < 4; k++) padded[q * 6 + k] = pattern[q * 4 + k];
    const settings = { alpha: 1.6, beta: 0.4 };
    const { pattern: out, sinks } = act(padded, 6, { ...settings, length: 4 });
    const plain = act(pattern, 4, settings);
    expect(sinks).toEqual(plain.sinks);
    expect(sinks).toEqual([1]);
    for (let i = 0; i < 36; i++) {
      const [q, k] = [Math.floor(i / 6), i % 6];
      expect(out[i]).toBe(q < 4 && k < 4 ? plain.pattern[q * 4 + k] : 7);
    }
  });

  it('finds the sinks of a head that is not causal over all queries', () => {
    const full = [0.2, 0.8, 0.6, 0.4];
    // Key 1 receives 0.6 of two queries; as a causal head's it would be 0.4 of one.
    expect(act(full, 2, { absolute: 0.5, causal: false }).sinks).toEqual([1]);
    expect(act(full, 2, { absolute: 0.5, causal: true }).sinks).toEqual([]);
  });

  it.each(cases.map((one) => [one.pattern, one] as const))('agrees with NumPy on %s', (name, one) => {
    const tensor = new Golden('sink-delim-2l').tensor(name);
    for (let head = 0; head < 4; head++) {
      const { pattern: out, sinks } = act(headOf(tensor, head), 24, one);
      expect(sinks).toEqual(one.sinks[head]);
      one.values[head].forEach((value, k) => expect(out[one.row * 24 + k]).toBeCloseTo(value, 6));
      one.down[head].forEach((value, q) => expect(out[q * 24 + one.column]).toBeCloseTo(value, 6));
    }
  });

  const anyCase = fc.record({
    rows: causalPattern(7),
    beta: fc.double({ min: 0, max: 1, noNaN: true }),
    absolute: fc.double({ min: 0.01, max: 0.6, noNaN: true }),
  });

  it('keeps row sums, exact zeros, and every key but the sinks from losing', () => {
    fc.assert(
      fc.property(anyCase, ({ rows, beta, absolute }) => {
        const { pattern: out, sinks } = act(rows, 7, { beta, absolute });
        expectRowsKept(rows, out, 7);
        for (let i = 0; i < 49; i++) {
          if (rows[i] === 0) expect(out[i]).toBe(0);
          if (!sinks.includes(i % 7)) expect(out[i]).toBeGreaterThanOrEqual(rows[i] - 1e-6);
          else expect(out[i]).toBeLessThanOrEqual(rows[i]);
        }
      }),
    );
  });

  it('with beta = 1 changes nothing', () => {
    fc.assert(
      fc.property(anyCase, ({ rows, absolute }) => {
        expect(act(rows, 7, { beta: 1, absolute }).pattern).toEqual(rows);
      }),
    );
  });

  it('does not change its input', () => {
    const rows = Float32Array.from(pattern);
    act(rows, 4, { absolute: 0.1 });
    expect([...rows]).toEqual(pattern);
  });

  it('refuses a beta outside 0 to 1 and wrong sizes', () => {
    expect(() => act(pattern, 4, { beta: 1.2 })).toThrow('between 0 and 1');
    expect(() => act(pattern, 3)).toThrow('9 values, got 16');
    expect(() => act(pattern, 4, { length: 5 })).toThrow('cannot hold a prompt of 5');
  });
});
