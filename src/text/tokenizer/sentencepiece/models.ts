import { bestPath } from '../best-path.ts';
import { byteTokens } from '../byte-level.ts';
import { mergeSymbols } from '../merge.ts';
import type { PieceModel } from '../model.ts';
import { PrefixIndex } from '../prefix-index.ts';
import { UNKNOWN_PENALTY } from '../unigram.ts';
import type { SentencePieceFile } from './model-file.ts';
import { SPACE_MARK } from './normalize.ts';

/** The pieces of a file by what they are for. */
interface Pieces {
  /** Pieces that text can match, with their scores: normal, user-defined and unused ones. */
  readonly scoreOf: ReadonlyMap<string, number>;
  readonly userDefined: ReadonlySet<string>;
  readonly unused: ReadonlySet<string>;
}

const KINDS = { unigram: 'unigram', bpe: 'bpe', word: 'wordlevel', char: 'char' } as const;

/** How a SentencePiece model splits normalised text (unigram_model.cc, bpe_model.cc, word_model.cc, char_model.cc). */
export function sentencePieceModel(file: SentencePieceFile): PieceModel {
  const matched = file.pieces.filter(
    ({ use }) => use === 'normal' || use === 'user-defined' || use === 'unused',
  );
  const textsOf = (wanted: string): string[] =>
    file.pieces.filter(({ use }) => use === wanted).map(({ text }) => text);
  const pieces: Pieces = {
    scoreOf: new Map(matched.map(({ text, score }) => [text, score])),
    userDefined: new Set(textsOf('user-defined')),
    unused: new Set(textsOf('unused')),
  };
  const split = splitter(file, pieces);
  const unk = file.pieces.findIndex(({ use }) => use === 'unknown');
  const unkText = file.pieces[unk].text;

  /** Texts of the vocabulary, and neighbouring others joined. */
  const parts = (text: string): { text: string; isUnknown: boolean }[] => {
    const out: { text: string; isUnknown: boolean }[] = [];
    for (const part of split(text)) {
      const isUnknown = !pieces.scoreOf.has(part);
      const last = out.at(-1);
      if (isUnknown && last?.isUnknown) last.text += part;
      else out.push({ text: part, isUnknown });
    }
    return out;
  };
  return {
    kind: KINDS[file.type],
    tokens: file.pieces.map(({ text }) => text),
    idOf: new Map(file.pieces.map(({ text }, id) => [text, id])),
    unk,
    byteFallback: file.byteFallback,
    wordEnd: '',
    tokenize: (text) =>
      parts(text).flatMap((part) => {
        if (!part.isUnknown) return part.text;
        return file.byteFallback ? byteTokens(part.text) : unkText;
      }),
    unknownParts: (text) =>
      file.byteFallback
        ? []
        : parts(text)
            .filter((part) => part.isUnknown)
            .map((part) => part.text),
  };
}

function splitter(file: SentencePieceFile, pieces: Pieces): (text: string) => string[] {
  switch (file.type) {
    case 'unigram':
      return unigram(file, pieces);
    case 'bpe':
      return bpe(pieces);
    case 'char':
      return characters(pieces);
    case 'word':
      return file.spaceAsSuffix ? wordsWithSuffix : wordsWithPrefix;
  }
}

function unigram(
  { pieces: all }: SentencePieceFile,
  { scoreOf, userDefined, unused }: Pieces,
): (text: string) => string[] {
  const normal = all.filter(({ use }) => use === 'normal').map(({ score }) => score);
  const highest = normal.reduce((most, score) => Math.max(most, score), HIGHEST_AT_LEAST);
  const lowest = normal.reduce((least, score) => Math.min(least, score), Infinity);
  const utf8 = new TextEncoder();
  const scores = {
    of: (piece: string): number | undefined => {
      if (unused.has(piece)) return undefined;
      // A bonus, so that a user-defined piece is always taken.
      return userDefined.has(piece) ? utf8.encode(piece).length * highest - 0.1 : scoreOf.get(piece);
    },
    unknown: Math.fround((lowest === Infinity ? 0 : lowest) - UNKNOWN_PENALTY),
    single: true,
  };
  const index = new PrefixIndex(scoreOf.keys());
  return (text) => bestPath(text, index, scores);
}

/** The smallest positive 32-bit float, which the reference starts its maximum with. */
const HIGHEST_AT_LEAST = 2 ** -126;

function bpe({ scoreOf, userDefined, unused }: Pieces): (text: string) => string[] {
  const split = characters({ scoreOf, userDefined, unused });
  // Where no piece goes on past a space, words do not touch each other and can be joined one by one.
  const byWord = [...scoreOf.keys()].every((piece) => !INNER_SPACE.test(piece));
  const joinWord = (word: string): string[] => {
    /** What unused pieces were joined from: they are taken apart again. */
    const joinedFrom = new Map<string, readonly [string, string]>();
    const join = (left: string, right: string): { text: string; rank: number } | undefined => {
      if (userDefined.has(left) || userDefined.has(right)) return undefined;
      const joined = left + right;
      const score = scoreOf.get(joined);
      if (score === undefined) return undefined;
      if (unused.has(joined)) joinedFrom.set(joined, [left, right]);
      return { text: joined, rank: -score };
    };
    const apart = (piece: string): string[] => {
      const from = unused.has(piece) ? joinedFrom.get(piece) : undefined;
      return from === undefined ? [piece] : from.flatMap(apart);
    };
    const out = mergeSymbols(split(word), join);
    return unused.size === 0 ? out : out.flatMap(apart);
  };
  return (text) => (byWord ? text.split(BEFORE_SPACE).flatMap(joinWord) : joinWord(text));
}

/** A space mark behind anything else. */
const INNER_SPACE = new RegExp(`[^${SPACE_MARK}]${SPACE_MARK}`, 'u');
const BEFORE_SPACE = new RegExp(`(?<=[^${SPACE_MARK}])(?=${SPACE_MARK})`, 'u');

/** Characters and user-defined pieces. */
function characters({ userDefined }: Pieces): (text: string) => string[] {
  const index = new PrefixIndex(userDefined);
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
