import { byteTokens } from './byte-level.ts';
import { asList, badTokenizer, flag, optionalText } from './fields.ts';
import type { Fields } from './fields.ts';
import { mergeSymbols } from './merge.ts';
import type { PieceModel } from './model.ts';
import { readVocab } from './vocab.ts';

/** Words up to this length are remembered with their tokens. */
const LONGEST_REMEMBERED = 64;
const MOST_REMEMBERED = 10_000;

/** Byte-pair encoding by a list of merges. @throws HeadscopeError `bad-tokenizer` */
export function bpe(fields: Fields, where: string): PieceModel {
  const { idOf, tokens } = readVocab(fields, where);
  const prefix = optionalText(fields, 'continuing_subword_prefix', where) ?? '';
  const wordEnd = optionalText(fields, 'end_of_word_suffix', where) ?? '';
  const unkToken = optionalText(fields, 'unk_token', where);
  const byteFallback = flag(fields, 'byte_fallback', where, false);
  const ignoreMerges = flag(fields, 'ignore_merges', where, false);
  const fuseUnk = flag(fields, 'fuse_unk', where, false);
  const ranks = readMerges(fields.merges, idOf, prefix, where);
  const join = (left: string, right: string): { text: string; rank: number } | undefined => {
    const rank = ranks.get(pairKey(idOf.get(left) ?? -1, idOf.get(right) ?? -1));
    return rank === undefined ? undefined : { text: left + right.slice(prefix.length), rank };
  };

  /** The characters of a word with their marks, and what each can be written as. */
  const letters = (word: string): { char: string; symbols: string[] }[] => {
    const chars = [...word];
    return chars.map((char, i) => {
      const symbol = (i > 0 ? prefix : '') + char + (i === chars.length - 1 ? wordEnd : '');
      if (idOf.has(symbol)) return { char, symbols: [symbol] };
      const bytes = byteFallback ? byteTokens(symbol) : [];
      return { char, symbols: bytes.every((byte) => idOf.has(byte)) ? bytes : [] };
    });
  };

  const merge = (word: string): string[] => {
    const symbols: string[] = [];
    let unknownBefore = false;
    for (const letter of letters(word)) {
      const isUnknown = letter.symbols.length === 0;
      if (!isUnknown) symbols.push(...letter.symbols);
      else if (unkToken !== undefined && !(fuseUnk && unknownBefore)) symbols.push(unkToken);
      unknownBefore = isUnknown;
    }
    return mergeSymbols(symbols, join);
  };

  const known = new Map<string, string[]>();
  return {
    kind: 'bpe',
    idOf,
    tokens,
    byteFallback,
    wordEnd,
    unk: unkToken === undefined ? undefined : idOf.get(unkToken),
    tokenize: (word) => {
      if (ignoreMerges && idOf.has(word)) return [word];
      const remembered = known.get(word);
      if (remembered !== undefined) return remembered;
      const out = merge(word);
      if (word.length <= LONGEST_REMEMBERED && known.size < MOST_REMEMBERED) known.set(word, out);
      return out;
    },
    unknownParts: (word) => {
      if (ignoreMerges && idOf.has(word)) return [];
      const parts = letters(word);
      return runs(
        parts.map(({ char }) => char),
        parts.map(({ symbols }) => symbols.length === 0),
      );
    },
  };
}

/** Two ids below 2^24 as one number. */
function pairKey(left: number, right: number): number {
  return left < 0 || right < 0 ? -1 : left * 0x1000000 + right;
}

/**
 * Ranks of the merges by pairs of ids. Old files write a pair as one string with a space. Both parts and their union must be tokens; of two
 * merges of one pair the last counts, as in the reference.
 */
function readMerges(
  value: unknown,
  idOf: ReadonlyMap<string, number>,
  prefix: string,
  where: string,
): Map<number, number> {
  const ranks = new Map<number, number>();
  asList(value, `${where}.merges`).forEach((merge, rank) => {
    const parts: unknown = typeof merge === 'string' ? merge.split(' ') : merge;
    if (!Array.isArray(parts) || parts.length !== 2) {
      throw badTokenizer(`${where}.merges[${rank}] must be two tokens`);
    }
    const [left, right] = parts as [unknown, unknown];
    const known = typeof left === 'string' && typeof right === 'string';
    const ids = known ? [idOf.get(left), idOf.get(right)] : [];
    if (
      !known ||
      ids[0] === undefined ||
      ids[1] === undefined ||
      !idOf.has(left + right.slice(prefix.length))
    ) {
      throw badTokenizer(`${where}.merges[${rank}] joins tokens that are not in the vocabulary`);
    }
    ranks.set(pairKey(ids[0], ids[1]), rank);
  });
  return ranks;
}

/** Neighbouring marked characters, joined. */
export function runs(chars: readonly string[], marked: readonly boolean[]): string[] {
  const out: string[] = [];
  chars.forEach((char, i) => {
    if (!marked[i]) return;
    if (i > 0 && marked[i - 1]) out[out.length - 1] += char;
    else out.push(char);
  });
  return out;
}
