import { describe, expect, it } from 'vitest';
import { differing, inSpan, spanOf } from '../../renderer/parts/tokens/spans.ts';

describe('differing tokens of two prompts', () => {
  const marked = (a: number[], b: number[]): number[][] => differing(a, b).map((each) => [...each]);

  it('are compared position by position when the prompts are equally long', () => {
    expect(marked([1, 2, 3, 4], [1, 9, 3, 8])).toEqual([
      [1, 3],
      [1, 3],
    ]);
  });
  it('are what lies between a common beginning and a common end otherwise', () => {
    expect(marked([1, 2, 3, 4], [1, 7, 8, 3, 4])).toEqual([[1], [1, 2]]);
    expect(marked([1, 2, 3], [1, 2, 2, 3])).toEqual([[], [2]]);
  });
  it('are none where the texts have little in common', () => {
    expect(marked([1, 2, 3, 4, 5], [6, 7, 8])).toEqual([[], []]);
  });
});

it('a span covers both of its ends, whichever was chosen first', () => {
  expect(spanOf(7, 4)).toEqual([4, 8]);
  expect([3, 4, 7, 8].map((position) => inSpan([4, 8], position))).toEqual([false, true, true, false]);
  expect(inSpan(null, 0)).toBe(false);
});
