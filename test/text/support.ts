import { readFileSync } from 'node:fs';
import { HeadscopeError } from '../../src/errors.ts';
import { loadTokenizer } from '../../src/text/tokenizer/tokenizer.ts';
import type { Tokenizer } from '../../src/text/tokenizer/tokenizer.ts';

/** Text, ids, ids without special tokens, decoded text: computed by the reference implementation (fixtures/make_fixtures.py). */
export type Case = readonly [text: string, ids: number[], bare: number[], decoded: string];

export interface Fixture {
  readonly tokenizer: Record<string, unknown>;
  readonly cases: readonly Case[];
}

export function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as T;
}

export const fixture = (name: string): Fixture => readJson<Fixture>(`fixtures/${name}.json`);

export const fixtureTokenizer = (name: string): Tokenizer =>
  loadTokenizer(JSON.stringify(fixture(name).tokenizer));

/** The tokenizer of a sample checkpoint. */
export function checkpointTokenizer(name: string): Tokenizer {
  const file = (part: string): string =>
    readFileSync(new URL(`../../assets/checkpoints/${name}/${part}`, import.meta.url), 'utf8');
  return loadTokenizer(file('tokenizer.json'), file('tokenizer_config.json'));
}

/** The code of the HeadscopeError that `work` throws, `none` when it throws nothing. */
export function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof HeadscopeError) return error.code;
    throw error;
  }
  return 'none';
}

const numbered = (words: readonly string[]): Record<string, number> =>
  Object.fromEntries(words.map((word, id) => [word, id]));

/** A WordLevel tokenizer that splits at white space; `<unk>` is token 0. */
export function wordTokenizer(words: readonly string[]): Tokenizer {
  return load({
    pre_tokenizer: { type: 'WhitespaceSplit' },
    model: { type: 'WordLevel', unk_token: '<unk>', vocab: numbered(['<unk>', ...words]) },
  });
}

/**
 * A byte-level tokenizer that writes each of `words` (" Mary", "32") as one token and everything else in bytes. Numbers are split in pairs of
 * digits, as GPT-2 happens to split most years.
 */
export function byteLevelTokenizer(words: readonly string[]): Tokenizer {
  const vocab = [...new Set([...BYTE_ALPHABET, ...words.map((word) => word.replaceAll(' ', 'Ġ'))])];
  const pattern = ' ?\\p{L}+| ?\\p{N}{1,2}| ?[^\\s\\p{L}\\p{N}]+|\\s+';
  return load({
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    decoder: { type: 'ByteLevel' },
    model: { type: 'BPE', ignore_merges: true, vocab: numbered(vocab), merges: [] },
  });
}

/** The printable stand-ins of all bytes, taken from a trained vocabulary that has them all. */
const BYTE_ALPHABET = Object.keys((fixture('gpt2-like').tokenizer.model as { vocab: object }).vocab).filter(
  (token) => token.length === 1,
);

/** A SentencePiece-style tokenizer: `▁` in front of every word, each of `words` one token, other text unknown. */
export function metaspaceTokenizer(words: readonly string[]): Tokenizer {
  return load({
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
    decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
    model: {
      type: 'BPE',
      unk_token: '<unk>',
      ignore_merges: true,
      vocab: numbered(['<unk>', '▁', ...words.map((word) => `▁${word}`)]),
      merges: [],
    },
  });
}

/** A WordPiece tokenizer in BERT's manner, lower case. */
export function wordPieceTokenizer(pieces: readonly string[]): Tokenizer {
  return load({
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: { type: 'BertProcessing', cls: ['[CLS]', 1], sep: ['[SEP]', 2] },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    added_tokens: ['[UNK]', '[CLS]', '[SEP]'].map((content, id) => ({ id, content, special: true })),
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: numbered(['[UNK]', '[CLS]', '[SEP]', ...pieces]),
    },
  });
}

export function load(file: object): Tokenizer {
  return loadTokenizer(JSON.stringify(file));
}
