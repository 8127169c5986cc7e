import { readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'vitest';
import { inRepository } from '../helpers/models.ts';

/*
 * docs/formats.md is what the tests found: each file of tests collects the rows of one section while it runs, and compares them with the
 * committed file at its end. `UPDATE_FORMATS=1 npx vitest run --no-file-parallelism test/layouts test/anatomy/unfuse.test.ts` writes them.
 */

const FILE = inRepository('docs/formats.md');

/** The next power of ten, so that a figure is the same on every machine; below 1e-6 machines differ. */
export const roundedUp = (error: number): string => `1e${Math.ceil(Math.log10(Math.max(error, 1e-6)))}`;

/** Rows of one table of docs/formats.md. */
export class FormatRows {
  private readonly section: string;
  private readonly columns: readonly string[];
  private readonly rows: (readonly string[])[] = [];

  /** @param section heading of the table in the file */
  constructor(section: string, columns: readonly string[]) {
    this.section = section;
    this.columns = columns;
  }

  add(...row: readonly string[]): void {
    this.rows.push(row);
  }

  /** Compares the rows with the committed file, or writes them there when asked to. */
  check(): void {
    const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
    const table = [line(this.columns), line(this.columns.map(() => '---')), ...this.rows.map(line)].join(
      '\n',
    );
    const text = readFileSync(FILE, 'utf8');
    const heading = `## ${this.section}\n`;
    const from = text.indexOf(heading) + heading.length;
    expect(text, 'docs/formats.md').toContain(heading);
    const start = text.indexOf('\n| ', from) + 1;
    const next = text.indexOf('\n\n', start);
    const end = next < 0 ? text.trimEnd().length : next;
    if (process.env.UPDATE_FORMATS === '1')
      writeFileSync(FILE, `${text.slice(0, start)}${table}${text.slice(end)}`);
    else
      expect(text.slice(start, end), 'docs/formats.md; UPDATE_FORMATS=1 writes what was found').toBe(table);
  }
}
