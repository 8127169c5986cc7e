import { asFields, asText, badTokenizer, flag, sequenceParts, text as textField } from './fields.ts';
import type { Fields } from './fields.ts';
import { checkGrowth } from './growth.ts';
import { compilePattern, matchesAndGaps } from './pattern.ts';
import { precompiledNormalizer } from './precompiled.ts';
import { toByteChars } from './byte-level.ts';

/** Rewrites a stretch of the prompt before it is split. */
export type Normalizer = (text: string) => string;

/**
 * The `normalizer` of a tokenizer.json, as the reference implementation (Hugging Face tokenizers, Rust) computes it; null means none.
 * @throws HeadscopeError `bad-tokenizer` for a malformed or unknown normalizer
 */
export function createNormalizer(
  config: unknown,
  where = 'tokenizer.json normalizer',
  depth = 0,
): Normalizer {
  if (config === null || config === undefined) return (text) => text;
  const fields = asFields(config, where);
  const type = asText(fields.type, `${where}.type`);
  switch (type) {
    case 'Sequence': {
      const parts = sequenceParts(fields, 'normalizers', where, depth).map((part, i) =>
        createNormalizer(part, `${where}.normalizers[${i}]`, depth + 1),
      );
      return (text) =>
        parts.reduce((result, part) => {
          const next = part(result);
          checkGrowth(next.length, text.length, where);
          return next;
        }, text);
    }
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return (text) => text.normalize(type);
    case 'Lowercase':
      return lowercase;
    case 'Strip':
      return strip(flag(fields, 'strip_left', where, true), flag(fields, 'strip_right', where, true));
    case 'StripAccents':
      return (text) => text.replace(/\p{M}/gu, '');
    case 'Replace':
      return replace(fields, where);
    case 'Prepend': {
      const prefix = textField(fields, 'prepend', where, '');
      return (text) => (text === '' ? text : prefix + text);
    }
    case 'Precompiled':
      return precompiledNormalizer(textField(fields, 'precompiled_charsmap', where, ''), where);
    case 'Nmt':
      return nmt;
    case 'ByteLevel':
      return toByteChars;
    case 'BertNormalizer':
      return bert(fields, where);
    default:
      throw badTokenizer(`${where} is of the unknown type "${type}"`);
  }
}

/** Character by character, as the reference does: a capital sigma at the end of a word becomes σ, not ς. */
function lowercase(text: string): string {
  return text.toLowerCase().includes('ς')
    ? Array.from(text, (char) => char.toLowerCase()).join('')
    : text.toLowerCase();
}

/** `trim` would also take U+FEFF and leave U+0085: Unicode's White_Space is what counts. */
function strip(left: boolean, right: boolean): Normalizer {
  return (text) => {
    const start = left ? text.replace(/^\p{White_Space}+/u, '') : text;
    if (!right) return start;
    let end = start.length;
    while (end > 0 && /\p{White_Space}/u.test(start[end - 1])) end--;
    return start.slice(0, end);
  };
}

/** The replacement is literal text here; a plain `replaceAll` would expand `$&` in it. */
export function replace(fields: Fields, where: string): Normalizer {
  const pattern = compilePattern(fields.pattern, `${where}.pattern`);
  const content = textField(fields, 'content', where, '');
  return (text) => {
    const parts = matchesAndGaps(text, pattern);
    const matches = parts.reduce((count, part) => count + (part.isMatch ? 1 : 0), 0);
    checkGrowth(matches * content.length, text.length, where);
    return parts.map((part) => (part.isMatch ? content : part.text)).join('');
  };
}

/** SentencePiece's `nmt` clean-up: control characters go, other invisible or space-like characters become spaces. */
function nmt(text: string): string {
  return (
    text
      // eslint-disable-next-line no-control-regex -- control characters are what it removes
      .replace(/[\u0001-\u0008\u000B\u000E-\u001F\u007F\u008F\u009F]/g, '')
      .replace(/[\t\n\f\r\u1680\u200B-\u200F\u2028\u2029\u2581\uFEFF\uFFFD]/g, ' ')
  );
}

/** BERT's BasicTokenizer clean-up (Devlin et al. 2019): control characters, CJK spacing, accents, case, in this order. */
function bert(fields: Fields, where: string): Normalizer {
  const clean = flag(fields, 'clean_text', where, true);
  const cjk = flag(fields, 'handle_chinese_chars', where, true);
  const lower = flag(fields, 'lowercase', where, true);
  const accents = flag(fields, 'strip_accents', where, lower);
  return (text) => {
    let out = text;
    if (clean) {
      out = out.replace(/(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}\uFFFD]/gu, '').replace(/\p{White_Space}/gu, ' ');
    }
    if (cjk) out = out.replace(CJK_IDEOGRAPH, ' $& ');
    if (accents) out = out.normalize('NFD').replace(/\p{Mn}/gu, '');
    return lower ? lowercase(out) : out;
  };
}

/** Extension E starts at U+2B920 in the reference, not at U+2B820 as in Unicode; a vocabulary was made with what the reference does. */
const CJK_IDEOGRAPH =
  /[\u4E00-\u9FFF\u3400-\u4DBF\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B920}-\u{2CEAF}\uF900-\uFAFF\u{2F800}-\u{2FA1F}]/gu;
