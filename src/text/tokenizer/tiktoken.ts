import { createDecoder } from './decoder.ts';
import { badTokenizer } from './fields.ts';
import type { Fields } from './fields.ts';
import { MAX_TOKEN_ID } from './added-tokens.ts';
import { byteChar } from './byte-level.ts';
import { countLines, eachLine } from './lines.ts';
import { mergeSymbols } from './merge.ts';
import { createPreTokenizer } from './pre-tokenizer.ts';
import { readSpecialFiles } from './special-files.ts';
import { TokenTable } from './token-table.ts';
import type { TokenizerParts } from './tokenizer.ts';
import { Units } from './units.ts';
import { CL100K_PATTERN, GPT2_PATTERN_SOURCE, O200K_PATTERN, QWEN_PATTERN } from './published-patterns.ts';

/** What a file of ranks leaves open: the pattern that splits text and the special tokens. */
interface Encoding {
  /** Part of the file's name that tells it, and the number of ranks that does. */
  readonly name: string;
  readonly ranks: number;
  readonly pattern: string;
  readonly nfc?: true;
  readonly specials: Readonly<Record<string, number>>;
  /** The special token in front of a prompt. */
  readonly before?: string;
}

/** The published ones (tiktoken_ext/openai_public.py, Llama 3's tokenizer.py, Qwen's tokenization_qwen.py). */
const ENCODINGS: readonly Encoding[] = [
  { name: 'r50k', ranks: 50256, pattern: GPT2_PATTERN_SOURCE, specials: { '<|endoftext|>': 50256 } },
  { name: 'p50k', ranks: 50280, pattern: GPT2_PATTERN_SOURCE, specials: { '<|endoftext|>': 50256 } },
  {
    name: 'cl100k',
    ranks: 100256,
    pattern: CL100K_PATTERN,
    specials: {
      '<|endoftext|>': 100257,
      '<|fim_prefix|>': 100258,
      '<|fim_middle|>': 100259,
      '<|fim_suffix|>': 100260,
      '<|endofprompt|>': 100276,
    },
  },
  {
    name: 'o200k',
    ranks: 199998,
    pattern: O200K_PATTERN,
    specials: { '<|endoftext|>': 199999, '<|endofprompt|>': 200018 },
  },
  {
    name: 'llama3',
    ranks: 128000,
    pattern: CL100K_PATTERN,
    before: '<|begin_of_text|>',
    specials: {
      '<|begin_of_text|>': 128000,
      '<|end_of_text|>': 128001,
      '<|start_header_id|>': 128006,
      '<|end_header_id|>': 128007,
      '<|eot_id|>': 128009,
    },
  },
  {
    name: 'qwen',
    ranks: 151643,
    pattern: QWEN_PATTERN,
    nfc: true,
    specials: { '<|endoftext|>': 151643, '<|im_start|>': 151644, '<|im_end|>': 151645 },
  },
];

/** Whether a file begins as a list of ranks does: base64, a space, a number. */
export function looksLikeRanks(bytes: Uint8Array): boolean {
  return /^[A-Za-z0-9+/]+={0,2} \d+\r?\n/.test(new TextDecoder('latin1').decode(bytes.subarray(0, 400)));
}

/**
 * A tokenizer from a file of ranks as tiktoken writes them: a token's bytes in base64 and its rank, which is its id, on each line.
 * @param name the file's name
 * @throws HeadscopeError `bad-tokenizer` when a line is malformed, or neither the name nor the number of ranks is a published encoding's
 */
