import type { CharsMap } from '../precompiled.ts';
import { readCharsMap } from '../precompiled.ts';
import type { PrefixIndex } from '../prefix-index.ts';
import type { SentencePieceFile } from './model-file.ts';

/** What stands for a space in pieces. */
export const SPACE_MARK = '▁';

/**
 * SentencePiece's normaliser (normalizer.cc): the character map by longest match, user-defined pieces left as they are, white space removed
 * or kept, spaces written as `▁`, one of them added in front (or at the end).
 * @returns a function of the text and of whether a space is added
 * @throws HeadscopeError `bad-tokenizer` when the character map does not fit
 */
export function sentencePieceNormalizer(
  file: SentencePieceFile,
  name: string,
): (text: string, addSpace: boolean) => string {
  const map = file.charsMap.length === 0 ? undefined : readCharsMap(file.charsMap, name);
  const kept = file.pieces.index('user-defined');
  const mark = file.escapeSpaces ? SPACE_MARK : ' ';
  return (text, addSpace) => {
    const parts = mappedParts(text, map, kept);
    let start = 0;
    if (file.removeExtraSpaces) while (parts[start] === ' ') start++;
    if (start === parts.length) return '';
    const space = addSpace && file.addDummyPrefix ? mark : '';
    let out = file.spaceAsSuffix ? '' : space;
    let afterSpace = file.removeExtraSpaces;
    for (let i = start; i < parts.length; i++) {
      const part = afterSpace ? parts[i].replace(/^ +/, '') : parts[i];
      if (part === '') continue;
      out += part.replaceAll(' ', mark);
      afterSpace = file.removeExtraSpaces && part.endsWith(' ');
    }
    if (file.removeExtraSpaces) {
      let end = out.length;
      while (end > 0 && out[end - 1] === mark) end--;
      out = out.slice(0, end);
    }
    return file.spaceAsSuffix ? out + space : out;
  };
}

const encoder = new TextEncoder();

/** The text in the steps in which it is mapped: user-defined pieces, keys of the map, single characters. */
function mappedParts(text: string, map: CharsMap | undefined, kept: PrefixIndex): string[] {
  // Surrogates without a partner cannot be written in UTF-8.
  const whole = text.replace(/\p{Cs}/gu, '\uFFFD');
  const bytes = map === undefined ? undefined : encoder.encode(whole);
  const parts: string[] = [];
  let at = 0;
  let byteAt = 0;
  const take = (byteLength: number): string => {
    const start = at;
    const byteEnd = byteAt + byteLength;
    while (byteAt < byteEnd && at < whole.length) {
      const code = whole.codePointAt(at) as number;
      byteAt += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
      at += code < 0x10000 ? 1 : 2;
    }
    return whole.slice(start, at);
  };
  while (at < whole.length) {
    const piece = kept.longest(whole, at);
    if (piece !== undefined) {
      parts.push(take(encoder.encode(piece).length));
      continue;
    }
    const mapped = bytes && map?.prefix(bytes, byteAt, 'longest');
    if (mapped === undefined) parts.push(take(1));
    else {
      take(mapped.length);
      parts.push(mapped.text);
    }
  }
  return parts;
}
