import { BPE, Unigram, WordPiece } from '@huggingface/tokenizers';
import { asFields, asInteger, asList, asText, badTokenizer, flag } from './fields.ts';
import type { Fields } from './fields.ts';
import { MAX_TOKEN_ID } from './added-tokens.ts';
import { byteTokens } from './byte-level.ts';

/** The vocabulary of a tokenizer and how a piece of text is written in it. */
export interface PieceModel {
  readonly kind: 'bpe' | 'unigram' | 'wordpiece' | 'wordlevel';
  /** Token text by id; holes are possible. */
  readonly tokens: readonly (string | undefined)[];
  readonly idOf: ReadonlyMap<string, number>;
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
 * The `model` of a tokenizer.json. Files older than the `type` field are recognised by what they hold.
 * @throws HeadscopeError `bad-tokenizer` for a malformed or unknown model
 */
export function createModel(config: unknown): PieceModel {
  if (config === undefined) throw badTokenizer('tokenizer.json has no "model"');
  const fields = asFields(config, WHERE);
  const type = fields.type === undefined || fields.type === null ? guessType(fields) : fields.type;
  switch (type) {
    case 'BPE':
      return bpe(fields);
    case 'Unigram':
      return unigram(fields);
    case 'WordPiece':
      return wordPiece(fields);
    case 'WordLevel':
      return wordLevel(fields);
    default:
      throw badTokenizer(`${WHERE} is of the unknown type ${JSON.stringify(type)}`);
  }
}

const WHERE = 'tokenizer.json model';

function guessType(fields: Fields): string {
  if (fields.merges !== undefined) return 'BPE';
  if (Array.isArray(fields.vocab)) return 'Unigram';
  return fields.max_input_chars_per_word === undefined ? 'WordLevel' : 'WordPiece';
}

/** Token text → id from a `vocab` object, and the reverse. */
function readVocab(fields: Fields): { idOf: Map<string, number>; tokens: (string | undefined)[] } {
  const idOf = new Map<string, number>();
  const tokens: (string | undefined)[] = [];
  for (const [token, value] of Object.entries(asFields(fields.vocab, `${WHERE}.vocab`))) {
    const id = asInteger(value, `${WHERE}.vocab[${JSON.stringify(token)}]`, 0, MAX_TOKEN_ID);
    idOf.set(token, id);
    tokens[id] = token;
  }
  if (idOf.size === 0) throw badTokenizer(`${WHERE}.vocab is empty`);
  return { idOf, tokens };
}

/** An optional string field; empty counts as absent, as old files write it. */
function optionalText(fields: Fields, key: string): string | undefined {
  const value = fields[key];
  if (value === undefined || value === null || value === '') return undefined;
  return asText(value, `${WHERE}.${key}`);
}

function bpe(fields: Fields): PieceModel {
  const { idOf, tokens } = readVocab(fields);
  if (optionalText(fields, 'continuing_subword_prefix') !== undefined) {
    throw badTokenizer(`${WHERE} uses continuing_subword_prefix with BPE, which is not supported`);
  }
  const wordEnd = optionalText(fields, 'end_of_word_suffix') ?? '';
  const unkToken = optionalText(fields, 'unk_token');
  const byteFallback = flag(fields, 'byte_fallback', WHERE, false);
  const ignoreMerges = flag(fields, 'ignore_merges', WHERE, false);
  const model = new BPE({
    type: 'BPE',
    vocab: fields.vocab as Record<string, number>,
    merges: readMerges(fields.merges, idOf),
    unk_token: unkToken ?? null,
    byte_fallback: byteFallback,
    fuse_unk: flag(fields, 'fuse_unk', WHERE, false),
    end_of_word_suffix: wordEnd === '' ? null : wordEnd,
    ignore_merges: ignoreMerges,
  });
  const canWrite = (char: string): boolean =>
    idOf.has(char) || (byteFallback && byteTokens(char).every((token) => idOf.has(token)));
  return {
    kind: 'bpe',
    idOf,
    tokens,
    byteFallback,
    wordEnd,
    unk: unkToken === undefined ? undefined : idOf.get(unkToken),
    tokenize: (piece) => {
      // Without an unknown token the reference drops such characters first, so that their neighbours can merge.
      const drops = unkToken === undefined && wordEnd === '' && !(ignoreMerges && idOf.has(piece));
      return model._call([drops ? [...piece].filter(canWrite).join('') : piece]);
    },
    unknownParts: (piece) => {
      if (ignoreMerges && idOf.has(piece)) return [];
      const chars = [...piece];
      const isUnknown = chars.map((char, i) => !canWrite(i === chars.length - 1 ? char + wordEnd : char));
      return runs(chars, isUnknown);
    },
  };
}

/** Merges as pairs; old files write a pair as one string with a space. Both parts and their union must be tokens. */
function readMerges(value: unknown, idOf: ReadonlyMap<string, number>): [string, string][] {
  return asList(value, `${WHERE}.merges`).map((merge, i) => {
    const parts: unknown = typeof merge === 'string' ? merge.split(' ') : merge;
    if (!Array.isArray(parts) || parts.length !== 2) {
      throw badTokenizer(`${WHERE}.merges[${i}] must be two tokens`);
    }
    const [left, right] = parts as [unknown, unknown];
    const known = typeof left === 'string' && typeof right === 'string';
    if (!known || !idOf.has(left) || !idOf.has(right) || !idOf.has(left + right)) {
      throw badTokenizer(`${WHERE}.merges[${i}] joins tokens that are not in the vocabulary`);
    }
    return [left, right];
  });
}

/** Neighbouring marked characters, joined. */
function runs(chars: readonly string[], marked: readonly boolean[]): string[] {
  const out: string[] = [];
  chars.forEach((char, i) => {
    if (!marked[i]) return;
    if (i > 0 && marked[i - 1]) out[out.length - 1] += char;
    else out.push(char);
  });
  return out;
}

/**
 * The library's Unigram model with the reference's search: the best path to each position is fixed before the next piece is added. The
 * library compares after adding it, where rounding makes close paths equal and another one wins.
 */
class ExactUnigram extends Unigram {
  override tokenize(text: string): string[] {
    const chars = [...text];
    const best = new Float64Array(chars.length + 1);
    const from = new Int32Array(chars.length + 1).fill(-1);
    const offer = (start: number, length: number, score: number): void => {
      const total = score + best[start];
      if (from[start + length] >= 0 && total <= best[start + length]) return;
      best[start + length] = total;
      from[start + length] = start;
    };
    for (let start = 0; start < chars.length; start++) {
      let length = 0;
      let single = false;
      let node = this.trie.root;
      for (let piece = ''; start + length < chars.length;) {
        const next = node.children.get(chars[start + length]);
        if (next === undefined) break;
        node = next;
        piece += chars[start + length++];
        if (!node.is_leaf) continue;
        offer(start, length, this.scores[this.tokens_to_ids.get(piece) as number]);
        single ||= length === 1;
      }
      if (!single) offer(start, 1, this.unk_score);
    }
    const out: string[] = [];
    for (let end = chars.length; end > 0; end = from[end]) out.push(chars.slice(from[end], end).join(''));
    return out.reverse();
  }
}

function unigram(fields: Fields): PieceModel {
  const entries = asList(fields.vocab, `${WHERE}.vocab`);
  if (entries.length === 0) throw badTokenizer(`${WHERE}.vocab is empty`);
  const vocab = entries.map((entry, i): [string, number] => {
    const [token, score] = asList(entry, `${WHERE}.vocab[${i}]`);
    if (typeof token !== 'string' || typeof score !== 'number') {
      throw badTokenizer(`${WHERE}.vocab[${i}] must be a token and its score`);
    }
    return [token, score];
  });
  const byteFallback = flag(fields, 'byte_fallback', WHERE, false);
  const unk =
    fields.unk_id === undefined || fields.unk_id === null
      ? undefined
      : asInteger(fields.unk_id, `${WHERE}.unk_id`, 0, vocab.length - 1);
  const model = new ExactUnigram({ type: 'Unigram', vocab, unk_id: unk ?? null }, '');
  // The library lowers the score of the unknown token's own text as well; the reference does not.
  if (unk !== undefined) model.scores[unk] = vocab[unk][1];
  const idOf = new Map(vocab.map(([token], id) => [token, id]));
  const inBytes = (token: string): string[] | undefined => {
    const bytes = byteFallback ? byteTokens(token) : [];
    return bytes.length > 0 && bytes.every((byte) => idOf.has(byte)) ? bytes : undefined;
  };
  const split = (piece: string): string[] => model._call([piece]);
  return {
    kind: 'unigram',
    idOf,
    tokens: vocab.map(([token]) => token),
    byteFallback,
    wordEnd: '',
    unk,
    tokenize: (piece) =>
      split(piece).flatMap((token) => (idOf.has(token) ? token : (inBytes(token) ?? token))),
    unknownParts: (piece) => split(piece).filter((token) => !idOf.has(token) && inBytes(token) === undefined),
  };
}

function wordPiece(fields: Fields): PieceModel {
  const { idOf, tokens } = readVocab(fields);
  const unkToken = optionalText(fields, 'unk_token') ?? '[UNK]';
  const model = new WordPiece({
    type: 'WordPiece',
    vocab: fields.vocab as Record<string, number>,
    unk_token: unkToken,
    continuing_subword_prefix: asText(
      fields.continuing_subword_prefix ?? '##',
      `${WHERE}.continuing_subword_prefix`,
    ),
    max_input_chars_per_word: asInteger(
      fields.max_input_chars_per_word ?? 100,
      `${WHERE}.max_input_chars_per_word`,
      0,
      MAX_TOKEN_ID,
    ),
  });
  const tokenize = (piece: string): string[] => model._call([piece]);
  return {
    kind: 'wordpiece',
    idOf,
    tokens,
    byteFallback: false,
    wordEnd: '',
    unk: idOf.get(unkToken),
    tokenize,
    unknownParts: (piece) => (piece !== unkToken && tokenize(piece).includes(unkToken) ? [piece] : []),
  };
}

function wordLevel(fields: Fields): PieceModel {
  const { idOf, tokens } = readVocab(fields);
  const unkToken = optionalText(fields, 'unk_token');
  return {
    kind: 'wordlevel',
    idOf,
    tokens,
    byteFallback: false,
    wordEnd: '',
    unk: unkToken === undefined ? undefined : idOf.get(unkToken),
    tokenize: (piece) => [piece],
    unknownParts: (piece) => (idOf.has(piece) ? [] : [piece]),
  };
}
