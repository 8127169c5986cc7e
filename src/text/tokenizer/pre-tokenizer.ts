import {
  asFields,
  asInteger,
  asText,
  badTokenizer,
  flag,
  oneOf,
  sequenceParts,
  text as textField,
} from './fields.ts';
import type { Fields } from './fields.ts';
import { checkGrowth, totalLength } from './growth.ts';
import { compilePattern, matchesAndGaps } from './pattern.ts';
import type { Pattern } from './pattern.ts';
import { toByteChars } from './byte-level.ts';
import { unicodeScripts } from './unicode-scripts.ts';

/** A stretch of normalised text that the model encodes by itself. */
export interface Piece {
  readonly text: string;
  /** Whether it begins at the first character of the prompt. */
  readonly first: boolean;
}

/** Splits a piece into smaller ones. */
export type PreTokenizer = (piece: Piece) => Piece[];

/**
 * The `pre_tokenizer` of a tokenizer.json, as the reference implementation (Hugging Face tokenizers, Rust) computes it; null means none.
 * The JavaScript library's own pre-tokenizers use JavaScript's `\s`, `\w` and `\d` and ignore most split behaviours, so that
 * their boundaries differ (U+FEFF and U+0085 as white space, `é` not a letter, `½` not a number); only its pattern translation is used.
 * @throws HeadscopeError `bad-tokenizer` for a malformed or unknown pre-tokenizer
 */
export function createPreTokenizer(
  config: unknown,
  where = 'tokenizer.json pre_tokenizer',
  depth = 0,
): PreTokenizer {
  if (config === null || config === undefined) return (piece) => [piece];
  const fields = asFields(config, where);
  const type = asText(fields.type, `${where}.type`);
  switch (type) {
    case 'Sequence': {
      const parts = sequenceParts(fields, 'pretokenizers', where, depth).map((part, i) =>
        createPreTokenizer(part, `${where}.pretokenizers[${i}]`, depth + 1),
      );
      return (piece) =>
        parts.reduce(
          (pieces, part) => {
            const next = pieces.flatMap(part);
            checkGrowth(
              totalLength(next, ({ text }) => text),
              piece.text.length,
              where,
            );
            return next;
          },
          [piece],
        );
    }
    case 'ByteLevel':
      return byteLevel(fields, where);
    case 'Metaspace':
      return metaspace(fields, where);
    case 'Whitespace':
      return splitter(WORD_OR_SYMBOLS, 'Removed', true);
    case 'WhitespaceSplit':
      return splitter(/\p{White_Space}/gu, 'Removed');
    case 'BertPreTokenizer': {
      const words = splitter(/\p{White_Space}/gu, 'Removed');
      const punctuation = splitter(PUNCTUATION, 'Isolated');
      return (piece) => words(piece).flatMap(punctuation);
    }
    case 'Punctuation':
      return splitter(PUNCTUATION, oneOf(fields, 'behavior', where, BEHAVIOURS, 'Isolated'));
    case 'Digits':
      return splitter(/\p{N}/gu, flag(fields, 'individual_digits', where, false) ? 'Isolated' : 'Contiguous');
    case 'Split':
      return splitter(
        compilePattern(fields.pattern, `${where}.pattern`),
        oneOf(fields, 'behavior', where, BEHAVIOURS, 'Isolated'),
        flag(fields, 'invert', where, false),
      );
    case 'CharDelimiterSplit': {
      const delimiter = textField(fields, 'delimiter', where, '');
      if ([...delimiter].length !== 1) throw badTokenizer(`${where}.delimiter must be one character`);
      return splitter(compilePattern({ String: delimiter }, `${where}.delimiter`), 'Removed');
    }
    case 'UnicodeScripts':
      return unicodeScripts();
    case 'FixedLength':
      return fixedLength(asInteger(fields.length ?? 5, `${where}.length`, 1, 1_000_000));
    default:
      throw badTokenizer(`${where} is of the unknown type "${type}"`);
  }
}

/** `\w+|[^\w\s]+` with Unicode's word characters (Unicode Technical Standard 18). */
const WORD_OR_SYMBOLS =
  /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu;

