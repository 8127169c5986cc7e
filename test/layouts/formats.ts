import { readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'vitest';
import { inRepository } from '../helpers/models.ts';

/*
 * docs/formats.md is what the tests found: each file of tests collects the rows of one section while it runs, and compares them with the
 * committed file at its end. `UPDATE_FORMATS=1 npx vitest run --no-file-parallelism test/layouts test/anatomy/unfuse.test.ts` writes them.
 */

const FILE = inRepository('docs/formats.md');

/** A measured error, which the file states a bound of. */
export interface Figure {
  readonly measured: number;
}

/** An error as a cell of a row. */
export const figure = (measured: number): Figure => ({ measured });

/** Below this, machines differ in what they measure. */
const SMALLEST = 1e-6;

/** The power of ten that is three times what was measured, or more: room for another order of additions on another CPU. */
const boundOf = ({ measured }: Figure): string =>
  `1e${Math.ceil(Math.log10(Math.max(3 * measured, SMALLEST)))}`;

/** Whether a bound holds, and is not a thousand times what is measured. */
const fits = (stated: string, { measured }: Figure): boolean =>
  measured <= Number(stated) && Number(stated) <= 1000 * Math.max(measured, SMALLEST);

/** Rows of one table of docs/formats.md. */
export class FormatRows {
  private readonly section: string;
  private readonly columns: readonly string[];
  private readonly rows: (readonly (string | Figure)[])[] = [];

  /** @param section heading of the table in the file */
  constructor(section: string, columns: readonly string[]) {
    this.section = section;
    this.columns = columns;
  }

  add(...row: readonly (string | Figure)[]): void {
    this.rows.push(row);
  }

  /** Compares the rows with the committed file, or writes them there when asked to: words must be the same, bounds must hold. */
  check(): void {
    const update = process.env.UPDATE_FORMATS === '1';
    const text = readFileSync(FILE, 'utf8');
    const heading = `## ${this.section}\n`;
    const from = text.indexOf(heading) + heading.length;
    expect(text, 'docs/formats.md').toContain(heading);
    const start = text.indexOf('\n| ', from) + 1;
    const next = text.indexOf('\n\n', start);
    const end = next < 0 ? text.trimEnd().length : next;
    const stated = text
      .slice(start, end)
      .split('\n')
      .slice(2)
      .map((row) => row.slice(2, -2).split(' | '));
    const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
    const rows = this.rows.map((cells, i) =>
      cells.map((cell, j) => {
        if (typeof cell === 'string') return cell;
        const before = stated[i]?.[j];
        return !update && before && fits(before, cell) ? before : boundOf(cell);
      }),
    );
    const table = [this.columns, this.columns.map(() => '---'), ...rows].map(line).join('\n');
    if (update) writeFileSync(FILE, `${text.slice(0, start)}${table}${text.slice(end)}`);
    else
      expect(text.slice(start, end), 'docs/formats.md; UPDATE_FORMATS=1 writes what was found').toBe(table);
  }
}
