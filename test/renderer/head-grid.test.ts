import { expect, it } from 'vitest';
import {
  headLayout,
  movedHead,
  scrollFor,
  seenSquares,
  squareAt,
} from '../../renderer/parts/heads/head-layout.ts';
import { selectHow, selection } from '../../renderer/parts/heads/head-selection.ts';

const room = { width: 900, height: 600 };

it('shows a small model whole and lets a large one scroll', () => {
  const small = headLayout(12, 12, room, 'metric');
  expect(small.height).toBeLessThanOrEqual(600);
  expect(small.side).toBeGreaterThan(40);
  const large = headLayout(48, 32, room, 'metric');
  expect(large.width).toBeLessThanOrEqual(900);
  expect(large.height).toBeGreaterThan(600);
  expect(headLayout(48, 128, room, 'metric').side).toBe(18);
  expect(headLayout(2, 2, room, 'thumbnails').side).toBe(112);
});

it('finds the square under a point of a scrolled grid', () => {
  const layout = { layers: 48, columns: 32, side: 20, left: 40, top: 20, width: 682, height: 982 };
  const seen = { scrollLeft: 0, scrollTop: 100, width: 400, height: 300 };
  expect(squareAt(layout, seen, 41, 21)).toEqual({ layer: 5, head: 0 });
  expect(squareAt(layout, seen, 99, 299)).toEqual({ layer: 18, head: 2 });
  expect(squareAt(layout, seen, 39, 50)).toBeNull();
  expect(squareAt(layout, seen, 50, 301)).toBeNull();
  expect(squareAt(layout, { ...seen, width: 2000 }, 700, 50)).toBeNull();
  expect(seenSquares(layout, seen)).toEqual({ layers: [5, 18], heads: [0, 17] });
});

it('scrolls a square out from under the headers and the edge, and no more', () => {
  const layout = { layers: 48, columns: 32, side: 20, left: 40, top: 20, width: 682, height: 982 };
  const seen = { scrollLeft: 0, scrollTop: 100, width: 400, height: 300 };
  expect(scrollFor(layout, seen, { layer: 7, head: 3 })).toEqual({ left: 0, top: 100 });
  expect(scrollFor(layout, seen, { layer: 2, head: 3 })).toEqual({ left: 0, top: 40 });
  expect(scrollFor(layout, seen, { layer: 30, head: 31 })).toEqual({ left: 282, top: 342 });
});

it('moves by keys, also to layers of fewer heads', () => {
  const headsOf = (layer: number): number => [4, 8, 2][layer];
  const press = (key: string, ctrlKey = false) =>
    movedHead({ layer: 1, head: 5 }, { key, ctrlKey }, 3, headsOf);
  expect(press('ArrowUp')).toEqual({ layer: 0, head: 3 });
  expect(press('ArrowDown')).toEqual({ layer: 2, head: 1 });
  expect(press('ArrowRight')).toEqual({ layer: 1, head: 6 });
  expect(press('End')).toEqual({ layer: 1, head: 7 });
  expect(press('Home', true)).toEqual({ layer: 0, head: 0 });
  expect(press('End', true)).toEqual({ layer: 2, head: 1 });
  expect(press('x')).toBeUndefined();
});

it('selects one head, toggles heads, and adds the rectangle of a range', () => {
  const headsOf = (layer: number): number => [4, 2, 4][layer];
  const at = (layer: number, head: number) => ({ layer, head });
  const before = new Set(['L0H0']);
  expect([...selection(before, at(0, 0), at(1, 1), 'only', headsOf)]).toEqual(['L1H1']);
  expect([...selection(before, at(0, 0), at(1, 1), 'toggle', headsOf)]).toEqual(['L0H0', 'L1H1']);
  expect([...selection(before, at(0, 0), at(0, 0), 'toggle', headsOf)]).toEqual([]);
  expect([...selection(new Set(), at(2, 3), at(0, 1), 'range', headsOf)]).toEqual([
    'L0H1',
    'L0H2',
    'L0H3',
    'L1H1',
    'L2H1',
    'L2H2',
    'L2H3',
  ]);
  expect([...before]).toEqual(['L0H0']);
  expect(selectHow({ shiftKey: true, ctrlKey: true, metaKey: false })).toBe('range');
  expect(selectHow({ shiftKey: false, ctrlKey: false, metaKey: true })).toBe('toggle');
});
