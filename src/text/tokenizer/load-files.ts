import type { CheckpointFiles } from '../../onnx/source.ts';
import { findFamily, specialText } from './family.ts';
import type { FamilyFound } from './family.ts';
import { badTokenizer } from './fields.ts';
import type { Fields } from './fields.ts';
import { parseJson, parseTokenizerJson, wholeFile } from './json-file.ts';
import { eachLine } from './lines.ts';
import { createModel } from './model.ts';
import { readSentencePieceFile } from './sentencepiece/model-file.ts';
import { loadSentencePiece } from './sentencepiece/load.ts';
import { familyTemplate, readSpecialFiles } from './special-files.ts';
import type { SpecialFiles } from './special-files.ts';
import { looksLikeRanks, tiktokenParts } from './tiktoken.ts';
import { assembleTokenizer, guarded, jsonParts } from './tokenizer.ts';
import type { ChatTemplate, Tokenizer, TokenizerParts } from './tokenizer.ts';
import { Units } from './units.ts';
import { eachId } from './vocab.ts';
import { describeMerges, describeWordPieces } from './vocab-files.ts';
import type { Described } from './vocab-files.ts';

/** A checkpoint's tokenizer, if it has one that can be read, and what a person should know of it. */
export interface LoadedTokenizer {
  readonly tokenizer: Tokenizer | undefined;
  readonly notes: readonly string[];
}

const MAX_BYTES = 256 * 1024 * 1024;

const SENTENCEPIECE = [
  'tokenizer.model',
  'spiece.model',
  'spm.model',
  'sentencepiece.model',
  'sentencepiece.bpe.model',
];

/** The files beside a model, as far as they concern its tokenizer. */
interface Beside {
  readonly names: ReadonlySet<string>;
  bytes(name: string): Promise<Uint8Array>;
  text(name: string): Promise<string>;
  /** An absent file is an empty object. */
  json(name: string): Promise<Fields>;
}

/**
 * Reads the tokenizer of a folder. The first of these counts: tokenizer.json; vocab.json with merges.txt; vocab.txt; a SentencePiece model
 * (tokenizer.model, spiece.model, spm.model, sentencepiece.model, sentencepiece.bpe.model); a file of ranks (*.tiktoken). Beside it,
 * tokenizer_config.json, special_tokens_map.json, added_tokens.json, config.json and chat_template.jinja are read.
 * @throws HeadscopeError `bad-tokenizer` when the files that count are damaged or cannot be read exactly
 */
export async function loadTokenizerFiles(folder: CheckpointFiles): Promise<LoadedTokenizer> {
  const files = beside(folder, new Set(await folder.list()));
  // What tokenizer_config.json says counts before the older file.
  const config = {
    ...(await files.json('special_tokens_map.json')),
    ...(await files.json('tokenizer_config.json')),
  };
  const loaded = await readParts(files, config);
  if (loaded === undefined) return { tokenizer: undefined, notes: [] };
  if (loaded.parts === undefined) return { tokenizer: undefined, notes: loaded.notes };
  const { parts } = loaded;
  const named = Object.fromEntries(
    Object.entries(loaded.named ?? {}).map(([name, text]) => [`${name}_token`, text]),
  );
  const tokenizer = guarded(parts.where, () => assembleTokenizer(parts, { ...named, ...config }));
  const chat = await chatTemplate(files, config);
  const missing = [...new Set(loaded.missing)];
  return {
    tokenizer: { ...tokenizer, source: parts.where, ...(chat && { chat }) },
    notes: [
      ...loaded.notes,
      ...(missing.length > 0
        ? [
            `The tokenizer's configuration names ${missing
              .slice(0, 4)
              .map((text) => `"${text}"`)
              .join(', ')}, which its vocabulary does not have.`,
          ]
        : []),
      ...(await contradictions(files, parts.where, tokenizer)),
    ],
  };
}

interface Read {
  /** Undefined when the files are of a kind that is not read. */
  readonly parts: TokenizerParts | undefined;
  readonly notes: readonly string[];
  /** Special tokens by name, where the class says so. */
  readonly named?: SpecialFiles['named'];
  /** Special tokens without an id. */
  readonly missing: readonly string[];
}

