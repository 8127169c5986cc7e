import { expect, it } from 'vitest';
import { moved } from '../../renderer/parts/pattern/pattern-keys.ts';
import { cellText, strongest, valueText, type PatternData } from '../../renderer/parts/pattern/read-out.ts';
import { scaleFor } from '../../renderer/parts/pattern/scales.ts';
import { tableWindow } from '../../renderer/parts/pattern/table-window.ts';
import { strongestPair, tints } from '../../renderer/parts/pattern/text-tint.ts';

const tokens = ['<s>', ' Mary', '\n', ' gave'].map((text, id) => ({ text, id, special: id === 0 }));
const causal: PatternData = {
  values: new Float32Array([1, 9, 9, 9, 0.25, 0.75, 9, 9, 0.1, 0.1, 0.8, 9, 0.5, NaN, 0.2, 0.3]),
  queries: tokens,
  keys: tokens,
  causal: true,
};

it('says what a cell is', () => {
  expect(cellText(causal, { query: 1, key: 0 }, new Set([0]))).toBe(
    'query ‘·Mary’ (1) → key ‘<s>’ (0), sink: 0.25',
  );
  expect(cellText(causal, { query: 3, key: 2 }, new Set())).toBe('query ‘·gave’ (3) → key ‘↵’ (2): 0.2');
  expect(cellText(causal, { query: 0, key: 3 }, new Set())).toMatch(/: masked, the key is later$/);
  expect(cellText(causal, { query: 3, key: 1 }, new Set())).toMatch(/: not a number$/);
  expect([valueText(-0.00012346), valueText(Infinity)]).toEqual(['−1.235e−4', 'Infinity']);
});

it('lists the strongest keys of a query, without what is masked or not a number', () => {
  expect(strongest(causal, 'query', 3, 5).map(({ key }) => key)).toEqual([0, 3, 2]);
  expect(strongest(causal, 'query', 3, 2).map(({ key }) => key)).toEqual([0, 3]);
  expect(strongest(causal, 'key', 0, 2).map(({ query }) => query)).toEqual([0, 3]);
});

it('ranks a difference by its size', () => {
  const data = {
    ...causal,
    values: new Float32Array([0.1, -0.5, 0.3, 0]),
    queries: tokens.slice(0, 1),
    causal: false,
  };
  expect(strongest(data, 'query', 0, 3).map(({ key }) => key)).toEqual([1, 2, 0]);
});

it('moves a cell by keys and stays within the pattern', () => {
  const from = { query: 3, key: 4 };
  const press = (key: string, shiftKey = false) => moved(from, { key, shiftKey }, 6, 20);
  expect(press('ArrowUp')).toEqual({ query: 2, key: 4 });
  expect(press('ArrowDown', true)).toEqual({ query: 5, key: 4 });
  expect(press('ArrowRight', true)).toEqual({ query: 3, key: 14 });
  expect(press('Home')).toEqual({ query: 3, key: 0 });
  expect(press('End')).toEqual({ query: 3, key: 19 });
  expect(press('PageUp')).toEqual({ query: 0, key: 4 });
  expect(press('a')).toBeUndefined();
});

it('tints tokens by the attention from a query or to a key, and none where there is no cell', () => {
  const scale = scaleFor([], {});
  expect(tints(causal, 'from', 1, scale).map((tint) => tint !== undefined)).toEqual([
    true,
    true,
    false,
    false,
  ]);
  expect(tints(causal, 'to', 2, scale).map((tint) => tint !== undefined)).toEqual([false, false, true, true]);
  expect(tints(causal, 'from', 3, scale)[1]?.background).toBe('#ff00ff');
  expect(tints(causal, 'from', 0, scale)[0]).toEqual({ background: '#fde725', ink: '#000000' });
  expect(strongestPair(causal, 'to', 1)).toEqual({ query: 1, key: 1 });
});

it('keeps only the rows around what is seen, with room for the others', () => {
  expect(tableWindow(1024, 30, 3000, 600, 8)).toEqual({ first: 92, end: 128, before: 2760, after: 26880 });
  expect(tableWindow(5, 30, 0, 600)).toEqual({ first: 0, end: 5, before: 0, after: 0 });
  expect(tableWindow(5, 30, 9000, 600)).toEqual({ first: 5, end: 5, before: 150, after: 0 });
});
