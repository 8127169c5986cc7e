import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { createDecoder } from '../../src/text/tokenizer/decoder.ts';
import { createNormalizer } from '../../src/text/tokenizer/normalizer.ts';
import { createPreTokenizer } from '../../src/text/tokenizer/pre-tokenizer.ts';
import { loadTokenizer } from '../../src/text/tokenizer/tokenizer.ts';
import type { Tokenizer } from '../../src/text/tokenizer/tokenizer.ts';
import {
  checkpointTokenizer,
  fixture,
  fixtureTokenizer,
  load,
  readJson,
  wordPieceTokenizer,
} from './support.ts';
import type { Case } from './support.ts';

const FIXTURES = [
  'gpt2-like',
  'llama3-like',
  'roberta-like',
  'clip-like',
  'llama2-like',
  'metaspace-first',
  't5-like',
  'unigram-bytes',
  'bert-uncased',
  'bert-cased',
  'word-level',
  'word-level-split',
  'bpe-unk',
  'bpe-fused-unk',
  'bpe-no-unk',
  'bpe-prefix',
];

function expectExact(tokenizer: Tokenizer, cases: readonly Case[]): void {
  for (const [text, ids, bare, decoded] of cases) {
    expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
    expect(tokenizer.encode(text, { addSpecialTokens: false }), JSON.stringify(text)).toEqual(bare);
    expect(tokenizer.decode(ids), JSON.stringify(text)).toBe(decoded);
  }
}

describe('encodings and decoded texts equal those of the reference implementation', () => {
  test.each(FIXTURES)('%s', (name) => {
    const { cases } = fixture(name);
    expect(cases.length).toBe(90);
    expectExact(fixtureTokenizer(name), cases);
  });
});

describe('single stages equal those of the reference implementation', () => {
  const stages = readJson<{
    texts: string[];
    pre_tokenizers: [unknown, string[][]][];
    normalizers: [unknown, string[]][];
  }>('fixtures/stages.json');

  test.each(
    stages.pre_tokenizers.map(([config, pieces]) => ({ config, pieces, name: JSON.stringify(config) })),
  )('pre-tokenizer $name', ({ config, pieces }) => {
    const split = createPreTokenizer(config);
    const got = stages.texts.map((text) => split({ text, first: true }).map((piece) => piece.text));
    expect(got).toEqual(pieces);
  });

  test.each(
    stages.normalizers.map(([config, texts]) => ({
      config,
      texts,
      name: JSON.stringify(config).slice(0, 120),
    })),
  )('normalizer $name', ({ config, texts }) => {
    const normalize = createNormalizer(config);
    expect(stages.texts.map(normalize)).toEqual(texts);
  });
});

describe('decoders equal those of the reference implementation', () => {
  const { token_lists: lists, decoders } = readJson<{
    token_lists: string[][];
    decoders: [unknown, string[]][];
  }>('fixtures/stages.json');
  test.each(decoders.map(([config, texts]) => ({ config, texts, name: JSON.stringify(config) })))(
    'decoder $name',
    ({ config, texts }) => {
      const decode = createDecoder(config, new Set());
      expect(lists.map((tokens) => decode(tokens).join(''))).toEqual(texts);
    },
  );
});

describe('sample checkpoints get the tokens their reference tensors were computed with', () => {
  const golden = readJson<Record<string, [text: string, tokens: number[]][]>>('fixtures/checkpoints.json');
  test.each(Object.keys(golden))('%s', (name) => {
    const tokenizer = checkpointTokenizer(name);
    for (const [text, tokens] of golden[name]) expect(tokenizer.encode(text)).toEqual(tokens);
  });
});

describe('public tokenizers', () => {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const folder = process.env.HEADSCOPE_TOKENIZERS ?? join(root, '..', 'shared', 'tokenizers');

  /** These files are not part of the repository. */
  function testPublic(name: string, title: string, check: (tokenizer: Tokenizer) => void): void {
    const path = join(folder, name, 'tokenizer.json');
    if (existsSync(path)) test(title, () => check(loadTokenizer(readFileSync(path, 'utf8'))));
    else
      test(`NOT RUN: ${title} (the public tokenizer files are absent; set HEADSCOPE_TOKENIZERS)`, () => {
        console.log(`${title}: not run, ${name}/tokenizer.json is absent`);
      });
  }

  testPublic('gpt2', 'GPT-2 gives its published ids', (tokenizer) => {
    expect(tokenizer.encode('Hello world')).toEqual([15496, 995]);
    expect(tokenizer.encode('Hello, world!')).toEqual([15496, 11, 995, 0]);
    expect(tokenizer.encode('When Mary and John went to the store, John gave a drink to')).toEqual([
      2215, 5335, 290, 1757, 1816, 284, 262, 3650, 11, 1757, 2921, 257, 4144, 284,
    ]);
    expect(tokenizer.vocabSize).toBe(50257);
    expect(tokenizer.token(5335)).toBe(' Mary');
    expect(tokenizer.token(198)).toBe('\\n');
    expect(tokenizer.token(50256)).toBe('<|endoftext|>');
    expect(tokenizer.isSpecial(50256)).toBe(true);
    expectExact(tokenizer, readJson<Case[]>('fixtures/public-gpt2.json'));
  });

  testPublic('bert-wordpiece', 'BERT gives its published ids', (tokenizer) => {
    expect(tokenizer.encode('hello world')).toEqual([101, 7592, 2088, 102]);
    expect(tokenizer.encode('Hello, world!')).toEqual([101, 7592, 1010, 2088, 999, 102]);
    expect(tokenizer.vocabSize).toBe(30522);
    expectExact(tokenizer, readJson<Case[]>('fixtures/public-bert-wordpiece.json'));
  });
});

