import { expect, it } from 'vitest';
import { seededRandom } from '../../src/random.ts';
import { meanOffsets, offsetFigure } from '../../src/workbench/report/offset-figure.ts';
import { maxAbs } from '../helpers/numbers.ts';

const grid = { columns: 4, rows: 3, first: 2 };
const tokens = 15; // two before the patches, one behind them

it('means over the queries that have a patch at the offset', () => {
  const random = seededRandom(5);
  const pattern = Float32Array.from({ length: tokens * tokens }, () => random.float());
  const expected: number[] = [];
  for (let dy = -2; dy <= 2; dy++)
    for (let dx = -3; dx <= 3; dx++) {
      const found: number[] = [];
      for (let y = 0; y < 3; y++)
        for (let x = 0; x < 4; x++)
          if (x + dx >= 0 && x + dx < 4 && y + dy >= 0 && y + dy < 3)
            found.push(pattern[(2 + 4 * y + x) * tokens + 2 + 4 * (y + dy) + x + dx]);
      expected.push(found.reduce((sum, value) => sum + value, 0) / found.length);
    }
  const { values, high, wide } = meanOffsets(pattern, tokens, grid);
  expect([high, wide]).toEqual([5, 7]);
  expect(maxAbs(values, Float32Array.from(expected))).toBeLessThan(1e-6);
});

it('a head that looks one patch to the right has all of its attention there', () => {
  const pattern = new Float32Array(tokens * tokens);
  for (let y = 0; y < 3; y++)
    for (let x = 0; x < 3; x++) pattern[(2 + 4 * y + x) * tokens + 2 + 4 * y + x + 1] = 1;
  const figure = offsetFigure('L0H1', 'L0H1 · cat', pattern, tokens, grid);
  expect(figure).toMatchObject({ kind: 'heatmap', id: 'offsets-l0h1', title: 'Offsets of L0H1 · cat' });
  const { values, rows, columns } = figure as Extract<typeof figure, { kind: 'heatmap' }>;
  expect([rows.names, columns.names]).toEqual([
    ['−2', '−1', '0', '+1', '+2'],
    ['−3', '−2', '−1', '0', '+1', '+2', '+3'],
  ]);
  expect(values.map((value, i) => (value === 1 ? i : -1)).filter((i) => i >= 0)).toEqual([2 * 7 + 4]);
});
