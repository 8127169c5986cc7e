import { SplitPreTokenizer } from '@huggingface/tokenizers';
import { HeadscopeError } from '../../errors.ts';
import { asFields, asText, badTokenizer } from './fields.ts';
import { patternDegree } from './pattern-cost.ts';

/** Longer patterns than this occur in no published tokenizer; translating them takes quadratic time. */
const MAX_PATTERN_LENGTH = 5000;

/** A pattern of a tokenizer.json. */
export interface Pattern {
  /** With the `g` and `u` flags. */
  readonly regex: RegExp;
  /** Whether a failing search at one position can take time in proportion to the text, so that searching has to be watched. */
  readonly watched: boolean;
}

/**
 * Compiles a tokenizer.json pattern, `{"String": "..."}` or `{"Regex": "..."}`, to a global JavaScript regular expression.
 * Regular expressions there are Oniguruma's; the tokenizer library translates them.
 * @throws HeadscopeError `bad-tokenizer` when the pattern is malformed, has no JavaScript form, or could take forever on some text
 */
export function compilePattern(value: unknown, where: string): Pattern {
  const fields = asFields(value, where);
  const isRegex = fields.Regex !== undefined;
  const source = asText(isRegex ? fields.Regex : fields.String, `${where} (a String or a Regex)`);
  if (source === '') throw badTokenizer(`${where} is empty`);
  if (source.length > MAX_PATTERN_LENGTH) {
    throw badTokenizer(`${where} has more than ${MAX_PATTERN_LENGTH} characters`);
  }
  let compiled: RegExp | null;
  try {
    compiled = new SplitPreTokenizer({
      type: 'Split',
      behavior: 'Isolated',
      invert: true,
      pattern: isRegex ? { Regex: source } : { String: source },
    }).pattern;
  } catch (cause) {
    throw badTokenizer(`${where} is not a pattern that can be used here: ${String(cause)}`, cause);
  }
  if (compiled === null) throw badTokenizer(`${where} is not a pattern`);
  const regex = source.includes('(?i:') ? withUnicodeFolding(compiled) : compiled;
  const degree = isRegex ? patternDegree(regex.source, where) : 0;
  if (degree > 1) {
    throw badTokenizer(
      `${where} has several open-ended repetitions before something that can fail, so that searching it could take forever`,
    );
  }
  return { regex, watched: degree > 0 };
}

/**
 * The translation folds only ASCII case inside `(?i:...)`. Two other characters fold to ASCII letters in Oniguruma: the long s
 * (U+017F) and the Kelvin sign (U+212A). They decide how `'ſ` is split by the patterns of Llama 3 and Qwen.
 */
function withUnicodeFolding(pattern: RegExp): RegExp {
  return new RegExp(pattern.source.replaceAll('[sS]', '[sS\\u017F]').replaceAll('[kK]', '[kK\\u212A]'), 'gu');
}

/** Failing searches of watched patterns may take this long for one text. */
const MOST_FAILING_MS = 1000;

let failingMs = 0;

/** To be called before a text is encoded or decoded: its searches have the whole time again. */
export function startText(): void {
  failingMs = 0;
}

/**
 * All matches and the text between them, in order, covering `text`.
 * @throws HeadscopeError `prompt-too-slow` when a pattern that has to be watched fails for too long
 */
export function matchesAndGaps(
  text: string,
  { regex, watched }: Pattern,
): { text: string; isMatch: boolean }[] {
  const out: { text: string; isMatch: boolean }[] = [];
  let end = 0;
  for (const match of watched ? watchedMatches(text, regex) : text.matchAll(regex)) {
    if (match.index > end) out.push({ text: text.slice(end, match.index), isMatch: false });
    out.push({ text: match[0], isMatch: true });
    end = match.index + match[0].length;
  }
  if (end < text.length) out.push({ text: text.slice(end), isMatch: false });
  return out;
}

/** As `matchAll`, one position after the other, so that the time of those that fail can be taken. */
function* watchedMatches(text: string, regex: RegExp): Generator<RegExpExecArray> {
  const here = new RegExp(regex.source, 'uy');
  const skip = (at: number): number => at + ((text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1);
  let at = 0;
  let failingSince: number | undefined;
  while (at <= text.length) {
    here.lastIndex = at;
    const match = here.exec(text);
    if (match !== null) {
      failingSince = undefined;
      at = match[0] === '' ? skip(at) : at + match[0].length;
      yield match;
      continue;
    }
    at = skip(at);
    const now = performance.now();
    failingMs += failingSince === undefined ? 0 : now - failingSince;
    failingSince = now;
    if (failingMs > MOST_FAILING_MS) {
      throw new HeadscopeError(
        'prompt-too-slow',
        `The tokenizer's pattern ${regex.source.slice(0, 60)} takes too long on this text. Shorten the text.`,
      );
    }
  }
}
