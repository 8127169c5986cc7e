/** Text that comes from a model or a file, made visible and safe. It is text in every rendering, never markup. */

// What cannot be seen, reorders its neighbours (bidirectional controls), or is not a character at all. The zero-width joiners and
// variation selectors stay: Indic scripts, Persian and emoji need them.
const UNSEEN =
  /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Noncharacter_Code_Point}\u{ad}\u{200b}\u{2060}-\u{2064}\u{feff}\u{fff9}-\u{fffb}\u{e0000}-\u{e0fff}]/gu;

/** Replaces what a reader could not see: a newline becomes ↵, a lone surrogate �, U+202E the word ⟨U+202E⟩. */
export function visible(text: string): string {
  return text.replace(UNSEEN, (character) => {
    const code = character.codePointAt(0)!;
    if (character === '\n') return '↵';
    if (character === '\t') return '⇥';
    if (code >= 0xd800 && code <= 0xdfff) return '\ufffd';
    return `⟨U+${code.toString(16).toUpperCase().padStart(4, '0')}⟩`;
  });
}

/** Running text: tabs and line ends are spaces, everything else as in `visible`. */
export function prose(text: string): string {
  return visible(text.replace(/[\t\r\n]+/g, ' '));
}

/** The paragraphs of plain text, which an empty line separates. */
export function paragraphs(text: string): string[] {
  return text
    .split(/\r?\n[ \t]*\r?\n/)
    .map((part) => prose(part).trim())
    .filter((part) => part !== '');
}

/** At most `most` characters, the last of them … where something was cut. */
export function shorten(text: string, most: number): string {
  const characters = Array.from(text);
  return characters.length <= most ? text : characters.slice(0, most - 1).join('') + '…';
}

/** A token's text: spaces at its ends become ·, a combining mark gets a ◌ to stand on, nothing becomes ⟨empty⟩. */
export function tokenText(token: string): string {
  if (token === '') return '⟨empty⟩';
  const shown = visible(token).replace(/^ +| +$/g, (spaces) => '·'.repeat(spaces.length));
  return /^\p{M}/u.test(shown) ? `◌${shown}` : shown;
}

/** Text as the content of an HTML or SVG element, or between double or single quotes of an attribute. */
export function escapeMarkup(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** How wide a line of text is in a sans-serif face, in pixels; an estimate, the same on every machine. */
export function textWidth(text: string, fontSize: number): number {
  let em = 0;
  for (const character of text) {
    if (/\p{M}|\u200c|\u200d/u.test(character)) continue;
    else if (
      /[\u1100-\u115f\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uff60]|\p{Extended_Pictographic}/u.test(
        character,
      )
    )
      em += 1;
    else if (/[iljtfrI.,:;'|!()[\] ]/.test(character)) em += 0.34;
    else if (/[mwMW@%−+=<>|Δ]/.test(character)) em += 0.86;
    else em += /\p{Lu}/u.test(character) ? 0.68 : 0.61;
  }
  return em * fontSize;
}
