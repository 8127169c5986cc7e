import { expect, it } from 'vitest';
import { seededRandom } from '../../src/random.ts';
import { areaMeans } from '../../src/workbench/engine/area-means.ts';
import { maxAbs } from '../helpers/numbers.ts';

it('blocks of whole cells become their means', () => {
  const values = Float32Array.from({ length: 16 }, (_, i) => i);
  expect([...areaMeans(values, 4, 2)]).toEqual([2.5, 4.5, 10.5, 12.5]);
  expect([...areaMeans(values, 4, 1)]).toEqual([7.5]);
  expect([...areaMeans(values, 4, 4)]).toEqual([...values]);
});

it('cells on a border count by the share that is covered', () => {
  // 3 cells to 2: each new cell covers one and a half.
  const values = Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0, 9);
  const corner = 1 / 2.25;
  expect(maxAbs(areaMeans(values, 3, 2), [corner, 0, 0, 9 * corner])).toBeLessThan(1e-6);
});

it('equals the mean over a finer picture whose cells fit both', () => {
  const random = seededRandom(3);
  for (const [from, to] of [
    [7, 3],
    [12, 5],
    [48, 12],
    [31, 30],
  ]) {
    const values = Float32Array.from({ length: from * from }, () => random.float());
    const expected = Float32Array.from({ length: to * to }, (_, cell) => {
      const top = Math.floor(cell / to) * from;
      const left = (cell % to) * from;
      let sum = 0;
      for (let y = top; y < top + from; y++)
        for (let x = left; x < left + from; x++)
          sum += values[Math.floor(y / to) * from + Math.floor(x / to)];
      return sum / (from * from);
    });
    expect(maxAbs(areaMeans(values, from, to), expected), `${from} to ${to}`).toBeLessThan(1e-6);
  }
});
