import { asFields, asText, badTokenizer, flag } from './fields.ts';
import type { Fields } from './fields.ts';
import type { Family, FamilyFound } from './family.ts';
import { wholeFile } from './json-file.ts';
import { countLines, eachLine } from './lines.ts';
import { MergeLines } from './merges.ts';
import { TokenTable, type Vocabulary } from './token-table.ts';
import { readVocab } from './vocab.ts';
import { CLIP_PATTERN, QWEN_PATTERN } from './published-patterns.ts';

/** A description in the form of a tokenizer.json, and the family it was made for. */
export interface Described {
  readonly file: Fields;
  readonly family: Family | undefined;
  readonly notes: readonly string[];
}

const BYTE_LEVEL_DECODER = { type: 'ByteLevel' };

const regex = (source: string, behavior: string, invert: boolean): Fields => ({
  type: 'Split',
  pattern: { Regex: source },
  behavior,
  invert,
});

/**
 * vocab.json and merges.txt: byte-level BPE in the manner of GPT-2, RoBERTa, Qwen 2 or CLIP, or the word-level BPE of the first GPT.
 * @throws HeadscopeError `bad-tokenizer` when the vocabulary is of no kind that is known
 */
export function describeMerges(
  vocabBytes: Uint8Array,
  mergesBytes: Uint8Array,
  config: Fields,
  found: FamilyFound,
): Described {
  const vocab = readVocab(wholeFile(vocabBytes, 'vocab.json'), 'vocab.json');
  const merges = new MergeLines(mergesBytes);
  const name = found.name ?? guessMergesFamily(vocab);
  const notes: string[] = [];
  const model = { type: 'BPE', vocab, merges };
  if (name === 'clip') {
    const spaces = { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' };
    return {
      family: found.family ?? CLIP_FAMILY,
      notes,
      file: {
        normalizer: { type: 'Sequence', normalizers: [{ type: 'NFC' }, spaces, { type: 'Lowercase' }] },
        pre_tokenizer: {
          type: 'Sequence',
          pretokenizers: [
            regex(CLIP_PATTERN, 'Removed', true),
            { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
          ],
        },
        decoder: BYTE_LEVEL_DECODER,
        model: { ...model, end_of_word_suffix: '</w>', unk_token: '<|endoftext|>' },
      },
    };
  }
  if (name === 'openaigpt') {
    return {
      family: found.family,
      notes,
      file: {
        normalizer: BERT_NORMALIZER(true, true, undefined),
        pre_tokenizer: { type: 'BertPreTokenizer' },
        decoder: { type: 'BPEDecoder', suffix: '</w>' },
        model: { ...model, end_of_word_suffix: '</w>', unk_token: '<unk>' },
      },
    };
  }
  if (!vocab.has('Ġ') && !vocab.has('Ċ') && !merges.has('Ġ')) {
    throw badTokenizer('vocab.json is not a byte-level vocabulary, and no file says what it is');
  }
  if (found.family === undefined) {
    notes.push(
      `vocab.json and merges.txt were read as a byte-level tokenizer in the manner of ${name === 'roberta' ? 'RoBERTa' : 'GPT-2'}, because ${found.name === undefined ? 'no file names' : `"${found.name}" is not a name known for`} its class.`,
    );
  }
  const addsSpace = flag(config, 'add_prefix_space', 'tokenizer_config.json', name === 'blenderbot');
  const byteLevel = { type: 'ByteLevel', add_prefix_space: addsSpace };
  const isQwen = name === 'qwen2';
  return {
    family: found.family ?? (name === 'roberta' ? ROBERTA_FAMILY : undefined),
    notes,
    file: {
      normalizer: isQwen ? { type: 'NFC' } : null,
      pre_tokenizer: isQwen
        ? {
            type: 'Sequence',
            pretokenizers: [regex(QWEN_PATTERN, 'Isolated', false), { ...byteLevel, use_regex: false }],
          }
        : byteLevel,
      decoder: BYTE_LEVEL_DECODER,
      model,
    },
  };
}

const ROBERTA_FAMILY: Family = {
  before: ['bos'],
  after: ['eos'],
  maskTakesSpace: true,
  names: { bos: '<s>', eos: '</s>', unk: '<unk>', pad: '<pad>', mask: '<mask>' },
};
const CLIP_FAMILY: Family = {
  before: ['bos'],
  after: ['eos'],
  names: { bos: '<|startoftext|>', eos: '<|endoftext|>' },
};

function guessMergesFamily(vocab: Vocabulary): string {
  if (vocab.has('<|startoftext|>') && vocab.has('a</w>')) return 'clip';
  return ['<s>', '</s>', '<mask>'].every((token) => vocab.has(token)) ? 'roberta' : 'gpt2';
}

const BERT_NORMALIZER = (lowercase: boolean, cjk: boolean, accents: boolean | undefined): Fields => ({
  type: 'BertNormalizer',
  clean_text: true,
  handle_chinese_chars: cjk,
  strip_accents: accents ?? null,
  lowercase,
});

/**
 * vocab.txt: WordPiece, one piece a line, its line its id (Devlin et al. 2019).
 * @throws HeadscopeError `bad-tokenizer` when a field of the configuration is of the wrong type
 */
export function describeWordPieces(bytes: Uint8Array, config: Fields, found: FamilyFound): Described {
  const vocab = new TokenTable('vocab.txt', countLines(bytes), bytes.length);
  // Of two equal lines the last counts, as in the reference.
  eachLine(bytes, true, (line, id) => vocab.put(line, id));
  const notes: string[] = [];
  const where = 'tokenizer_config.json';
  let lowercase = flag(config, 'do_lower_case', where, true);
  if (config.do_lower_case === undefined) {
    lowercase = !hasCapitals(vocab);
    notes.push(
      `No file says whether the tokenizer lower-cases; its vocab.txt ${lowercase ? 'has no' : 'has'} capital letters, so it does${lowercase ? '' : ' not'}.`,
    );
  }
  const accents = config.strip_accents ?? undefined;
  if (accents !== undefined && typeof accents !== 'boolean') {
    throw badTokenizer(`${where}.strip_accents must be true, false or null`);
  }
  const unk = config.unk_token ?? found.family?.names?.unk ?? '[UNK]';
  const unkToken = typeof unk === 'string' ? unk : asText(asFields(unk, `${where}.unk_token`).content, where);
  return {
    family: found.family ?? BERT_FAMILY,
    notes,
    file: {
      normalizer: BERT_NORMALIZER(lowercase, flag(config, 'tokenize_chinese_chars', where, true), accents),
      pre_tokenizer: { type: 'BertPreTokenizer' },
      decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
      model: { type: 'WordPiece', vocab, unk_token: unkToken, max_input_chars_per_word: 100 },
    },
  };
}

function hasCapitals(vocab: TokenTable): boolean {
  for (let entry = 0; entry < vocab.size; entry++) {
    if (/^(##)?\p{Lu}/u.test(vocab.entryText(entry))) return true;
  }
  return false;
}

const BERT_FAMILY: Family = {
  before: ['cls'],
  after: ['sep'],
  names: { unk: '[UNK]', sep: '[SEP]', pad: '[PAD]', cls: '[CLS]', mask: '[MASK]' },
};
