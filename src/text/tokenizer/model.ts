import { bpe } from './bpe.ts';
import { asFields, badTokenizer, optionalText } from './fields.ts';
import type { Fields } from './fields.ts';
import { JsonPart } from './json-bytes.ts';
import type { Vocabulary } from './token-table.ts';
import { unigram } from './unigram.ts';
import { readVocab } from './vocab.ts';
import { wordPiece } from './word-piece.ts';

/** The vocabulary of a tokenizer and how a piece of text is written in it. */
export interface PieceModel {
  readonly kind: 'bpe' | 'unigram' | 'wordpiece' | 'wordlevel' | 'char';
  readonly vocab: Vocabulary;
  readonly unk: number | undefined;
  /** Whether characters outside the vocabulary become byte tokens such as `<0xE4>`. */
  readonly byteFallback: boolean;
  /** What marks the end of a word in the vocabulary (`</w>`), empty when nothing does. */
  readonly wordEnd: string;
  /** The tokens of one piece. Texts that are not in the vocabulary stand for the unknown token. */
  tokenize(piece: string): string[];
  /** The parts of a piece that the vocabulary cannot write. */
  unknownParts(piece: string): string[];
}

/**
 * The `model` of a tokenizer.json, whose `vocab` and `merges` are parts of the file. Files older than the `type` field are recognised by what they hold.
 * @param where what errors call it
 * @throws HeadscopeError `bad-tokenizer` for a malformed or unknown model
 */
export function createModel(config: unknown, where = 'tokenizer.json model'): PieceModel {
  if (config === undefined) throw badTokenizer('tokenizer.json has no "model"');
  const fields = asFields(config, where);
  const type = fields.type === undefined || fields.type === null ? guessType(fields) : fields.type;
  switch (type) {
    case 'BPE':
      return bpe(fields, where);
    case 'Unigram':
      return unigram(fields, where);
    case 'WordPiece':
      return wordPiece(fields, where);
    case 'WordLevel':
      return wordLevel(fields, where);
    default:
      throw badTokenizer(`${where} is of the unknown type ${JSON.stringify(type)}`);
  }
}

function guessType(fields: Fields): string {
  if (fields.merges !== undefined) return 'BPE';
  if (fields.vocab instanceof JsonPart && fields.vocab.kind === 'array') return 'Unigram';
  return fields.max_input_chars_per_word === undefined ? 'WordLevel' : 'WordPiece';
}

function wordLevel(fields: Fields, where: string): PieceModel {
  const vocab = readVocab(fields.vocab, `${where}.vocab`);
  const unkToken = optionalText(fields, 'unk_token', where);
  return {
    kind: 'wordlevel',
    vocab,
    byteFallback: false,
    wordEnd: '',
    unk: unkToken === undefined ? undefined : vocab.get(unkToken),
    tokenize: (piece) => [piece],
    unknownParts: (piece) => (vocab.has(piece) ? [] : [piece]),
  };
}
