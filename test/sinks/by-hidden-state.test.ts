import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { defaultTau, phi, sinksByHiddenState } from '../../src/analysis/sinks/by-hidden-state.ts';
import { Golden } from './golden-runner.ts';

type Expected = Record<'sink-3l' | 'sink-delim-2l', { phi: { dims: number[]; values: number[] } }>;
const expected = JSON.parse(readFileSync(new URL('expected.json', import.meta.url), 'utf8')) as Expected;

describe('φ', () => {
  it('is the largest normalised coordinate among the sink dimensions', () => {
    const resid = { dims: [3, 4], data: Float32Array.of(2, -2, 2, 2, 0, 0, -6, 0, 0, 0, 0, 0) };
    // RMS of the rows: 2, 3, 0.
    expect([...phi(resid, [1, 2])]).toEqual([1, 2, 0]);
    expect([...phi(resid, [0])]).toEqual([1, 0, 0]);
    expect([...phi(resid, [])]).toEqual([0, 0, 0]);
  });

  it.each(['sink-3l', 'sink-delim-2l'] as const)('agrees with NumPy on %s', (name) => {
    const { dims, values } = expected[name].phi;
    const resid = new Golden(name).site(0, 'resid_pre', 1);
    phi(resid, dims).forEach((value, k) => expect(value).toBeCloseTo(values[k], 6));
  });

  it('does not change when the stream is scaled', () => {
    const { dims, data } = new Golden('sink-3l').site(0, 'resid_pre', 2);
    const scaled = phi({ dims, data: data.map((x) => x * 37) }, [3, 9]);
    phi({ dims, data }, [3, 9]).forEach((value, k) => expect(scaled[k]).toBeCloseTo(value, 5));
  });
});

describe('the default threshold on φ', () => {
  it('is the published one wherever a model is wide enough to reach it', () => {
    expect(defaultTau(4096)).toBe(20);
    expect(defaultTau(1600)).toBe(20);
    expect(defaultTau(64)).toBe(4);
  });

  it('must be exceeded', () => {
    expect(sinksByHiddenState([21, 20, 3, 40], 20)).toEqual([0, 3]);
  });
});
