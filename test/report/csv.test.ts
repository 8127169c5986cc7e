import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { csvField, toCsv } from '../../src/report/csv.ts';

/** Reads RFC 4180 as the standard's grammar has it. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [[]];
  let at = 0;
  while (at < text.length) {
    const quoted = /^"((?:[^"]|"")*)"/.exec(text.slice(at));
    const field = quoted ?? /^([^",\r\n]*)/.exec(text.slice(at))!;
    rows.at(-1)!.push(quoted ? field[1].replaceAll('""', '"') : field[1]);
    at += field[0].length;
    if (text[at] === ',') at++;
    else if (text.startsWith('\r\n', at)) {
      at += 2;
      if (at < text.length) rows.push([]);
    } else throw new Error(`not CSV at ${at}: ${JSON.stringify(text.slice(at, at + 20))}`);
  }
  return rows;
}

describe('CSV', () => {
  it('is fields, commas and CRLF', () => {
    const rows = [
      ['a,b', 1.5, null, true],
      ['say "hi"', -0.25, 'two\nlines', false],
    ];
    expect(toCsv({ head: ['x', 'y', 'z', 'w'], rows })).toBe(
      'x,y,z,w\r\n"a,b",1.5,,true\r\n"say ""hi""",-0.25,"two\nlines",false\r\n',
    );
  });

  it('keeps every digit of a number', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        expect(Number(csvField(value))).toBe(value === 0 ? 0 : value);
      }),
    );
  });

  it.each([
    '=1+1',
    '+A1',
    '-A1',
    '@SUM(A1)',
    "=cmd|' /C calc'!A0",
    '\t=1',
    '\r=1',
    '＝1+1',
    '-',
    '@',
    '-1+2',
    '=5',
  ])('does not let a spreadsheet run %j', (text) => {
    expect(parseCsv(`${csvField(text)}\r\n`)).toEqual([[`'${text}`]]);
  });

  it.each(['-5', '+3.5', '-.5e-3', 'a=b', ' =1', "'", 'L0H1'])('leaves %j alone', (text) => {
    expect(parseCsv(`${csvField(text)}\r\n`)).toEqual([[text]]);
  });

  it('gives back any text that is neither a formula nor holds NUL', () => {
    const text = fc
      .string({ unit: fc.nat(0xffff).map((code) => String.fromCharCode(code)) })
      .filter((s) => !/^[=+\-@\t\r\n＝＋－＠]|\0/.test(s));
    fc.assert(
      fc.property(fc.array(fc.tuple(text, text), { minLength: 1 }), (rows) => {
        expect(parseCsv(toCsv({ head: ['a', 'b'], rows }))).toEqual([['a', 'b'], ...rows]);
      }),
    );
  });
});
