import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  MASKED,
  NOT_A_NUMBER,
  palette,
  ranks,
  scaleFor,
  scaleIndex,
  valueAt,
} from '../../renderer/parts/pattern/scales.ts';
import { COLOURS, colourIndex, colourMap } from '../../src/report/colours.ts';

it('gives attention the colours that the report gives it', () => {
  const scale = scaleFor([], {});
  for (const value of [0, 0.001, 0.25, 0.5, 0.8312, 1]) {
    expect(scaleIndex(scale, value)).toBe(colourIndex(value, [0, 1]));
  }
});

it('holds values outside the domain at its ends, and keeps null and NaN apart from every colour', () => {
  const scale = scaleFor([], { domain: [2, 4] });
  expect([1, 2, 4, Infinity].map((value) => scaleIndex(scale, value))).toEqual([
    0,
    0,
    COLOURS - 1,
    COLOURS - 1,
  ]);
  expect([scaleIndex(scale, null), scaleIndex(scale, NaN)]).toEqual([MASKED, NOT_A_NUMBER]);
});

it('puts 0 in the middle of a difference, both sides alike', () => {
  const scale = scaleFor(new Float32Array([0.1, -0.4, NaN, Infinity]), { diverging: true });
  expect(scale.domain[1]).toBeCloseTo(0.4, 6);
  expect(scale.domain[0]).toBe(-scale.domain[1]);
  const middle = (COLOURS - 1) / 2;
  expect(scaleIndex(scale, 0)).toBe(middle);
  expect(scaleIndex(scale, 0.2) - middle).toBe(middle - scaleIndex(scale, -0.2));
  expect(scaleFor([0, 0], { diverging: true }).domain).toEqual([-1, 1]);
});

it('spreads four decades evenly on a logarithmic scale', () => {
  const scale = scaleFor([], { log: true });
  const at = [1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1].map((value) => scaleIndex(scale, value));
  expect(at).toEqual([0, 0, 64, 127, 191, 254]);
  const difference = scaleFor([], { log: true, diverging: true, domain: [-1, 1] });
  expect([-1, -1e-2, 0, 1e-2, 1].map((value) => scaleIndex(difference, value))).toEqual([
    0, 64, 127, 191, 254,
  ]);
});

it('reads the value back from a place of the colour bar', () => {
  fc.assert(
    fc.property(
      fc.boolean(),
      fc.boolean(),
      fc.double({ min: 0.1, max: 100, noNaN: true }),
      fc.integer({ min: 0, max: COLOURS - 1 }),
      (log, diverging, high, index) => {
        const scale = scaleFor([], { log, diverging, domain: [0, high] });
        expect(scaleIndex(scale, valueAt(scale, index / (COLOURS - 1)))).toBe(index);
      },
    ),
  );
});

it('ranks NaN over every colour and every colour over nothing', () => {
  const sequential = ranks('sequential');
  const diverging = ranks('diverging');
  for (const rank of [sequential, diverging]) {
    expect(rank[MASKED]).toBe(0);
    expect(Math.min(...rank.subarray(0, COLOURS))).toBeGreaterThan(0);
    expect(rank[NOT_A_NUMBER]).toBeGreaterThan(Math.max(...rank.subarray(0, COLOURS)));
  }
  expect(diverging[0]).toBeGreaterThan(diverging[100]);
  expect(diverging[0]).toBe(diverging[COLOURS - 1]);
  expect(sequential[100]).toBeGreaterThan(sequential[0]);
});

it('packs colours as the bytes of an ImageData', () => {
  const pixels = palette('sequential');
  const bytes = new Uint8Array(pixels.buffer);
  const colours = colourMap('sequential');
  expect([...bytes.subarray(4 * 100, 4 * 101)]).toEqual([...colours.subarray(300, 303), 255]);
  expect(pixels[MASKED]).toBe(0);
});
