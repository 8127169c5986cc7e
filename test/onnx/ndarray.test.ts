import { describe, expect, test } from 'vitest';
import {
  broadcastDims,
  elementwise,
  forEachIndex,
  remap,
  sizeOf,
  stridesOf,
} from '../../src/onnx/ndarray.ts';

const array = (
  dims: readonly number[],
  ...values: number[]
): { dims: readonly number[]; values: Float64Array } => ({
  dims,
  values: Float64Array.from(values),
});

test('sizes and strides', () => {
  expect(sizeOf([])).toBe(1);
  expect(sizeOf([2, 3, 4])).toBe(24);
  expect(sizeOf([5, 0])).toBe(0);
  expect(stridesOf([])).toEqual([]);
  expect(stridesOf([2, 3, 4])).toEqual([12, 4, 1]);
});

describe('broadcasting follows NumPy', () => {
  test.each<[number[][], number[] | undefined]>([
    [
      [
        [2, 3],
        [2, 3],
      ],
      [2, 3],
    ],
    [
      [[3], [2, 1]],
      [2, 3],
    ],
    [[[], [4]], [4]],
    [
      [
        [2, 1, 4],
        [3, 1],
        [1, 1, 1],
      ],
      [2, 3, 4],
    ],
    [[[1], [0]], [0]],
    [[[2], [3]], undefined],
    [
      [
        [2, 3],
        [3, 2],
      ],
      undefined,
    ],
  ])('%j → %j', (shapes, want) => {
    expect(broadcastDims(...shapes)).toEqual(want);
  });

  test('element by element', () => {
    const column = array([2, 1], 10, 20);
    const row = array([3], 1, 2, 3);
    expect([...elementwise([2, 3], [column, row], (a, b) => a + b)]).toEqual([11, 12, 13, 21, 22, 23]);
    const scalar = array([], 5);
    expect([...elementwise([2, 1], [column, scalar], (a, b) => a * b)]).toEqual([50, 100]);
  });
});

test('indices come in row-major order', () => {
  const seen: string[] = [];
  forEachIndex([2, 2], (index, flat) => void seen.push(`${flat}:${index.join()}`));
  expect(seen).toEqual(['0:0,0', '1:0,1', '2:1,0', '3:1,1']);
  forEachIndex([3, 0], () => expect.fail('there is nothing to visit'));
  const once: number[] = [];
  forEachIndex([], (_, flat) => void once.push(flat));
  expect(once).toEqual([0]);
});

test('numbers are taken from where they are said to be', () => {
  const source = array([2, 3], 1, 2, 3, 4, 5, 6);
  expect([...remap([3, 2], source, ([i, j]) => [j, i])]).toEqual([1, 4, 2, 5, 3, 6]);
  expect([...remap([2], source, ([i]) => [1, 2 * i])]).toEqual([4, 6]);
});
