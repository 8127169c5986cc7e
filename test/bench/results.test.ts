import { expect, it } from 'vitest';
import { atLeast, atMost, reached, table } from './results.ts';

it('says which targets are reached', () => {
  expect(reached(1.15, atMost(1.15))).toBe(true);
  expect(reached(1.151, atMost(1.15))).toBe(false);
  expect(reached(3, atLeast(3))).toBe(true);
  expect(reached(2.9, atLeast(3))).toBe(false);
  expect(reached(NaN, atMost(1))).toBe(false);
});

it('writes a Markdown table whose lines are equally long', () => {
  const lines = table([
    {
      what: 'capture',
      against: 'plain',
      value: 1.087,
      unit: '×',
      spread: [1, 1.2],
      best: 1.05,
      target: atMost(1.15),
    },
    { what: 'speed', against: 'PyTorch', value: 2.5, unit: '×', target: atLeast(3), next: atLeast(5) },
    { what: 'memory', against: 'nothing', value: 26.4, unit: 'MB', target: atMost(100) },
  ]).split('\n');
  expect(new Set(lines.map((line) => line.length)).size).toBe(1);
  expect(lines[2]).toMatch(/capture.*1\.09×.*1\.00–1\.20.*1\.05×.*≤ 1\.15×.*yes/);
  expect(lines[3]).toMatch(/2\.50×.*≥ 3\.00×.*no.*≥ 5\.00× no/);
  expect(lines[4]).toMatch(/26 MB.*≤ 100 MB.*yes/);
});
