import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { extent, formatBytes, formatNumber, shortestFloat32 } from '../../src/report/numbers.ts';

describe('shortestFloat32', () => {
  it.each([0.1, 0.3, -2.5, 1e-45, 3.4028234663852886e38, 16777217, 1 / 3, 0, 1.17549435e-38])(
    'keeps the float32 of %d',
    (x) => {
      const value = Math.fround(x);
      expect(Math.fround(shortestFloat32(value))).toBe(value);
    },
  );

  it('writes the decimals one would write by hand', () => {
    expect(String(shortestFloat32(Math.fround(0.1)))).toBe('0.1');
    expect(String(shortestFloat32(Math.fround(0.2165)))).toBe('0.2165');
    expect(String(shortestFloat32(Math.fround(1 / 3)))).toBe('0.33333334');
  });

  it('loses nothing of any float32, in at most nine digits', () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
        const short = shortestFloat32(value);
        expect(Math.fround(short)).toBe(value === 0 ? short : value);
        expect(short.toExponential().replace(/e.*|[^\d]/g, '').length).toBeLessThanOrEqual(9);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('numbers for reading', () => {
  it.each([
    [0, '0'],
    [-0, '0'],
    [12, '12'],
    [1234567, '1234567'],
    [0.123456, '0.1235'],
    [-8.35661, '−8.357'],
    [1.907e-6, '1.907e−6'],
    [-2.5e9, '−2.5e9'],
    [123456.789, '123500'],
    [2.5e12, '2.5e12'],
  ])('%d reads %s', (value, words) => {
    expect(formatNumber(value)).toBe(words);
  });

  it('keeps asked decimals and never writes a negative zero', () => {
    expect(formatNumber(-0.0004, 3)).toBe('0.000');
    expect(formatNumber(-0.0006, 3)).toBe('−0.001');
    expect(formatNumber(2, 3)).toBe('2.000');
  });

  it('names sizes of files', () => {
    expect([0, 1023, 1024, 2_547_861].map(formatBytes)).toEqual(['0 B', '1023 B', '1 KiB', '2.43 MiB']);
  });

  it('finds the range of what is there', () => {
    expect(extent([null, 3, -1, null])).toEqual([-1, 3]);
    expect(extent([null])).toBeUndefined();
  });
});
