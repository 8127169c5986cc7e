import { byteTokens } from './byte-level.ts';
import { flag, optionalText } from './fields.ts';
import type { Fields } from './fields.ts';
import { mergeSymbols } from './merge.ts';
import { readMerges } from './merges.ts';
import type { PieceModel } from './model.ts';
import { readVocab } from './vocab.ts';

/** Words up to this length are remembered with their tokens. */
const LONGEST_REMEMBERED = 64;
const MOST_REMEMBERED = 10_000;

/** Byte-pair encoding by a list of merges. @throws HeadscopeError `bad-tokenizer` */
export function bpe(fields: Fields, where: string): PieceModel {
  const vocab = readVocab(fields.vocab, `${where}.vocab`);
  const prefix = optionalText(fields, 'continuing_subword_prefix', where) ?? '';
  const wordEnd = optionalText(fields, 'end_of_word_suffix', where) ?? '';
  const unkToken = optionalText(fields, 'unk_token', where);
  const byteFallback = flag(fields, 'byte_fallback', where, false);
  const ignoreMerges = flag(fields, 'ignore_merges', where, false);
  const fuseUnk = flag(fields, 'fuse_unk', where, false);
  const ranks = readMerges(fields.merges, vocab, prefix, where);
  const join = (left: string, right: string): { text: string; rank: number } | undefined => {
    const first = vocab.get(left);
    const second = vocab.get(right);
    const rank = first === undefined || second === undefined ? undefined : ranks.get(first, second);
    return rank === undefined ? undefined : { text: left + right.slice(prefix.length), rank };
  };

  /** The characters of a word with their marks, and what each can be written as. */
  const letters = (word: string): { char: string; symbols: string[] }[] => {
    const chars = [...word];
    return chars.map((char, i) => {
      const symbol = (i > 0 ? prefix : '') + char + (i === chars.length - 1 ? wordEnd : '');
      if (vocab.has(symbol)) return { char, symbols: [symbol] };
      const bytes = byteFallback ? byteTokens(symbol) : [];
      return { char, symbols: bytes.every((byte) => vocab.has(byte)) ? bytes : [] };
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
    vocab,
    byteFallback,
    wordEnd,
    unk: unkToken === undefined ? undefined : vocab.get(unkToken),
    tokenize: (word) => {
      if (ignoreMerges && vocab.has(word)) return [word];
      const remembered = known.get(word);
      if (remembered !== undefined) return remembered;
      const out = merge(word);
      if (word.length <= LONGEST_REMEMBERED && known.size < MOST_REMEMBERED) known.set(word, out);
      return out;
    },
    unknownParts: (word) => {
      if (ignoreMerges && vocab.has(word)) return [];
      const parts = letters(word);
      return runs(
        parts.map(({ char }) => char),
        parts.map(({ symbols }) => symbols.length === 0),
      );
    },
  };
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