describe('encodings worked out by hand', () => {
  test('byte-pair merges apply by rank, not from left to right', () => {
    const tokenizer = load({
      model: {
        type: 'BPE',
        vocab: { a: 0, b: 1, c: 2, bc: 3, ab: 4, abc: 5 },
        merges: ['b c', 'a b', 'a bc'],
      },
    });
    expect(tokenizer.encode('abc')).toEqual([5]);
    expect(tokenizer.encode('abab')).toEqual([4, 4]);
    expect(tokenizer.encode('abbc')).toEqual([4, 3]);
  });

  test('a character outside a SentencePiece vocabulary becomes its UTF-8 bytes', () => {
    const bytes = ['<0xE6>', '<0x97>', '<0xA5>'];
    const tokenizer = load({
      normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      decoder: { type: 'Sequence', decoders: [{ type: 'ByteFallback' }, { type: 'Fuse' }] },
      model: {
        type: 'BPE',
        byte_fallback: true,
        vocab: { '▁': 0, a: 1, '▁a': 2, ...Object.fromEntries(bytes.map((byte, i) => [byte, 3 + i])) },
        merges: [['▁', 'a']],
      },
    });
    expect(tokenizer.encode(' a日')).toEqual([2, 3, 4, 5]);
    expect(tokenizer.decode([3, 4, 5, 1])).toBe('日a');
    expect(tokenizer.decode([3, 4])).toBe('��');
    expect([2, 3, 5].map((id) => tokenizer.token(id))).toEqual([' a', '\\xE6', '\\xA5']);
  });

  test('Unigram takes the path with the highest sum of scores', () => {
    // "abc": a+bc = -3.5, ab+c = -3, a+b+c = -5; d is unknown, at the lowest score less 10.
    const vocab = [
      ['<unk>', 0],
      ['a', -2],
      ['b', -2],
      ['c', -1],
      ['bc', -1.5],
      ['ab', -2],
    ];
    const tokenizer = load({ model: { type: 'Unigram', unk_id: 0, vocab } });
    expect(tokenizer.encode('abc')).toEqual([5, 3]);
    expect(tokenizer.encode('bc')).toEqual([4]);
    expect(tokenizer.encode('addc')).toEqual([1, 0, 3]);
  });

  test('Unigram compares paths where they meet, before rounding can make them equal', () => {
    // a+b+bb = -15.15 and a+bb+b = -15.149999999999999 in doubles; with c both are -17.82. The reference takes the second.
    const vocab = [
      ['<unk>', 0],
      ['a', -1.87],
      ['b', -8.2],
      ['bb', -5.08],
      ['c', -2.67],
    ];
    const tokenizer = load({ model: { type: 'Unigram', unk_id: 0, vocab } });
    expect(tokenizer.encode('abbbc')).toEqual([1, 3, 2, 4]);
  });

  test('the text of the unknown token has its own score in Unigram', () => {
    const letters = ['<', 'u', 'n', 'k', '>'].map((letter) => [letter, -1]);
    const tokenizer = load({ model: { type: 'Unigram', unk_id: 0, vocab: [['<unk>', 0], ...letters] } });
    expect(tokenizer.encode('<unk>n')).toEqual([0, 3]);
  });

  test('of two added tokens at one place the longer is found', () => {
    const tokenizer = load({
      model: { type: 'WordLevel', vocab: { x: 0 }, unk_token: 'x' },
      added_tokens: ['ab', 'abc'].map((content, i) => ({ id: i + 1, content, special: true })),
    });
    expect(tokenizer.encode('abcab')).toEqual([2, 1]);
  });

  test('an added token that the vocabulary holds has the id it has there', () => {
    const tokenizer = load({
      model: { type: 'WordLevel', vocab: { x: 0, '<s>': 1 }, unk_token: 'x' },
      added_tokens: [{ id: 9, content: '<s>', special: true }],
    });
    expect(tokenizer.encode('<s>')).toEqual([1]);
    expect(tokenizer.isSpecial(1)).toBe(true);
  });

  test('BERT sets CJK ideographs apart, of Extension E those that the reference does', () => {
    const normalize = createNormalizer({
      type: 'BertNormalizer',
      clean_text: false,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: false,
    });
    expect(normalize('a中b\u{20000}c\u{2B850}d\u{2B950}e')).toBe('a 中 b \u{20000} c\u{2B850}d \u{2B950} e');
  });

  test('WordPiece takes the longest piece from the left (the example of the BERT code)', () => {
    const tokenizer = wordPieceTokenizer(['un', '##aff', '##able', 'a']);
    expect(tokenizer.encode('unaffable')).toEqual([1, 3, 4, 5, 2]);
    expect(tokenizer.encode('UNÁFFABLE  unknown')).toEqual([1, 3, 4, 5, 0, 2]);
  });

  test('U+FEFF is no white space and U+0085 is, unlike in JavaScript', () => {
    const split = createPreTokenizer({ type: 'WhitespaceSplit' });
    const pieces = split({ text: 'a\uFEFFb\u0085c', first: true });
    expect(pieces.map((piece) => piece.text)).toEqual(['a\uFEFFb', 'c']);
  });
});
