import { HeadscopeError } from '../../errors.ts';
import { addedTokenSplitter, checkAddedTokens, readAddedTokens } from './added-tokens.ts';
import type { AddedToken } from './added-tokens.ts';
import { createDecoder } from './decoder.ts';
import type { Decoder } from './decoder.ts';
import { badTokenizer } from './fields.ts';
import type { Fields } from './fields.ts';
import { parseJson, parseTokenizerJson } from './json-file.ts';
import { createModel } from './model.ts';
import type { PieceModel } from './model.ts';
import { createNormalizer } from './normalizer.ts';
import { startText } from './pattern.ts';
import type { Normalizer } from './normalizer.ts';
import { createPreTokenizer } from './pre-tokenizer.ts';
import type { PreTokenizer } from './pre-tokenizer.ts';
import { createSpecialTemplate } from './special-template.ts';
import type { SpecialTemplate } from './special-template.ts';
import { findSpecials } from './specials.ts';
import type { SpecialIds } from './specials.ts';
import { displayText, tokenStyle, visible } from './token-text.ts';
import type { TokenStyle } from './token-text.ts';

/** Text to token ids and back, for one checkpoint. */
export interface Tokenizer {
  /** How text becomes tokens; `token-ids` when the checkpoint has no tokenizer and prompts are written as ids. */
  readonly kind: PieceModel['kind'] | 'token-ids';
  /** One more than the highest id. A model may have more logits than that. */
  readonly vocabSize: number;
  readonly specials: SpecialIds;
  /** The files it was read from, absent when it was made from nothing but text. */
  readonly source?: string;
  /** How the checkpoint writes a conversation, if it says. */
  readonly chat?: ChatTemplate;
  /**
   * Token ids of `text`; with the special tokens that the tokenizer puts around a prompt unless `addSpecialTokens` is false.
   * @throws HeadscopeError `prompt-too-long`; `unknown-token` when a word is not in the vocabulary and there is no unknown token either;
   * `bad-token-ids` for the `token-ids` kind
   */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): number[];
  /** The parts of `text` that the vocabulary cannot write: the model would get the unknown token, or nothing, in their place. */
  unknownPieces(text: string): string[];
  /** The text of `ids`, special tokens included. Ids outside the vocabulary appear as `[50300]`. */
  decode(ids: readonly number[]): string;
  /** A token as a person reads it: ` Mary`, `<bos>`, `\n`, `\xE2` for a byte of an incomplete character, `[50300]` outside the vocabulary. */
  token(id: number): string;
  /** Whether `id` is a special token (`<bos>`, `[SEP]`, the unknown token). */
  isSpecial(id: number): boolean;
  /** The id of the vocabulary entry that is spelled exactly so: `<bos>`, `ĠMary`, `##ing`. */
  idOf(token: string): number | undefined;
}

/** A Jinja template and the texts of the special tokens that it may name (`bos_token`, …). */
export interface ChatTemplate {
  readonly source: string;
  readonly specialTexts: Readonly<Record<string, string>>;
}

/** Prompts above this many characters are refused: no model here has a context that long. */
const MAX_PROMPT_LENGTH = 1_000_000;

/** What a tokenizer is made of, whichever files described it. */
export interface TokenizerParts {
  /** What errors call the files. */
  readonly where: string;
  readonly model: PieceModel;
  readonly added: readonly AddedToken[];
  readonly normalize: Normalizer;
  readonly preTokenize: PreTokenizer;
  readonly template: SpecialTemplate;
  readonly decode: Decoder;
  readonly style: TokenStyle;
}

/**
 * Reads a Hugging Face tokenizer.json: BPE (byte-level, or SentencePiece style with byte fallback), Unigram, WordPiece and WordLevel, as the
 * reference implementation (Hugging Face tokenizers, Rust) computes them. Truncation and padding stored in the file are left out: a prompt is
 * never cut silently.
 * @param tokenizerJson the text of tokenizer.json
 * @param configJson the text of tokenizer_config.json, which names the special tokens
 * @throws HeadscopeError `bad-tokenizer` for anything malformed, unknown or not supported exactly
 */
export function loadTokenizer(tokenizerJson: string, configJson?: string): Tokenizer {
  return guarded('tokenizer.json', () =>
    assembleTokenizer(
      jsonParts(parseTokenizerJson(utf8.encode(tokenizerJson), 'tokenizer.json'), 'tokenizer.json'),
      parseJson(utf8.encode(configJson ?? '{}'), 'tokenizer_config.json'),
    ),
  );
}

const utf8 = new TextEncoder();

/** Runs `work`; an error that is not ours, such as an exhausted stack, becomes `bad-tokenizer`. */
export function guarded<T>(name: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof HeadscopeError) throw error;
    throw badTokenizer(`${name} could not be used: ${String(error)}`, error);
  }
}

