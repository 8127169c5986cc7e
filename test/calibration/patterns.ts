import fc from 'fast-check';
import { expect } from 'vitest';
import type { FloatTensor } from '../../src/runtime/device.ts';

/** One head of a [heads, T, T] tensor. */
export const headOf = ({ data, dims }: FloatTensor, head: number): Float32Array =>
  data.slice(head * dims[1] ** 2, (head + 1) * dims[1] ** 2);

/** Causal patterns [tokens, tokens] with rows that sum to 1, some allowed keys at exactly zero. */
export const causalPattern = (tokens: number): fc.Arbitrary<Float32Array> => {
  const weight = fc.oneof(
    fc.constant(0),
    fc.constant(1),
    fc.float({ min: Math.fround(1e-4), max: 1, noNaN: true }),
  );
  return fc.array(weight, { minLength: tokens ** 2, maxLength: tokens ** 2 }).map((weights) => {
    const out = new Float32Array(tokens ** 2);
    for (let q = 0; q < tokens; q++) {
      const row = weights.slice(q * tokens, q * tokens + q + 1);
      const sum = row.reduce((a, b) => a + b, 0);
      row.forEach((x, k) => (out[q * tokens + k] = sum === 0 ? Number(k === 0) : x / sum));
    }
    return out;
  });
};

/** Every row sums to what it summed to before. */
export function expectRowsKept(before: ArrayLike<number>, after: ArrayLike<number>, tokens: number): void {
  for (let q = 0; q < tokens; q++) {
    let difference = 0;
    for (let k = 0; k < tokens; k++) difference += after[q * tokens + k] - before[q * tokens + k];
    expect(Math.abs(difference)).toBeLessThan(1e-5);
  }
}
