import { expect, it } from 'vitest';
import { seededRandom } from '../../src/random.ts';
import { areaMeans } from '../../src/workbench/engine/area-means.ts';
import { maxAbs } from '../helpers/numbers.ts';

it('blocks of whole cells become their means', () => {
  const values = Float32Array.from({ length: 16 }, (_, i) => i);
  expect([...areaMeans(values, 4, 4, 2)]).toEqual([2.5, 4.5, 10.5, 12.5]);
  expect([...areaMeans(values, 4, 4, 1)]).toEqual([7.5]);
  expect([...areaMeans(values, 4, 4, 4)]).toEqual([...values]);
});

it('cells on a border count by the share that is covered', () => {
  // 3 cells to 2: each new cell covers one and a half.
  const values = Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0, 9);
  const corner = 1 / 2.25;
  expect(maxAbs(areaMeans(values, 3, 3, 2), [corner, 0, 0, 9 * corner])).toBeLessThan(1e-6);
});

it('equals the mean over a finer picture whose cells fit both, also of pictures that are no squares', () => {
  const random = seededRandom(3);
  for (const [height, width, to] of [
    [7, 7, 3],
    [12, 12, 5],
    [48, 48, 12],
    [31, 31, 30],
    [5, 12, 4],
    [6, 3, 6],
  ]) {
    const values = Float32Array.from({ length: height * width }, () => random.float());
    const expected = Float32Array.from({ length: to * to }, (_, cell) => {
      const top = Math.floor(cell / to) * height;
      const left = (cell % to) * width;
      let sum = 0;
      for (let y = top; y < top + height; y++)
        for (let x = left; x < left + width; x++)
          sum += values[Math.floor(y / to) * width + Math.floor(x / to)];
      return sum / (height * width);
    });
    expect(
      maxAbs(areaMeans(values, height, width, to), expected),
      `${height} × ${width} to ${to}`,
    ).toBeLessThan(1e-6);
  }
});