/**
 * The parts that a tokenizer.json, or a description of that form made from other files, asks for.
 * @param where what errors call it
 * @param model the file's model, where it was made before
 * @throws HeadscopeError `bad-tokenizer`
 */
export function jsonParts(
  file: Fields,
  where: string,
  model = createModel(file.model, `${where} model`),
): TokenizerParts {
  const added = readAddedTokens(file.added_tokens, `${where} added_tokens`).map((token) => ({
    ...token,
    // The vocabulary's id wins, as in the reference.
    id: model.vocab.get(token.content) ?? token.id,
  }));
  return {
    where,
    model,
    added,
    normalize: createNormalizer(file.normalizer, `${where} normalizer`),
    preTokenize: createPreTokenizer(file.pre_tokenizer, `${where} pre_tokenizer`),
    template: createSpecialTemplate(file.post_processor, `${where} post_processor`),
    decode: createDecoder(file.decoder, new Set(added.map((token) => token.content)), `${where} decoder`),
    style: tokenStyle(file),
  };
}

/**
 * Puts a tokenizer together.
 * @param config tokenizer_config.json, which names the special tokens
 * @throws HeadscopeError `bad-tokenizer` when the parts contradict each other
 */
export function assembleTokenizer(parts: TokenizerParts, config: Fields): Tokenizer {
  const { where, model, added, normalize, preTokenize, template, style } = parts;
  checkAddedTokens(added, where);

  const addedById = new Map(added.map((token) => [token.id, token]));
  const addedByText = new Map(added.map((token) => [token.content, token.id]));
  const idOf = (token: string): number | undefined => addedByText.get(token) ?? model.vocab.get(token);
  const vocabSize = added.reduce((size, token) => Math.max(size, token.id + 1), model.vocab.length);
  for (const id of [...template.before, ...template.after]) {
    if (id >= vocabSize)
      throw badTokenizer(`${where} post_processor adds the token ${id}, which does not exist`);
  }
  const special = new Map(added.filter((token) => token.special).map((token) => [token.content, token.id]));
  const specials = findSpecials(config, model.unk, idOf, special);
  const specialIds = new Set([...special.values(), ...Object.values(specials)]);

  const findRaw = addedTokenSplitter(added.filter((token) => !token.normalized));
  const findNormalized = addedTokenSplitter(
    added.filter((token) => token.normalized),
    normalize,
  );

  /** Walks `text` in order: added tokens by id, everything else as pieces for the model. */
  const walk = (text: string, onId: (id: number) => void, onPiece: (piece: string) => void): void => {
    if (text.length > MAX_PROMPT_LENGTH) {
      throw new HeadscopeError(
        'prompt-too-long',
        `The prompt has ${text.length} characters; at most ${MAX_PROMPT_LENGTH} are accepted. Shorten it.`,
      );
    }
    startText();
    for (const section of findRaw(text)) {
      if ('id' in section) {
        onId(section.id);
        continue;
      }
      for (const part of findNormalized(normalize(section.text))) {
        if ('id' in part) onId(part.id);
        else {
          const first = section.start === 0 && part.start === 0;
          for (const piece of preTokenize({ text: part.text, first })) onPiece(piece.text);
        }
      }
    }
  };

  const pieceIds = (piece: string): number[] =>
    model.tokenize(piece).map((token) => {
      const id = model.vocab.get(token) ?? model.unk;
      if (id !== undefined) return id;
      throw new HeadscopeError(
        'unknown-token',
        `"${visible(token)}" is not in the tokenizer's vocabulary, which has no unknown token either. Write the prompt without it.`,
      );
    });

  const encode = (text: string): number[] => {
    const ids: number[] = [];
    walk(
      text,
      (id) => ids.push(id),
      (piece) => {
        for (const id of pieceIds(piece)) ids.push(id);
      },
    );
    return ids;
  };

  const tokenText = (id: number): string | undefined => addedById.get(id)?.content ?? model.vocab.text(id);

  return {
    kind: model.kind,
    vocabSize,
    specials,
    encode: (text, { addSpecialTokens = true } = {}) => {
      const ids = encode(text);
      return addSpecialTokens ? [...template.before, ...ids, ...template.after] : ids;
    },
    unknownPieces: (text) => {
      const unknown: string[] = [];
      walk(
        text,
        () => undefined,
        (piece) => unknown.push(...model.unknownParts(piece)),
      );
      return unknown.map((part) => displayText(part, style, model));
    },
    decode: (ids) => {
      startText();
      return parts.decode(ids.map((id) => tokenText(id) ?? `[${id}]`)).join('');
    },
    token: (id) => {
      const addedToken = addedById.get(id);
      if (addedToken !== undefined) return visible(addedToken.content);
      const text = model.vocab.text(id);
      return text === undefined ? `[${id}]` : displayText(text, style, model);
    },
    isSpecial: (id) => specialIds.has(id),
    idOf,
  };
}
