import { badTokenizer } from './fields.ts';

/** What steps may make of a text, in characters: a few that each write twice as much would fill the memory. */
const MOST_TIMES = 64;
const SPARE = 100_000;

/** @throws HeadscopeError `bad-tokenizer` when `length` characters are more than can be meant to be made of `of` characters */
export function checkGrowth(length: number, of: number, where: string): void {
  if (length > MOST_TIMES * of + SPARE) {
    throw badTokenizer(
      `${where} makes more than ${MOST_TIMES * of + SPARE} characters out of a text of ${of}`,
    );
  }
}

/** Characters of all parts. */
export function totalLength<T>(parts: readonly T[], textOf: (part: T) => string): number {
  return parts.reduce((sum, part) => sum + textOf(part).length, 0);
}
