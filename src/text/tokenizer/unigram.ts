import { bestPath } from './best-path.ts';
import { byteTokens } from './byte-level.ts';
import { asInteger, asList, badTokenizer, flag } from './fields.ts';
import type { Fields } from './fields.ts';
import type { PieceModel } from './model.ts';
import { PrefixIndex } from './prefix-index.ts';

/** How much worse than the worst piece an unknown character is (SentencePiece's kUnkPenalty). */
export const UNKNOWN_PENALTY = 10;

/** A Unigram language model over pieces (Kudo 2018). @throws HeadscopeError `bad-tokenizer` */
export function unigram(fields: Fields, where: string): PieceModel {
  const entries = asList(fields.vocab, `${where}.vocab`);
  if (entries.length === 0) throw badTokenizer(`${where}.vocab is empty`);
  const tokens: string[] = [];
  const idOf = new Map<string, number>();
  const scoreOf = new Map<string, number>();
  let lowest = Infinity;
  entries.forEach((entry, id) => {
    const [token, score] = asList(entry, `${where}.vocab[${id}]`);
    if (typeof token !== 'string' || typeof score !== 'number') {
      throw badTokenizer(`${where}.vocab[${id}] must be a token and its score`);
    }
    tokens.push(token);
    idOf.set(token, id);
    scoreOf.set(token, score);
    lowest = Math.min(lowest, score);
  });
  const byteFallback = flag(fields, 'byte_fallback', where, false);
  const unk =
    fields.unk_id === undefined || fields.unk_id === null
      ? undefined
      : asInteger(fields.unk_id, `${where}.unk_id`, 0, tokens.length - 1);

  const index = new PrefixIndex(tokens);
  const scores = {
    of: (piece: string) => scoreOf.get(piece),
    unknown: lowest - UNKNOWN_PENALTY,
    single: false,
  };
  /** Pieces, neighbouring unknown ones joined. */
  const split = (text: string): string[] => {
    const out: string[] = [];
    let unknownBefore = false;
    for (const piece of bestPath(text, index, scores)) {
      const isUnknown = (idOf.get(piece) ?? unk) === unk;
      if (isUnknown && unknownBefore) out[out.length - 1] += piece;
      else out.push(piece);
      unknownBefore = isUnknown;
    }
    return out;
  };
  const inBytes = (piece: string): string[] | undefined => {
    const bytes = byteFallback ? byteTokens(piece) : [];
    return bytes.length > 0 && bytes.every((byte) => idOf.has(byte)) ? bytes : undefined;
  };
  return {
    kind: 'unigram',
    idOf,
    tokens,
    byteFallback,
    wordEnd: '',
    unk,
    tokenize: (text) => split(text).flatMap((piece) => (idOf.has(piece) ? piece : (inBytes(piece) ?? piece))),
    unknownParts: (text) => split(text).filter((piece) => !idOf.has(piece) && inBytes(piece) === undefined),
  };
}
