import { describe, expect, it } from 'vitest';
import { halfToNumber } from '../../src/onnx/tensor-values.ts';
import { toHalf, toHalves } from '../../src/report/half.ts';

const nextUp = (value: number): number => {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  return new Float32Array(Uint32Array.of(bits[0] + 1).buffer)[0];
};
const nextDown = (value: number): number => {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  return new Float32Array(Uint32Array.of(bits[0] - 1).buffer)[0];
};

describe('half precision', () => {
  it('keeps every number that it can hold', () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = halfToNumber(bits);
      if (Number.isNaN(value)) expect(toHalf(value) & 0x7fff).toBe(0x7e00);
      else if (value !== 0) expect(toHalf(value)).toBe(bits);
    }
    expect([toHalf(0), toHalf(-0)]).toEqual([0, 0x8000]);
  });

  it('rounds to the nearest, from the middle between two to the even one', () => {
    for (let bits = 0; bits < 0x7c00; bits++) {
      const [low, high] = [halfToNumber(bits), bits === 0x7bff ? 65536 : halfToNumber(bits + 1)];
      const middle = (low + high) / 2;
      const even = bits % 2 === 0 ? bits : bits + 1;
      // Compared without a matcher each: 90,000 of them take seconds.
      const found = [nextDown(middle), middle, nextUp(middle), -middle].map(toHalf);
      const wanted = [bits, even, bits + 1, even | 0x8000];
      if (found.some((half, i) => half !== wanted[i])) expect([bits, ...found]).toEqual([bits, ...wanted]);
    }
  });

  it('counts finite numbers that become infinite', () => {
    const out = new Uint16Array(5);
    expect(toHalves(Float32Array.of(65504, 65519, 65520, -1e9, Infinity), out)).toBe(2);
    expect([...out]).toEqual([0x7bff, 0x7bff, 0x7c00, 0xfc00, 0x7c00]);
  });
});
