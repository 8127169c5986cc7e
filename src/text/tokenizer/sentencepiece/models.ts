import { bestPath } from '../best-path.ts';
import { byteTokens } from '../byte-level.ts';
import { mergeSymbols } from '../merge.ts';
import type { PieceModel } from '../model.ts';
import { UNKNOWN_PENALTY } from '../unigram.ts';
import type { SentencePieceFile } from './model-file.ts';
import { SPACE_MARK } from './normalize.ts';
import type { Pieces, PieceUse } from './pieces.ts';

/** Uses of the pieces that text can match. */
const MATCHED: readonly (PieceUse | undefined)[] = ['normal', 'user-defined', 'unused'];

const KINDS = { unigram: 'unigram', bpe: 'bpe', word: 'wordlevel', char: 'char' } as const;

/** How a SentencePiece model splits normalised text (unigram_model.cc, bpe_model.cc, word_model.cc, char_model.cc). */
export function sentencePieceModel(file: SentencePieceFile): PieceModel {
  const { pieces } = file;
  const split = splitter(file);
  const [unk] = pieces.withUse('unknown');

  /** Texts of the vocabulary, and neighbouring others joined. */
  const parts = (text: string): { text: string; isUnknown: boolean }[] => {
    const out: { text: string; isUnknown: boolean }[] = [];
    for (const part of split(text)) {
      const isUnknown = !MATCHED.includes(pieces.useOf(part));
      const last = out.at(-1);
      if (isUnknown && last?.isUnknown) last.text += part;
      else out.push({ text: part, isUnknown });
    }
    return out;
  };
  return {
    kind: KINDS[file.type],
    vocab: pieces.table,
    unk: unk.id,
    byteFallback: file.byteFallback,
    wordEnd: '',
    tokenize: (text) =>
      parts(text).flatMap((part) => {
        if (!part.isUnknown) return part.text;
        return file.byteFallback ? byteTokens(part.text) : unk.text;
      }),
    unknownParts: (text) =>
      file.byteFallback
        ? []
        : parts(text)
            .filter((part) => part.isUnknown)
            .map((part) => part.text),
  };
}

function splitter(file: SentencePieceFile): (text: string) => string[] {
  const { pieces } = file;
  switch (file.type) {
    case 'unigram':
      return unigram(pieces);
    case 'bpe':
      return bpe(pieces);
    case 'char':
      return characters(pieces);
    case 'word':
      return file.spaceAsSuffix ? wordsWithSuffix : wordsWithPrefix;
  }
}

function unigram(pieces: Pieces): (text: string) => string[] {
  let highest = HIGHEST_AT_LEAST;
  let lowest = Infinity;
  for (let id = 0; id < pieces.size; id++) {
    if (pieces.use(id) !== 'normal') continue;
    highest = Math.max(highest, pieces.score(id));
    lowest = Math.min(lowest, pieces.score(id));
  }
  const utf8 = new TextEncoder();
  const scores = {
    of: (id: number): number | undefined => {
      const use = pieces.use(id);
      if (use === 'unused') return undefined;
      // A bonus, so that a user-defined piece is always taken.
      return use === 'user-defined' ? utf8.encode(pieces.text(id)).length * highest - 0.1 : pieces.score(id);
    },
    unknown: Math.fround((lowest === Infinity ? 0 : lowest) - UNKNOWN_PENALTY),
    single: true,
  };
  const index = pieces.index('normal', 'user-defined', 'unused');
  return (text) => bestPath(text, index, scores);
}

/** The smallest positive 32-bit float, which the reference starts its maximum with. */
const HIGHEST_AT_LEAST = 2 ** -126;

function bpe(pieces: Pieces): (text: string) => string[] {
  const split = characters(pieces);
  const byWord = joinsWordByWord(pieces);
  const hasUnused = pieces.count('unused') > 0;
  const joinWord = (word: string): string[] => {
    /** What unused pieces were joined from: they are taken apart again. */
    const joinedFrom = new Map<string, readonly [string, string]>();
    const join = (left: string, right: string): { text: string; rank: number } | undefined => {
      const text = left + right;
      const id = pieces.table.get(text);
      const use = id === undefined ? undefined : pieces.use(id);
      if (id === undefined || !MATCHED.includes(use)) return undefined;
      if (pieces.useOf(left) === 'user-defined' || pieces.useOf(right) === 'user-defined') return undefined;
      if (use === 'unused') joinedFrom.set(text, [left, right]);
      return { text, rank: -pieces.score(id) };
    };
    const apart = (piece: string): string[] => {
      const from = joinedFrom.get(piece);
      return from === undefined ? [piece] : from.flatMap(apart);
    };
    const out = mergeSymbols(split(word), join);
    return hasUnused ? out.flatMap(apart) : out;
  };
  return (text) => (byWord ? text.split(BEFORE_SPACE).flatMap(joinWord) : joinWord(text));
}

/** Whether no piece goes on past a space: words do not touch each other then and can be joined one by one. */
function joinsWordByWord(pieces: Pieces): boolean {
  const { table } = pieces;
  const mark = SPACE_MARK.charCodeAt(0);
  for (let id = 0; id < pieces.size; id++) {
    if (!MATCHED.includes(pieces.use(id))) continue;
    for (let i = 1; i < table.lengthOf(id); i++) {
      if (table.unitAt(id, i) === mark && table.unitAt(id, i - 1) !== mark) return false;
    }
  }
  return true;
}

const BEFORE_SPACE = new RegExp(`(?<=[^${SPACE_MARK}])(?=${SPACE_MARK})`, 'u');

/** Characters and user-defined pieces. */
function characters(pieces: Pieces): (text: string) => string[] {
  const index = pieces.index('user-defined');
  return (text) => {
    const out: string[] = [];
    for (let at = 0; at < text.length;) {
      const piece = index.longest(text, at) ?? String.fromCodePoint(text.codePointAt(at) as number);
      out.push(piece);
      at += piece.length;
    }
    return out;
  };
}

const wordsWithPrefix = (text: string): string[] =>
  text === '' ? [] : text.split(new RegExp(`(?!^)(?=${SPACE_MARK})`, 'u'));
const wordsWithSuffix = (text: string): string[] =>
  text === '' ? [] : text.split(new RegExp(`(?<=${SPACE_MARK})(?!$)`, 'u'));
