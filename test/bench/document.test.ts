import { expect, it } from 'vitest';
import { performanceDocument } from './document.ts';
import { atLeast, atMost, CPU_TIME, type Row } from './results.ts';
import type { JobResult, Results } from './store.ts';

const job = (
  id: string,
  section: JobResult['section'],
  rows: Row[],
  more: Partial<JobResult> = {},
): JobResult => ({
  id,
  section,
  date: '2026-01-02 03:04',
  load: 0.5,
  seconds: 1,
  rows,
  notes: [],
  ...more,
});

function results(...jobs: JobResult[]): Results {
  return {
    environment: {
      date: '2026-01-02',
      cpu: 'Some processor',
      cores: 2,
      memoryGb: 8,
      system: 'Linux x64',
      threads: 2,
      clock: 'elapsed',
      node: 'v20',
      about: { PyTorch: 'Python 3, PyTorch 1' },
    },
    jobs: Object.fromEntries(jobs.map((each) => [each.id, each])),
  };
}

const run = (tokens: number, what: string, value: number, target = atMost(1.1)): Row => ({
  model: 'GPT-2',
  device: 'cpu',
  tokens,
  what,
  against: 'unedited model',
  unit: '×',
  value,
  spread: [value, value],
  rounds: 3,
  milliseconds: { measured: 10, against: 9 },
  target,
});
const line = (text: string, start: RegExp): string[] =>
  (text.split('\n').find((each) => start.test(each)) ?? '').split('|').map((cell) => cell.trim());

it('puts targets beside figures, and names the places where one is missed', () => {
  const rows = [run(32, 'capture', 1.05), run(64, 'capture', 1.2), run(32, 'speed', 3, atLeast(2))];
  const text = performanceDocument(results(job('ratios:a', 'ratios', rows)), '');
  expect(line(text, /^\| capture/).slice(1, -1)).toEqual([
    'capture',
    'unedited model',
    '≤ 1.10 ×',
    '1.05 × to 1.20 ×',
    '1 of 2, not: GPT-2, T = 64',
  ]);
  expect(line(text, /^\| speed/).slice(3, -1)).toEqual(['≥ 2.00 ×', '3.00 ×', 'yes']);
});

it('has a line for every length, with the reason where nothing was measured', () => {
  const skipped: Row = {
    ...run(128, 'capture', 0),
    value: undefined,
    rounds: undefined,
    skipped: 'too long',
  };
  const rows = [run(32, 'capture', 1.05), run(32, 'overview', 1.1), skipped];
  const text = performanceDocument(results(job('ratios:a', 'ratios', rows)), '');
  expect(line(text, /^\| GPT-2 \| cpu +\| 32 /).slice(1, -1)).toEqual([
    'GPT-2',
    'cpu',
    '32',
    '9',
    '3',
    '1.05 (1.05–1.05)',
    '1.10 (1.10–1.10)',
  ]);
  expect(line(text, /^\| GPT-2 \| cpu +\| 128 /)).toContain('—');
  expect(text).toContain('- GPT-2, cpu, T = 128, capture: left out, too long.');
});

it('has elapsed and processor time, ratio and peak of a long prompt in one line', () => {
  const place = { model: 'Many heads', tokens: 4096, what: 'ACT' };
  const rows: Row[] = [
    { ...place, against: 'everything in the process', value: 1078, unit: 'MB', target: atMost(4096) },
    { ...place, value: 467, unit: 's' },
    { ...place, against: CPU_TIME, value: 80.2, unit: 's' },
    { ...place, against: 'unedited model', value: 1.2, unit: '×' },
  ];
  const text = performanceDocument(results(job('long', 'long', rows)), '');
  expect(line(text, /^\| Many heads/).slice(2, -1)).toEqual([
    'ACT',
    '467 s',
    '80.2 s',
    '1.20 ×',
    '1,078 MB',
    '≤ 4,096 MB',
    'yes',
  ]);
});

it('works out how cost grows with size', () => {
  const at = (tokens: number, ms: number, mb: number): Row[] => [
    { model: 'tokens', tokens, what: 'unedited', unit: 'ms', value: ms },
    { model: 'tokens', tokens, what: 'unedited', unit: 'MB', value: mb },
  ];
  const text = performanceDocument(
    results(job('growth:tokens', 'growth', [...at(10, 5, 1), ...at(20, 10, 2), ...at(40, 40, 4)])),
    '',
  );
  expect(line(text, /^\| exponent/)[2]).toBe('2.00 / 1.00');
  expect(line(text, /^\| 40 /)[2]).toBe('40 / 4');
});

it('keeps what a job gave before it ended, says why it ended, and what a person wrote', () => {
  const failed = job('long', 'long', [], { failed: 'its process ended' });
  const text = performanceDocument(results(failed), 'The profile shows copies.');
  expect(text).toContain('- `long` ended early: its process ended.');
  expect(text).toContain('## What is in the way\n\nThe profile shows copies.');
  expect(text).not.toContain('## Circuits');
});