export function tiktokenParts(
  bytes: Uint8Array,
  name: string,
  config: Fields,
  addedTokens: Fields,
): { parts: TokenizerParts; missing: readonly string[] } {
  const vocab = readRanks(bytes, name);
  const file = name.toLowerCase();
  const encoding =
    ENCODINGS.find((candidate) => file.includes(candidate.name)) ??
    ENCODINGS.find((candidate) => candidate.ranks === vocab.size);
  if (encoding === undefined) {
    throw badTokenizer(
      `${name} has ${vocab.size} ranks and is none of the published encodings, so how it splits text is not known`,
    );
  }
  const specials = readSpecialFiles(
    { additional_special_tokens: Object.keys(encoding.specials), ...config },
    { ...encoding.specials, ...addedTokens },
    undefined,
    (token) => vocab.get(token),
  );
  const join = (left: string, right: string): { text: string; rank: number } | undefined => {
    const joined = left + right;
    const rank = vocab.get(joined);
    return rank === undefined ? undefined : { text: joined, rank };
  };
  const front = encoding.before === undefined ? [] : [encoding.specials[encoding.before]];
  const split = {
    type: 'Sequence',
    pretokenizers: [
      { type: 'Split', pattern: { Regex: encoding.pattern }, behavior: 'Isolated' },
      { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
    ],
  };
  const addedTexts = new Set(specials.added.map((token) => token.content));
  return {
    missing: specials.missing,
    parts: {
      where: name,
      model: {
        kind: 'bpe',
        vocab,
        unk: undefined,
        byteFallback: false,
        wordEnd: '',
        tokenize: (piece) => (vocab.has(piece) ? [piece] : mergeSymbols([...piece], join)),
        unknownParts: () => [],
      },
      added: specials.added,
      normalize: encoding.nfc ? (part) => part.normalize('NFC') : (part) => part,
      preTokenize: createPreTokenizer(split),
      template: { before: front, after: [] },
      decode: createDecoder({ type: 'ByteLevel' }, addedTexts),
      style: { byteLevel: true, spaceMark: undefined },
    },
  };
}

function readRanks(bytes: Uint8Array, name: string): TokenTable {
  const table = new TokenTable(name, countLines(bytes), bytes.length);
  const token = new Units();
  /** One bit for each id that is taken. */
  const taken = new Uint32Array((MAX_TOKEN_ID + 1) / 32);
  eachLine(bytes, false, (line, i) => {
    const { data, length } = line;
    let at = 0;
    while (at < length && data[at] <= SPACE) at++;
    if (at === length) return;
    const end = fromBase64(line, token);
    at = end + 1;
    let id = 0;
    for (; at < length && data[at] >= 0x30 && data[at] <= 0x39; at++) id = 10 * id + data[at] - 0x30;
    const isWhole = end > 0 && data[end] === SPACE && at > end + 1 && at === length;
    if (!isWhole || id > MAX_TOKEN_ID || ((taken[id >>> 5] >>> (id & 31)) & 1) === 1) {
      throw badTokenizer(`${name} line ${i + 1} is not a token of its own in base64 and its rank`);
    }
    taken[id >>> 5] |= 1 << (id & 31);
    table.append(token, id);
  });
  for (let byte = 0; byte < 256; byte++) {
    if (!table.has(byteChar(byte))) throw badTokenizer(`${name} has no token for the byte ${byte}`);
  }
  return table;
}

const SPACE = 0x20;
const PADDING = 0x3d;

/** The values of base64's characters, and the units that stand for bytes. */
const SIX_BITS = new Int8Array(128).fill(-1);
[...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'].forEach((char, value) => {
  SIX_BITS[char.charCodeAt(0)] = value;
});
const BYTE_UNITS = Uint16Array.from({ length: 256 }, (_, byte) => byteChar(byte).charCodeAt(0));

/**
 * Decodes the base64 that a line begins with, to bytes as GPT-2's printable characters.
 * @returns where it ends, 0 when it is malformed
 */
function fromBase64({ data, length }: Units, out: Units): number {
  out.length = 0;
  let bits = 0;
  let at = 0;
  for (; at < length && data[at] < 128 && SIX_BITS[data[at]] >= 0; at++) {
    bits = ((bits << 6) | SIX_BITS[data[at]]) & 0xffff;
    // four characters are three bytes; each but the first completes one
    const left = 2 * (3 - (at % 4));
    if (at % 4 > 0) out.push(BYTE_UNITS[(bits >>> left) & 0xff]);
  }
  const characters = at;
  while (at < length && data[at] === PADDING && at < characters + 2) at++;
  const isPadded = at > characters;
  return characters === 0 || characters % 4 === 1 || (isPadded && at % 4 > 0) ? 0 : at;
}
