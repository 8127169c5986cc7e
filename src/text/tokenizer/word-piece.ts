import { MAX_TOKEN_ID } from './added-tokens.ts';
import { asInteger, asText, optionalText } from './fields.ts';
import type { Fields } from './fields.ts';
import type { PieceModel } from './model.ts';
import { PrefixIndex } from './prefix-index.ts';
import { readVocab } from './vocab.ts';

/** WordPiece: the longest piece from the left, or the whole word unknown (Devlin et al. 2019). @throws HeadscopeError `bad-tokenizer` */
export function wordPiece(fields: Fields, where: string): PieceModel {
  const vocab = readVocab(fields.vocab, `${where}.vocab`);
  const unkToken = optionalText(fields, 'unk_token', where) ?? '[UNK]';
  const prefix = asText(fields.continuing_subword_prefix ?? '##', `${where}.continuing_subword_prefix`);
  const longest = asInteger(
    fields.max_input_chars_per_word ?? 100,
    `${where}.max_input_chars_per_word`,
    0,
    MAX_TOKEN_ID,
  );
  const index = new PrefixIndex(vocab);
  const tokenize = (word: string): string[] => {
    if (word.length > longest && [...word].length > longest) return [unkToken];
    const out: string[] = [];
    for (let at = 0; at < word.length;) {
      const piece = index.longest(word, at, at === 0 ? '' : prefix);
      if (piece === undefined) return [unkToken];
      out.push(at === 0 ? piece : prefix + piece);
      at += piece.length;
    }
    return out;
  };
  return {
    kind: 'wordpiece',
    vocab,
    byteFallback: false,
    wordEnd: '',
    unk: vocab.get(unkToken),
    tokenize,
    unknownParts: (word) => (word !== unkToken && tokenize(word).includes(unkToken) ? [word] : []),
  };
}