async function readParts(files: Beside, config: Fields): Promise<Read | undefined> {
  const { names } = files;
  if (names.has('tokenizer.json')) {
    const name = 'tokenizer.json';
    const bytes = await files.bytes(name);
    return {
      parts: guarded(name, () => jsonParts(parseTokenizerJson(bytes, name), name)),
      notes: [],
      missing: [],
    };
  }
  const model = SENTENCEPIECE.find((name) => names.has(name));
  const ranks = [...names].sort().find((name) => name.endsWith('.tiktoken') && !name.includes('/'));
  const hasMerges = names.has('vocab.json') && names.has('merges.txt');
  if (!hasMerges && !names.has('vocab.txt') && model === undefined && ranks === undefined) return undefined;

  const found = findFamily(config, await files.json('config.json'));
  if (found.notRead) {
    return {
      parts: undefined,
      missing: [],
      notes: [
        `The checkpoint's tokenizer is of the class "${found.name ?? ''}", which can be read only from a tokenizer.json, and there is none; prompts are token ids, such as "0 17 4".`,
      ],
    };
  }
  const addedTokens = await files.json('added_tokens.json');
  if (hasMerges) {
    const vocab = await files.bytes('vocab.json');
    const merges = await files.bytes('merges.txt');
    const where = 'vocab.json and merges.txt';
    return guarded(where, () =>
      fromDescription(describeMerges(vocab, merges, config, found), where, config, addedTokens),
    );
  }
  if (names.has('vocab.txt')) {
    const lines = await files.bytes('vocab.txt');
    return guarded('vocab.txt', () =>
      fromDescription(describeWordPieces(lines, config, found), 'vocab.txt', config, addedTokens),
    );
  }
  const name = (model ?? ranks) as string;
  const bytes = await files.bytes(name);
  if (model === undefined || looksLikeRanks(bytes)) return ranksRead(bytes, name, config, addedTokens);
  return sentencePieceRead(bytes, name, config, addedTokens, found);
}

function fromDescription(
  { file, family, notes }: Described,
  where: string,
  config: Fields,
  addedTokens: Fields,
): Read {
  const model = createModel(file.model, `${where} model`);
  const specials = readSpecialFiles(config, addedTokens, family, (token) => model.vocab.get(token));
  return {
    parts: {
      ...jsonParts({ ...file, added_tokens: specials.added.map(asWritten) }, where, model),
      template: familyTemplate(config, family, specials),
    },
    notes,
    named: specials.named,
    missing: specials.missing,
  };
}

function asWritten({ singleWord, ...token }: TokenizerParts['added'][number]): Fields {
  return { ...token, single_word: singleWord };
}

function ranksRead(bytes: Uint8Array, name: string, config: Fields, addedTokens: Fields): Read {
  return guarded(name, () => ({ ...tiktokenParts(bytes, name, config, addedTokens), notes: [] }));
}

async function sentencePieceRead(
  bytes: Uint8Array,
  name: string,
  config: Fields,
  addedTokens: Fields,
  found: FamilyFound,
): Promise<Read> {
  return loadSentencePiece(bytes, name, config, addedTokens, found);
}

/** The chat template, from its own file or from tokenizer_config.json, where it may be one of several by name. */
async function chatTemplate(files: Beside, config: Fields): Promise<ChatTemplate | undefined> {
  const own = files.names.has('chat_template.jinja') ? await files.text('chat_template.jinja') : undefined;
  const source = own ?? templateText(config.chat_template);
  if (source === undefined) return undefined;
  const specialTexts: Record<string, string> = {};
  for (const [key, value] of Object.entries(config)) {
    const text = /^[a-z]+_token$/.test(key) ? specialText(value) : undefined;
    if (text !== undefined) specialTexts[key] = text;
  }
  return { source, specialTexts };
}

function templateText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return undefined;
  const named = value.filter(
    (entry): entry is { name: unknown; template: string } =>
      typeof entry === 'object' &&
      entry !== null &&
      typeof (entry as { template?: unknown }).template === 'string',
  );
  return (named.find((entry) => entry.name === 'default') ?? named.at(0))?.template;
}

/** Notes on files of the vocabulary that were not used and say something else. */
async function contradictions(files: Beside, used: string, tokenizer: Tokenizer): Promise<string[]> {
  if (used !== 'tokenizer.json') return [];
  const notes: string[] = [];
  for (const name of ['vocab.json', 'vocab.txt', 'tokenizer.model', 'spiece.model']) {
    if (!files.names.has(name)) continue;
    let differing = 0;
    const compare = (token: Units, id: number): void => {
      if (tokenizer.idOf(token.toString()) !== id) differing++;
    };
    try {
      const bytes = await files.bytes(name);
      if (name === 'vocab.json') eachId(wholeFile(bytes, name), name, compare);
      else if (name === 'vocab.txt') {
        eachLine(bytes, true, (line, id) => {
          if (line.length > 0) compare(line, id);
        });
      } else {
        if (looksLikeRanks(bytes)) continue;
        const { pieces } = await readSentencePieceFile(bytes, name);
        const piece = new Units();
        for (let id = 0; id < pieces.size; id++) compare(piece.set(pieces.text(id)), id);
      }
      if (differing > 0) {
        notes.push(
          `${name} gives ${differing} ${differing === 1 ? 'token' : 'tokens'} another id than ${used}, which is the one that is used.`,
        );
      }
    } catch (error) {
      notes.push(`${name} was not needed and cannot be read: ${(error as Error).message}`);
    }
  }
  return notes;
}

function beside(folder: CheckpointFiles, names: ReadonlySet<string>): Beside {
  const bytes = async (name: string): Promise<Uint8Array> => {
    const source = await folder.open(name);
    if (source.size > MAX_BYTES) {
      throw badTokenizer(`${name} has ${source.size} bytes, which is too large for a tokenizer`);
    }
    return source.read(0, source.size);
  };
  const text = async (name: string): Promise<string> => new TextDecoder().decode(await bytes(name));
  return {
    names,
    bytes,
    text,
    json: async (name) => (names.has(name) ? parseJson(await bytes(name), name) : {}),
  };
}
