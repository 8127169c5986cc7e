import { HeadscopeError } from '../errors.ts';
import type { Tokenizer } from './tokenizer/tokenizer.ts';

/**
 * For checkpoints without a tokenizer: a prompt is its token ids, separated by white space or commas, such as `0 5 17`. No special tokens are added.
 * @param vocabSize the number of ids the model knows
 * @throws HeadscopeError `bad-token-ids` when `vocabSize` is not a positive whole number; `encode` throws it for text that is not ids
 */
export function tokenIdsTokenizer(vocabSize: number): Tokenizer {
  if (!Number.isInteger(vocabSize) || vocabSize < 1) {
    throw new HeadscopeError(
      'bad-token-ids',
      `A vocabulary of ${vocabSize} tokens makes no prompt possible.`,
    );
  }
  const exists = (id: number): boolean => Number.isInteger(id) && id >= 0 && id < vocabSize;
  return {
    kind: 'token-ids',
    vocabSize,
    specials: {},
    encode: (text) =>
      text
        .split(/[\s,]+/u)
        .filter((word) => word !== '')
        .map((word, i) => parseId(word, i, vocabSize)),
    unknownPieces: () => [],
    decode: (ids) => ids.join(' '),
    token: (id) => (exists(id) ? String(id) : `[${id}]`),
    isSpecial: () => false,
    idOf: (token) => (/^\d{1,9}$/.test(token) && exists(Number(token)) ? Number(token) : undefined),
  };
}

function parseId(word: string, index: number, vocabSize: number): number {
  if (!/^\d+$/.test(word)) {
    throw new HeadscopeError(
      'bad-token-ids',
      `Entry ${index + 1} of the prompt, "${word.slice(0, 40)}", is not a token id. This checkpoint has no tokenizer: write ids such as 0 5 17.`,
    );
  }
  const id = Number(word);
  if (id >= vocabSize) {
    throw new HeadscopeError(
      'bad-token-ids',
      `Entry ${index + 1} of the prompt, ${word.slice(0, 40)}, is outside the vocabulary: ids go from 0 to ${vocabSize - 1}.`,
    );
  }
  return id;
}
