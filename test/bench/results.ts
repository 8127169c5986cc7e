import type { Ratio } from './measure.ts';

/** What a number must be: a ratio or an amount at most, or a speed-up at least. */
export interface Target {
  readonly kind: 'at most' | 'at least';
  readonly value: number;
}

/** One line of the table. */
export interface Row {
  readonly what: string;
  /** What it is compared with. */
  readonly against: string;
  readonly value: number;
  readonly spread?: readonly [number, number];
  readonly best?: number;
  /** '×' for a ratio. */
  readonly unit: '×' | 's' | 'MB' | 'ms';
  readonly target?: Target;
  /** What is aimed at next. */
  readonly next?: Target;
  /** Median times, for a person to place the ratio. */
  readonly milliseconds?: { readonly measured: number; readonly against: number };
}

export interface Environment {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly threads: number;
  readonly clock: string;
  readonly load: number;
  readonly node: string;
  readonly runtime: string;
  readonly python: string;
  readonly checkpoint: string;
}

export const atMost = (value: number): Target => ({ kind: 'at most', value });
export const atLeast = (value: number): Target => ({ kind: 'at least', value });

export const reached = (value: number, target: Target): boolean =>
  target.kind === 'at most' ? value <= target.value : value >= target.value;

/** A row from the times of what is measured and of what it is compared with. */
export function ratioRow(
  row: Pick<Row, 'what' | 'against' | 'target' | 'next'>,
  { median, spread, best }: Ratio,
  milliseconds: Row['milliseconds'],
): Row {
  return { ...row, value: median, spread, best, unit: '×', milliseconds };
}

const HEAD = ['Measured', 'Against', 'Value', 'Quartiles', 'Best', 'ms / ms', 'Target', 'Reached', 'Next'];

const number = (value: number, unit: Row['unit']): string =>
  unit === '×' ? `${value.toFixed(2)}×` : `${value.toFixed(value < 10 ? 2 : 0)} ${unit}`;

const targetText = (target: Target | undefined, unit: Row['unit']): string =>
  target ? `${target.kind === 'at most' ? '≤' : '≥'} ${number(target.value, unit)}` : '';

function cells(row: Row): string[] {
  const { unit, target, next, spread, best, milliseconds } = row;
  const verdict = (wanted: Target | undefined): string =>
    wanted ? (reached(row.value, wanted) ? 'yes' : 'no') : '';
  return [
    row.what,
    row.against,
    number(row.value, unit),
    spread ? `${spread[0].toFixed(2)}–${spread[1].toFixed(2)}` : '',
    best === undefined ? '' : number(best, unit),
    milliseconds ? `${milliseconds.measured.toFixed(0)} / ${milliseconds.against.toFixed(0)}` : '',
    targetText(target, unit),
    verdict(target),
    next ? `${targetText(next, unit)} ${verdict(next)}` : '',
  ];
}

/** The rows as a Markdown table whose columns line up, so that it reads in a terminal too. */
export function table(rows: readonly Row[]): string {
  const lines = [HEAD, ...rows.map(cells)];
  const widths = HEAD.map((_, i) => Math.max(...lines.map((line) => line[i].length)));
  const text = (line: readonly string[]): string =>
    `| ${line.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`;
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`;
  return [text(HEAD), rule, ...lines.slice(1).map(text)].join('\n');
}

/** The result file for people. */
export function markdown(environment: Environment, rows: readonly Row[], notes: readonly string[]): string {
  const { date, cpu, cores, threads, clock, load, node, runtime, python, checkpoint } = environment;
  return `# Benchmark

${date}; ${cpu}, ${cores} cores (load ${load.toFixed(1)} before the run), ${threads} threads on both sides, ${clock} time; Node ${node}; ${runtime}; ${python};
checkpoint ${checkpoint}.

Values are medians over rounds in which everything compared runs in turn; "best" is fastest over fastest.

${table(rows)}
${notes.map((note) => `\n- ${note}`).join('')}
`;
}
