import { expect, it } from 'vitest';
import { atLeast, atMost, quantity, reached, rowTable, targetText, valueText, type Row } from './results.ts';

it('says which targets are reached', () => {
  expect(reached(1.15, atMost(1.15))).toBe(true);
  expect(reached(1.151, atMost(1.15))).toBe(false);
  expect(reached(3, atLeast(3))).toBe(true);
  expect(reached(2.9, atLeast(3))).toBe(false);
  expect(reached(NaN, atMost(1))).toBe(false);
});

it('writes numbers with their unit, and no more digits than they are worth', () => {
  expect([quantity(1.087, '×'), quantity(31.26, '×')]).toEqual(['1.09 ×', '31.3 ×']);
  expect([quantity(0.163, 's'), quantity(26.44, 'MB'), quantity(4096, 'MB')]).toEqual([
    '0.16 s',
    '26.4 MB',
    '4,096 MB',
  ]);
  expect([targetText(atMost(1.1), '×'), targetText(atLeast(5), '×')]).toEqual(['≤ 1.10 ×', '≥ 5.00 ×']);
});

it('gives the spread beside a value, and the reason where there is none', () => {
  expect(valueText({ what: 'a', unit: '×', value: 1.5, spread: [1.4, 1.62] })).toBe('1.50 × (1.40–1.62)');
  expect(valueText({ what: 'a', unit: 'MB', skipped: 'not done after 9 s' })).toBe('— not done after 9 s');
});

it('writes a Markdown table whose lines are equally long', () => {
  const rows: Row[] = [
    { model: 'm', device: 'cpu', tokens: 32, what: 'capture', unit: '×', value: 1.087, target: atMost(1.15) },
    { what: 'speed', against: 'PyTorch', unit: '×', value: 2.5, target: atLeast(3) },
    { what: 'a | b', unit: 'MB', skipped: 'no room' },
  ];
  const lines = rowTable(rows).split('\n');
  expect(new Set(lines.map((line) => line.length)).size).toBe(1);
  expect(lines[2]).toMatch(/^\| m, cpu, T = 32 +\| capture .*1\.09 × .*≤ 1\.15 × \| yes/);
  expect(lines[3]).toMatch(/2\.50 × .*≥ 3\.00 × \| no/);
  expect(lines[4]).toMatch(/a \\\| b .*— no room/);
});
