import { bestPath } from './best-path.ts';
import { byteTokens } from './byte-level.ts';
import { asInteger, flag } from './fields.ts';
import type { Fields } from './fields.ts';
import type { PieceModel } from './model.ts';
import { PrefixIndex } from './prefix-index.ts';
import { readScoredVocab } from './vocab.ts';

/** How much worse than the worst piece an unknown character is (SentencePiece's kUnkPenalty). */
export const UNKNOWN_PENALTY = 10;

/** A Unigram language model over pieces (Kudo 2018). @throws HeadscopeError `bad-tokenizer` */
export function unigram(fields: Fields, where: string): PieceModel {
  const { table: vocab, scores: scoreOf } = readScoredVocab(fields.vocab, `${where}.vocab`);
  let lowest = Infinity;
  for (let entry = 0; entry < vocab.size; entry++) lowest = Math.min(lowest, scoreOf[entry]);
  const byteFallback = flag(fields, 'byte_fallback', where, false);
  const unk =
    fields.unk_id === undefined || fields.unk_id === null
      ? undefined
      : asInteger(fields.unk_id, `${where}.unk_id`, 0, vocab.size - 1);

  const index = new PrefixIndex(vocab);
  const scores = {
    of: (entry: number) => scoreOf[entry],
    unknown: lowest - UNKNOWN_PENALTY,
    single: false,
  };
  /** Pieces, neighbouring unknown ones joined. */
  const split = (text: string): string[] => {
    const out: string[] = [];
    let unknownBefore = false;
    for (const piece of bestPath(text, index, scores)) {
      const isUnknown = (vocab.get(piece) ?? unk) === unk;
      if (isUnknown && unknownBefore) out[out.length - 1] += piece;
      else out.push(piece);
      unknownBefore = isUnknown;
    }
    return out;
  };
  const inBytes = (piece: string): string[] | undefined => {
    const bytes = byteFallback ? byteTokens(piece) : [];
    return bytes.length > 0 && bytes.every((byte) => vocab.has(byte)) ? bytes : undefined;
  };
  return {
    kind: 'unigram',
    vocab,
    byteFallback,
    wordEnd: '',
    unk,
    tokenize: (text) =>
      split(text).flatMap((piece) => (vocab.has(piece) ? piece : (inBytes(piece) ?? piece))),
    unknownParts: (text) => split(text).filter((piece) => !vocab.has(piece) && inBytes(piece) === undefined),
  };
}
