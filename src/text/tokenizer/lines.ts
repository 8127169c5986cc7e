import { Units } from './units.ts';

const lenient = new TextDecoder('utf-8', { ignoreBOM: true });
const RETURN = 0x0d;
const NEWLINE = 0x0a;

/**
 * Calls `read` with each line of a text file and its number, counted from 0; a last line that is empty is none.
 * @param loneReturns whether a carriage return without a line feed ends a line too
 */
export function eachLine(
  bytes: Uint8Array,
  loneReturns: boolean,
  read: (line: Units, number: number) => void,
): void {
  const line = new Units();
  const hasMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  let number = 0;
  for (let from = hasMark ? 3 : 0; from < bytes.length; number++) {
    let end = from;
    while (end < bytes.length && bytes[end] !== NEWLINE && !(loneReturns && bytes[end] === RETURN)) end++;
    const isPair = bytes[end] === RETURN && bytes[end + 1] === NEWLINE;
    const next = end + (isPair ? 2 : 1);
    if (!loneReturns && bytes[end] === NEWLINE && bytes[end - 1] === RETURN && end > from) end--;
    if (line.setUtf8(bytes, from, end) < end) line.set(lenient.decode(bytes.subarray(from, end)));
    read(line, number);
    from = next;
  }
}

/** At least the number of lines. */
export function countLines(bytes: Uint8Array): number {
  let count = 1;
  for (const byte of bytes) if (byte === NEWLINE || byte === RETURN) count++;
  return count;
}
