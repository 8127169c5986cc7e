import { createDecoder } from './decoder.ts';
import { badTokenizer } from './fields.ts';
import type { Fields } from './fields.ts';
import { MAX_TOKEN_ID } from './added-tokens.ts';
import { byteChar } from './byte-level.ts';
import { mergeSymbols } from './merge.ts';
import { createPreTokenizer } from './pre-tokenizer.ts';
import { readSpecialFiles } from './special-files.ts';
import type { TokenizerParts } from './tokenizer.ts';
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
  text: string,
  name: string,
  config: Fields,
  addedTokens: Fields,
): { parts: TokenizerParts; missing: readonly string[] } {
  const { idOf, tokens } = readRanks(text, name);
  const file = name.toLowerCase();
  const encoding =
    ENCODINGS.find((candidate) => file.includes(candidate.name)) ??
    ENCODINGS.find((candidate) => candidate.ranks === idOf.size);
  if (encoding === undefined) {
    throw badTokenizer(
      `${name} has ${idOf.size} ranks and is none of the published encodings, so how it splits text is not known`,
    );
  }
  const specials = readSpecialFiles(
    { additional_special_tokens: Object.keys(encoding.specials), ...config },
    { ...encoding.specials, ...addedTokens },
    undefined,
    (token) => idOf.get(token),
  );
  const join = (left: string, right: string): { text: string; rank: number } | undefined => {
    const joined = left + right;
    const rank = idOf.get(joined);
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
        idOf,
        tokens,
        unk: undefined,
        byteFallback: false,
        wordEnd: '',
        tokenize: (piece) => (idOf.has(piece) ? [piece] : mergeSymbols([...piece], join)),
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

function readRanks(
  text: string,
  name: string,
): { idOf: Map<string, number>; tokens: (string | undefined)[] } {
  const idOf = new Map<string, number>();
  const tokens: (string | undefined)[] = [];
  text.split('\n').forEach((line, i) => {
    if (line.trim() === '') return;
    const match = /^([A-Za-z0-9+/]+={0,2}) (\d{1,9})\r?$/.exec(line);
    const id = Number(match?.[2] ?? -1);
    if (match === null || id > MAX_TOKEN_ID || tokens[id] !== undefined) {
      throw badTokenizer(`${name} line ${i + 1} is not a token of its own in base64 and its rank`);
    }
    const token = fromBase64(match[1], name, i + 1);
    idOf.set(token, id);
    tokens[id] = token;
  });
  for (let byte = 0; byte < 256; byte++) {
    if (!idOf.has(byteChar(byte))) throw badTokenizer(`${name} has no token for the byte ${byte}`);
  }
  return { idOf, tokens };
}

/** The bytes as GPT-2's printable characters. */
function fromBase64(base64: string, name: string, line: number): string {
  try {
    return Array.from(atob(base64), (char) => byteChar(char.charCodeAt(0))).join('');
  } catch (cause) {
    throw badTokenizer(`${name} line ${line} is not base64`, cause);
  }
}
