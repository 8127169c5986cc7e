import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  escapeMarkup,
  paragraphs,
  prose,
  shorten,
  textWidth,
  tokenText,
  visible,
} from '../../src/report/text.ts';
import { parseMarkup, textOf } from './markup.ts';

/** Any UTF-16 at all, lone surrogates included. */
const codeUnits = fc.string({ unit: fc.nat(0xffff).map((code) => String.fromCharCode(code)) });

describe('text from a model', () => {
  it.each([
    ['plain, ünïcode 中文 👩‍👩‍👧', 'plain, ünïcode 中文 👩‍👩‍👧'],
    ['a\nb\tc', 'a↵b⇥c'],
    ['\0\x1b\x7f\x85', '⟨U+0000⟩⟨U+001B⟩⟨U+007F⟩⟨U+0085⟩'],
    ['\ud800x\udfff', '\ufffdx\ufffd'],
    ['\u202eevil\u2066', '⟨U+202E⟩evil⟨U+2066⟩'],
    ['\ufeff\u200b\u2028\ufffe', '⟨U+FEFF⟩⟨U+200B⟩⟨U+2028⟩⟨U+FFFE⟩'],
    ['שלום', 'שלום'],
  ])('%j is seen as %j', (text, seen) => {
    expect(visible(text)).toBe(seen);
  });

  it('can stand in XML whatever it was, and is the same text again', () => {
    fc.assert(
      fc.property(codeUnits, (text) => {
        const seen = visible(text);
        expect(textOf(parseMarkup(`<t a="${escapeMarkup(seen)}">${escapeMarkup(seen)}</t>`))).toBe(seen);
        expect(seen).not.toMatch(/\p{Cs}/u);
      }),
    );
  });

  it('shows the spaces and the nothing of a token', () => {
    expect(tokenText(' the')).toBe('·the');
    expect(tokenText('  ')).toBe('··');
    expect(tokenText('New York ')).toBe('New York·');
    expect(tokenText('')).toBe('⟨empty⟩');
    expect(tokenText('\u0301')).toBe('◌\u0301');
  });

  it('cuts between characters, never inside one', () => {
    expect(shorten('😀😀😀😀', 3)).toBe('😀😀…');
    expect(shorten('abc', 3)).toBe('abc');
  });

  it('splits prose at empty lines', () => {
    expect(paragraphs('One\nline.\r\n\r\nTwo <b>.\n\n\n')).toEqual(['One line.', 'Two <b>.']);
    expect(prose('a\r\n\tb')).toBe('a b');
  });

  it('knows wide from narrow', () => {
    expect(textWidth('中文', 10)).toBe(20);
    expect(textWidth('mmm', 10)).toBeGreaterThan(2 * textWidth('lll', 10));
    expect(textWidth('e\u0301', 10)).toBe(textWidth('e', 10));
  });
});
