import { asFields, asInteger, asList, asText, badTokenizer, flag } from './fields.ts';
import type { Normalizer } from './normalizer.ts';
import { PrefixIndex } from './prefix-index.ts';

/** A token that is found in the text before the model sees it: specials such as `<bos>`, and words added after training. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  /** Found in normalised instead of raw text. */
  readonly normalized: boolean;
  /** Found only where no word character touches it. */
  readonly singleWord: boolean;
  /** Swallows the white space before it, after it. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
}

/** The highest token id that is accepted; published vocabularies stay below 2 million. */
export const MAX_TOKEN_ID = 16_777_215;

/**
 * The `added_tokens` of a tokenizer.json.
 * @param where what errors call the list
 * @throws HeadscopeError `bad-tokenizer`
 */
export function readAddedTokens(value: unknown, where: string): AddedToken[] {
  const items = asList(value ?? [], where);
  checkAddedCount(items.length, where);
  return items
    .map((item, i) => readAddedToken(item, asFields(item, `${where}[${i}]`).id, `${where}[${i}]`))
    .filter((token) => token.content !== '');
}

/** One added token; some files keep its id outside. @throws HeadscopeError `bad-tokenizer` */
export function readAddedToken(item: unknown, id: unknown, where: string): AddedToken {
  const fields = asFields(item, where);
  const special = flag(fields, 'special', where, false);
  return {
    id: asInteger(id, `${where}.id`, 0, MAX_TOKEN_ID),
    content: asText(fields.content, `${where}.content`),
    special,
    normalized: flag(fields, 'normalized', where, !special),
    singleWord: flag(fields, 'single_word', where, false),
    lstrip: flag(fields, 'lstrip', where, false),
    rstrip: flag(fields, 'rstrip', where, false),
  };
}

/** More added tokens than this are refused; published tokenizers have some ten thousand at most. */
const MOST_ADDED = 50_000;

/** @throws HeadscopeError `bad-tokenizer` for more added tokens than are accepted */
export function checkAddedCount(count: number, where: string): void {
  if (count > MOST_ADDED) throw badTokenizer(`${where} has more than ${MOST_ADDED} added or special tokens`);
}

/** A stretch of text, or an added token found there. */
export type Section =
  { readonly text: string; readonly start: number } | { readonly id: number; readonly start: number };

const WORD_END = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const WORD_START = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const SPACE = /\p{White_Space}/u;

/**
 * Finds added tokens, the leftmost and then the longest, and returns them with the text between them (never empty).
 * @param normalize set for tokens that are looked for in normalised text
 */
export function addedTokenSplitter(
  tokens: readonly AddedToken[],
  normalize?: Normalizer,
): (text: string) => Section[] {
  const byContent = new Map<string, AddedToken>();
  for (const token of tokens) {
    const content = normalize === undefined ? token.content : normalize(token.content);
    // Of two tokens with one normalised text the first is found.
    if (!byContent.has(content)) byContent.set(content, token);
  }
  const index = PrefixIndex.of(byContent.keys());

  return (text) => {
    const sections: Section[] = [];
    let taken = 0;
    let at = 0;
    while (at < text.length && byContent.size > 0) {
      const found = index.longest(text, at);
      if (found === undefined) {
        at++;
        continue;
      }
      const token = byContent.get(found) as AddedToken;
      let start = at;
      let end = at + found.length;
      at = end;
      if (token.singleWord && touchesWord(text, start, end)) continue;
      if (token.lstrip) while (start > taken && SPACE.test(text[start - 1])) start--;
      if (token.rstrip) while (end < text.length && SPACE.test(text[end])) end++;
      if (start > taken) sections.push({ text: text.slice(taken, start), start: taken });
      sections.push({ id: token.id, start });
      // As in the reference, a token inside white space that `rstrip` has just swallowed is still found.
      taken = end;
    }
    if (taken < text.length) sections.push({ text: text.slice(taken), start: taken });
    return sections;
  };
}

/** Whether a word character stands right before `start` or right after `end`. */
function touchesWord(text: string, start: number, end: number): boolean {
  // Two units hold a whole character.
  return (
    WORD_END.test(text.slice(Math.max(0, start - 2), start)) || WORD_START.test(text.slice(end, end + 2))
  );
}

/** @throws HeadscopeError `bad-tokenizer` when two added tokens claim one id or one text has two ids */
export function checkAddedTokens(tokens: readonly AddedToken[], where: string): void {
  const seen = new Map<number, string>();
  for (const { id, content } of tokens) {
    const other = seen.get(id);
    if (other !== undefined && other !== content) {
      throw badTokenizer(`${where} gives the id ${id} to two added tokens, "${other}" and "${content}"`);
    }
    seen.set(id, content);
  }
}
