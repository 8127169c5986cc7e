import { HeadscopeError } from '../errors.ts';

/** How a command talks: tables or JSON on stdout, progress on stderr when that is a terminal. */
export interface Output {
  readonly json: boolean;
  readonly quiet: boolean;
  /** Prints the command's one document, or its human-readable form. */
  document(value: unknown, human: () => string): void;
  /** A line for people; nothing with --json or --quiet. */
  note(line: string): void;
  /** Progress of a named step; returns what to call at its end. */
  progress(step: string): { update: (done: number, total: number) => void; end: () => void };
}

const BAR = 24;

export function createOutput(options: { json?: boolean; quiet?: boolean }): Output {
  const json = options.json === true;
  const quiet = options.quiet === true;
  const live = !quiet && process.stderr.isTTY === true;
  return {
    json,
    quiet,
    document: (value, human) =>
      process.stdout.write(json ? `${JSON.stringify(value, jsonNumber, 2)}\n` : `${human()}\n`),
    note: (line) => {
      if (!json && !quiet) process.stderr.write(`${line}\n`);
    },
    progress(step) {
      const start = Date.now();
      return {
        update(done, total) {
          if (!live || total <= 0) return;
          const share = Math.min(1, done / total);
          const filled = Math.round(share * BAR);
          const elapsed = (Date.now() - start) / 1000;
          const left = share > 0 ? elapsed / share - elapsed : 0;
          process.stderr.write(
            `\r\x1b[K${step} ${'█'.repeat(filled)}${'░'.repeat(BAR - filled)} ${Math.round(share * 100)} % · ${left.toFixed(0)} s left`,
          );
        },
        end() {
          if (live) process.stderr.write('\r\x1b[K');
        },
      };
    },
  };
}

/** JSON has no NaN or infinity: they become null; typed arrays become arrays. */
function jsonNumber(_: string, value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) return null;
  if (ArrayBuffer.isView(value) && !(value instanceof DataView))
    return Array.from(value as unknown as ArrayLike<number>);
  return value;
}

/** Control characters and escape sequences in a model's strings must not reach the terminal. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cs}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** An aligned table; numbers to the right. */
export function textTable(
  head: readonly string[],
  rows: readonly (readonly (string | number | null)[])[],
): string {
  const cells = rows.map((row) =>
    row.map((value) =>
      value === null ? '–' : typeof value === 'number' ? formatNumber(value) : printable(value),
    ),
  );
  const widths = head.map((title, i) => Math.max(title.length, ...cells.map((row) => row[i].length)));
  const right = head.map((_, i) => rows.some((row) => typeof row[i] === 'number'));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (right[i] ? cell.padStart(widths[i]) : cell.padEnd(widths[i])))
      .join('  ')
      .trimEnd();
  return [line(head), line(widths.map((width) => '─'.repeat(width))), ...cells.map(line)].join('\n');
}

export function formatNumber(value: number): string {
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e5)
    ? value.toExponential(2)
    : value.toFixed(size >= 100 ? 1 : 3);
}

/** "3:20" as [3, 20). @throws HeadscopeError `bad-option` */
export function parseSpan(text: string): [number, number] {
  const match = /^(\d+):(\d+)$/.exec(text);
  if (!match || Number(match[1]) >= Number(match[2]))
    throw new HeadscopeError(
      'bad-option',
      `${JSON.stringify(text)} is no span; write start:end, such as 3:20.`,
    );
  return [Number(match[1]), Number(match[2])];
}

/** A finite number within bounds. @throws HeadscopeError `bad-option` */
export function parseNumber(
  name: string,
  low = -Infinity,
  high = Infinity,
  whole = false,
): (text: string) => number {
  return (text) => {
    const value = text.trim() === '' ? NaN : Number(text);
    if (!Number.isFinite(value) || value < low || value > high || (whole && !Number.isInteger(value))) {
      const range =
        low === -Infinity && high === Infinity ? '' : ` from ${low} to ${high === Infinity ? 'any' : high}`;
      throw new HeadscopeError(
        'bad-option',
        `--${name} must be a ${whole ? 'whole ' : ''}number${range}, not ${JSON.stringify(text)}.`,
      );
    }
    return value;
  };
}