const PUNCTUATION = /[\p{P}!-/:-@[-`{-~]/gu;

/** GPT-2's pattern (Radford et al. 2019, encoder.py) with Unicode's white space for `\s`. */
const GPT2_PATTERN =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

const BEHAVIOURS = ['Isolated', 'Removed', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'] as const;
type Behaviour = (typeof BEHAVIOURS)[number];

function splitter(given: RegExp | Pattern, behaviour: Behaviour, invert = false): PreTokenizer {
  const pattern = given instanceof RegExp ? { regex: given, watched: false } : given;
  return (piece) => {
    const parts = matchesAndGaps(piece.text, pattern).map((part, i) => ({
      text: part.text,
      first: piece.first && i === 0,
      isMatch: part.isMatch !== invert,
    }));
    return join(parts, behaviour)
      .filter((part) => part.text !== '')
      .map(({ text, first }) => ({ text, first }));
  };
}

type Part = Piece & { isMatch: boolean };

/** What the reference's SplitDelimiterBehavior does with delimiters (`isMatch`) and the text between them. */
function join(parts: readonly Part[], behaviour: Behaviour): readonly Part[] {
  if (behaviour === 'Isolated') return parts;
  if (behaviour === 'Removed') return parts.filter((part) => !part.isMatch);
  const backwards = behaviour === 'MergedWithNext';
  const out: Part[] = [];
  let previousIsMatch = false;
  for (const part of backwards ? parts.toReversed() : parts) {
    const merge =
      behaviour === 'Contiguous' ? part.isMatch === previousIsMatch : part.isMatch && !previousIsMatch;
    const last = out.at(-1);
    if (merge && last !== undefined) {
      out[out.length - 1] = {
        text: backwards ? part.text + last.text : last.text + part.text,
        first: part.first || last.first,
        isMatch: false,
      };
    } else out.push(part);
    previousIsMatch = part.isMatch;
  }
  return backwards ? out.reverse() : out;
}

function byteLevel(fields: Fields, where: string): PreTokenizer {
  const addPrefixSpace = flag(fields, 'add_prefix_space', where, false);
  const useRegex = flag(fields, 'use_regex', where, true);
  const split = useRegex ? splitter(GPT2_PATTERN, 'Isolated') : (piece: Piece): Piece[] => [piece];
  return (piece) => {
    const text = addPrefixSpace && !piece.text.startsWith(' ') ? ' ' + piece.text : piece.text;
    return split({ ...piece, text }).map((part) => ({ ...part, text: toByteChars(part.text) }));
  };
}

/** SentencePiece's way: spaces become `▁`, a `▁` is put in front, and every `▁` starts a piece. */
function metaspace(fields: Fields, where: string): PreTokenizer {
  const mark = textField(fields, 'replacement', where, '▁');
  if ([...mark].length !== 1) throw badTokenizer(`${where}.replacement must be one character`);
  // Files written before `prepend_scheme` existed say `add_prefix_space`.
  const byDefault = flag(fields, 'add_prefix_space', where, true) ? 'always' : 'never';
  const scheme = oneOf(fields, 'prepend_scheme', where, ['always', 'first', 'never'] as const, byDefault);
  const split = flag(fields, 'split', where, true)
    ? splitter(compilePattern({ String: mark }, `${where}.replacement`), 'MergedWithNext')
    : (piece: Piece): Piece[] => [piece];
  return (piece) => {
    let text = piece.text.replaceAll(' ', mark);
    const prepend = scheme === 'always' || (scheme === 'first' && piece.first);
    if (prepend && !text.startsWith(mark)) text = mark + text;
    return split({ ...piece, text });
  };
}

function fixedLength(length: number): PreTokenizer {
  return (piece) => {
    const chars = [...piece.text];
    const pieces: Piece[] = [];
    for (let i = 0; i < chars.length; i += length) {
      pieces.push({ text: chars.slice(i, i + length).join(''), first: piece.first && i === 0 });
    }
    return pieces;
  };
}
