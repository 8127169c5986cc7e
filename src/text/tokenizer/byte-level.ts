/**
 * GPT-2's reversible map from bytes to printable characters (Radford et al. 2019, `bytes_to_unicode`): bytes that Latin-1 prints
 * stand for themselves, the other 68 become U+0100, U+0101, ... in order.
 */
const BYTE_TO_CHAR: readonly string[] = (() => {
  const printable = (b: number): boolean => (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b !== 0xad);
  let next = 0x100;
  return Array.from({ length: 256 }, (_, b) => String.fromCharCode(printable(b) ? b : next++));
})();

/** The printable character of a byte. */
export const byteChar = (byte: number): string => BYTE_TO_CHAR[byte];

const CHAR_TO_BYTE: ReadonlyMap<string, number> = new Map(BYTE_TO_CHAR.map((char, byte) => [char, byte]));

const encoder = new TextEncoder();

/** The UTF-8 bytes of `text`, each written as its printable character. */
export function toByteChars(text: string): string {
  let out = '';
  for (const byte of encoder.encode(text)) out += BYTE_TO_CHAR[byte];
  return out;
}

/** The bytes a byte-level token stands for; a character outside the map stands for its own UTF-8 bytes. */
export function fromByteChars(token: string): number[] {
  const bytes: number[] = [];
  for (const char of token) {
    const byte = CHAR_TO_BYTE.get(char);
    if (byte === undefined) bytes.push(...encoder.encode(char));
    else bytes.push(byte);
  }
  return bytes;
}

const BYTE_TOKEN = /^<0x([0-9A-Fa-f]{2})>$/;

/** The byte of a byte-fallback token such as `<0xE4>`, undefined for any other token. */
export function byteOfToken(token: string): number | undefined {
  const match = BYTE_TOKEN.exec(token);
  return match === null ? undefined : Number.parseInt(match[1], 16);
}

/** The byte-fallback tokens that spell `text` in UTF-8. */
export function byteTokens(text: string): string[] {
  return Array.from(
    encoder.encode(text),
    (byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  );
}
