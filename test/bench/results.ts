import type { Ratio } from './measure.ts';

/** What a number must be: a ratio or an amount at most, or a speed-up at least. */
export interface Target {
  readonly kind: 'at most' | 'at least';
  readonly value: number;
}

/** One figure, or why there is none. */
export interface Row {
  readonly model?: string;
  readonly device?: string;
  readonly tokens?: number;
  readonly what: string;
  /** What it is compared with. */
  readonly against?: string;
  /** '×' for a ratio. */
  readonly unit: '×' | 's' | 'MB' | 'ms';
  readonly value?: number;
  /** Quartiles over rounds. */
  readonly spread?: readonly [number, number];
  /** Fastest over fastest. */
  readonly best?: number;
  readonly rounds?: number;
  readonly target?: Target;
  /** Median times, for a person to place the ratio. */
  readonly milliseconds?: { readonly measured: number; readonly against: number };
  /** Why nothing was measured. */
  readonly skipped?: string;
}

/** What a row of seconds stands against when it has the time of all threads together. */
export const CPU_TIME = 'processor time';

/** Something measured or said, as it goes from process to process. */
export type Told =
  | { readonly kind: 'row'; readonly row: Row }
  /** A remark that belongs to the figures. */
  | { readonly kind: 'note'; readonly text: string }
  /** What is being done. */
  | { readonly kind: 'say'; readonly text: string }
  /** What something that takes part is: a runtime, a graphics card. */
  | { readonly kind: 'about'; readonly of: string; readonly text: string };

/** What rows, remarks and progress are told to as they come. */
export class Listener {
  readonly tell: (told: Told) => void;

  constructor(tell: (told: Told) => void) {
    this.tell = tell;
  }

  row(row: Row): void {
    this.tell({ kind: 'row', row });
  }
  note(text: string): void {
    this.tell({ kind: 'note', text });
  }
  say(text: string): void {
    this.tell({ kind: 'say', text });
  }
  about(of: string, text: string): void {
    this.tell({ kind: 'about', of, text });
  }
}

export const atMost = (value: number): Target => ({ kind: 'at most', value });
export const atLeast = (value: number): Target => ({ kind: 'at least', value });

export const reached = (value: number, target: Target): boolean =>
  target.kind === 'at most' ? value <= target.value : value >= target.value;

/** A row from the times of what is measured and of what it is compared with. */
export function ratioRow(
  row: Omit<Row, 'unit' | 'value' | 'spread' | 'best'>,
  { median, spread, best }: Ratio,
): Row {
  return { ...row, value: median, spread, best, unit: '×' };
}

/** A number as a person reads it: "1.06 ×", "12.3 MB", "2,048 MB". */
export function quantity(value: number, unit: Row['unit']): string {
  const digits = unit === '×' ? (value < 10 ? 2 : 1) : value < 10 ? 2 : value < 100 ? 1 : 0;
  return `${value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })} ${unit}`;
}

export const targetText = (target: Target, unit: Row['unit']): string =>
  `${target.kind === 'at most' ? '≤' : '≥'} ${quantity(target.value, unit)}`;

/** "1.06 × (1.04–1.09)", or why there is no number. */
export function valueText({ value, unit, spread, skipped }: Row): string {
  if (value === undefined) return `— ${skipped ?? ''}`.trim();
  const range = spread ? ` (${spread.map((each) => quantity(each, unit).split(' ')[0]).join('–')})` : '';
  return `${quantity(value, unit)}${range}`;
}

/** Lines of cells as a Markdown table whose columns line up, so that it reads in a terminal too. */
export function markdownTable(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const escaped = [head, ...lines].map((line) => line.map((cell) => cell.replaceAll('|', '\\|')));
  const widths = head.map((_, i) => Math.max(...escaped.map((line) => line[i].length)));
  const text = (line: readonly string[]): string =>
    `| ${line.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`;
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`;
  return [text(escaped[0]), rule, ...escaped.slice(1).map(text)].join('\n');
}

const place = ({ model, device, tokens }: Row): string =>
  [model, device, tokens && `T = ${tokens}`].filter(Boolean).join(', ');

/** Rows one below the other, with what they are compared with and what they should be. */
export function rowTable(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    place(row),
    row.what,
    row.against ?? '',
    valueText(row),
    row.milliseconds ? row.milliseconds.measured.toFixed(0) : '',
    row.target ? targetText(row.target, row.unit) : '',
    row.target && row.value !== undefined ? (reached(row.value, row.target) ? 'yes' : 'no') : '',
  ]);
  return markdownTable(
    ['Where', 'Measured', 'Against', 'Value (quartiles)', 'ms', 'Target', 'Reached'],
    cells,
  );
}
