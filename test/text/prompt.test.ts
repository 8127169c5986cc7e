import { describe, expect, test } from 'vitest';
import { encodePrompt, requireSingleToken, singleToken } from '../../src/text/prompt.ts';
import { tokenIdsTokenizer } from '../../src/text/token-ids.ts';
import {
  byteLevelTokenizer,
  checkpointTokenizer,
  codeOf,
  metaspaceTokenizer,
  wordPieceTokenizer,
} from './support.ts';

describe('encodePrompt', () => {
  const tokenizer = checkpointTokenizer('ioi-4l');

  test('shows every token', () => {
    const prompt = encodePrompt(tokenizer, 'Mary and Zebedee');
    expect(prompt.ids).toEqual([0, 3, 197, 1]);
    expect(prompt.tokens).toEqual([
      { id: 0, text: '<bos>', special: true },
      { id: 3, text: 'Mary', special: false },
      { id: 197, text: 'and', special: false },
      { id: 1, text: '<unk>', special: true },
    ]);
    expect(prompt.unknown).toEqual(['Zebedee']);
    expect(prompt.empty).toBe(false);
  });

  test.each(['', '  \n'])('says that %j is empty', (text) => {
    expect(encodePrompt(tokenizer, text)).toMatchObject({ ids: [0], empty: true, unknown: [] });
  });
});

describe('singleToken', () => {
  test('tells " Mary" from "Mary" where the vocabulary does', () => {
    const tokenizer = byteLevelTokenizer([' Mary', 'Mary', ' John', 'bell']);
    expect(singleToken(tokenizer, ' Mary')).toBe(tokenizer.idOf('ĠMary'));
    expect(singleToken(tokenizer, 'Mary')).toBe(tokenizer.idOf('Mary'));
    expect(singleToken(tokenizer, 'John')).toBeUndefined();
    // "bell" alone must not stand in for " bell", which is two tokens.
    expect(singleToken(tokenizer, ' bell')).toBeUndefined();
  });

  test('takes both forms as one token where the vocabulary has no spaces', () => {
    const words = checkpointTokenizer('ioi-4l');
    expect(singleToken(words, ' Mary')).toBe(3);
    expect(singleToken(words, 'Mary')).toBe(3);
    const pieces = wordPieceTokenizer(['mary', '##ing']);
    expect(singleToken(pieces, ' Mary')).toBe(3);
    expect(singleToken(pieces, '##ing')).toBe(4);
  });

  test('finds the SentencePiece form', () => {
    const tokenizer = metaspaceTokenizer(['Mary']);
    expect(singleToken(tokenizer, ' Mary')).toBe(tokenizer.idOf('▁Mary'));
    expect(singleToken(tokenizer, 'Mary')).toBe(tokenizer.idOf('▁Mary'));
  });

  test('is undefined for unknown, empty and multi-token texts', () => {
    const tokenizer = checkpointTokenizer('ioi-4l');
    for (const text of ['Zebedee', '', ' ', 'Mary John'])
      expect(singleToken(tokenizer, text), text).toBeUndefined();
  });

  test('requireSingleToken says why not', () => {
    const words = checkpointTokenizer('ioi-4l');
    expect(requireSingleToken(words, ' John')).toBe(4);
    for (const [text, message] of [
      ['Mary John', /"Mary John" is 2 tokens \("Mary" "John"\)/],
      ['Zebedee', /not in the vocabulary/],
      ['', /has no token/],
    ] as const) {
      expect(codeOf(() => requireSingleToken(words, text))).toBe('answer-not-one-token');
      expect(() => requireSingleToken(words, text)).toThrow(message);
    }
    expect(() => requireSingleToken(tokenIdsTokenizer(10), 'Mary')).toThrow(/token id from 0 to 9/);
  });
});

describe('tokenIdsTokenizer', () => {
  const tokenizer = tokenIdsTokenizer(50);

  test('reads ids', () => {
    expect(tokenizer.encode('0 5 17')).toEqual([0, 5, 17]);
    expect(tokenizer.encode(' 0,5,\t17\n')).toEqual([0, 5, 17]);
    expect(tokenizer.decode([0, 5, 17])).toBe('0 5 17');
    expect(tokenizer.token(5)).toBe('5');
    expect(tokenizer.idOf('5')).toBe(5);
    expect(tokenizer.idOf('50')).toBeUndefined();
    expect(singleToken(tokenizer, ' 17')).toBe(17);
    expect(encodePrompt(tokenizer, '').empty).toBe(true);
  });

  test.each([
    ['0 five', /Entry 2 of the prompt, "five", is not a token id/],
    ['1 -2', /"-2", is not a token id/],
    ['1.5', /"1.5", is not a token id/],
    ['3 4 50', /Entry 3 of the prompt, 50, is outside the vocabulary: ids go from 0 to 49/],
    ['99999999999999999999999', /outside the vocabulary/],
  ])('refuses %j', (text, message) => {
    expect(codeOf(() => tokenizer.encode(text))).toBe('bad-token-ids');
    expect(() => tokenizer.encode(text)).toThrow(message);
  });

  test.each([0, -1, 1.5, Number.NaN])('refuses a vocabulary of %d', (size) => {
    expect(codeOf(() => tokenIdsTokenizer(size))).toBe('bad-token-ids');
  });
});
