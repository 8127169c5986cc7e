import { SplitPreTokenizer } from '@huggingface/tokenizers';
import { asFields, asText, badTokenizer } from './fields.ts';

/** Longer patterns than this occur in no published tokenizer; translating them takes quadratic time. */
const MAX_PATTERN_LENGTH = 5000;

/**
 * Compiles a tokenizer.json pattern, `{"String": "..."}` or `{"Regex": "..."}`, to a global JavaScript regular expression.
 * Regular expressions there are Oniguruma's; the tokenizer library translates them.
 * @throws HeadscopeError `bad-tokenizer` when the pattern is malformed or has no JavaScript form
 */
export function compilePattern(value: unknown, where: string): RegExp {
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
  return source.includes('(?i:') ? withUnicodeFolding(compiled) : compiled;
}

/**
 * The translation folds only ASCII case inside `(?i:...)`. Two other characters fold to ASCII letters in Oniguruma: the long s
 * (U+017F) and the Kelvin sign (U+212A). They decide how `'ſ` is split by the patterns of Llama 3 and Qwen.
 */
function withUnicodeFolding(pattern: RegExp): RegExp {
  return new RegExp(pattern.source.replaceAll('[sS]', '[sS\\u017F]').replaceAll('[kK]', '[kK\\u212A]'), 'gu');
}

/** All matches and the text between them, in order, covering `text`. */
export function matchesAndGaps(text: string, pattern: RegExp): { text: string; isMatch: boolean }[] {
  const out: { text: string; isMatch: boolean }[] = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    if (match.index > end) out.push({ text: text.slice(end, match.index), isMatch: false });
    out.push({ text: match[0], isMatch: true });
    end = match.index + match[0].length;
  }
  if (end < text.length) out.push({ text: text.slice(end), isMatch: false });
  return out;
}
