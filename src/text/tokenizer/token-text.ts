import { byteOfToken, fromByteChars } from './byte-level.ts';
import type { Fields } from './fields.ts';
import type { PieceModel } from './model.ts';

/** How a vocabulary writes text. */
export interface TokenStyle {
  /** Tokens are bytes written as printable characters (GPT-2's map). */
  readonly byteLevel: boolean;
  /** The character that stands for a space (`▁`), if one does. */
  readonly spaceMark: string | undefined;
}

/** Reads the style off the configuration, wherever in its sequences the telling part stands. */
export function tokenStyle(file: Fields): TokenStyle {
  const parts = [file.pre_tokenizer, file.normalizer, file.decoder].flatMap((part) => flatten(part));
  const mark = parts.map(spaceMarkOf).find((found) => found !== undefined);
  return { byteLevel: parts.some((part) => part.type === 'ByteLevel'), spaceMark: mark };
}

function flatten(part: unknown): Fields[] {
  if (typeof part !== 'object' || part === null) return [];
  const fields = part as Fields;
  const children = [fields.pretokenizers, fields.normalizers, fields.decoders].find((list) =>
    Array.isArray(list),
  );
  return [fields, ...((children as unknown[] | undefined) ?? []).flatMap(flatten)];
}

function spaceMarkOf(part: Fields): string | undefined {
  if (part.type === 'Metaspace') return typeof part.replacement === 'string' ? part.replacement : '▁';
  const from = (part.pattern as Fields | undefined)?.String;
  const to = part.content;
  if (part.type !== 'Replace' || typeof from !== 'string' || typeof to !== 'string') return undefined;
  if (from === ' ' && to.length === 1) return to;
  return to === ' ' && from.length === 1 ? from : undefined;
}

/**
 * A vocabulary entry as a person reads it: byte-level and `▁` marks resolved to text, an incomplete character as `\xE2\x80`, line breaks
 * and invisible characters as escapes, so that every token is one visible line. WordPiece's `##` stays.
 */
export function displayText(token: string, style: TokenStyle, model: PieceModel): string {
  const byte = model.byteFallback ? byteOfToken(token) : undefined;
  if (byte !== undefined) return bytesToText([byte]);
  const isWordEnd = model.wordEnd !== '' && token.endsWith(model.wordEnd);
  let text = isWordEnd ? token.slice(0, -model.wordEnd.length) : token;
  if (style.byteLevel) text = bytesToText(fromByteChars(text));
  else if (style.spaceMark !== undefined) text = text.replaceAll(style.spaceMark, ' ');
  return visible(isWordEnd ? text + ' ' : text);
}

/** Escapes what cannot be seen: control and format characters, separators and spaces other than the plain one. */
export function visible(text: string): string {
  return text.replace(/(?! )[\p{C}\p{Z}]/gu, (char) => {
    const code = char.codePointAt(0) ?? 0;
    return SHORT_ESCAPES.get(char) ?? `\\u{${code.toString(16).toUpperCase()}}`;
  });
}

const SHORT_ESCAPES: ReadonlyMap<string, string> = new Map([
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
]);

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Complete UTF-8 characters as text, every other byte as `\xHH`. */
function bytesToText(bytes: readonly number[]): string {
  try {
    return strict.decode(Uint8Array.from(bytes));
  } catch {
    return partialText(bytes);
  }
}

function partialText(bytes: readonly number[]): string {
  let out = '';
  for (let i = 0; i < bytes.length;) {
    const length = bytes[i] < 0x80 ? 1 : bytes[i] >= 0xf0 ? 4 : bytes[i] >= 0xe0 ? 3 : 2;
    let char: string | undefined;
    try {
      if (i + length <= bytes.length) char = strict.decode(Uint8Array.from(bytes.slice(i, i + length)));
    } catch {
      char = undefined;
    }
    out += char ?? `\\x${bytes[i].toString(16).toUpperCase().padStart(2, '0')}`;
    i += char === undefined ? 1 : length;
  }
  return out;
}
