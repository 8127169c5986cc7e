import { HeadscopeError } from '../errors.ts';
import type { Tokenizer } from './tokenizer/tokenizer.ts';

/** A token as a view shows it. */
export interface ShownToken {
  readonly id: number;
  readonly text: string;
  readonly special: boolean;
}

/** A prompt as the model gets it. */
export interface EncodedPrompt {
  /** Special tokens included. */
  readonly ids: readonly number[];
  readonly tokens: readonly ShownToken[];
  /** What the vocabulary cannot write, in order; the model gets the unknown token, or nothing, in its place. */
  readonly unknown: readonly string[];
  /** Whether the text has no token of its own, so that at most special tokens are left. */
  readonly empty: boolean;
}

/** The tokens of `ids` with their texts. */
export function showTokens(tokenizer: Tokenizer, ids: readonly number[]): ShownToken[] {
  return ids.map((id) => ({ id, text: tokenizer.token(id), special: tokenizer.isSpecial(id) }));
}

/**
 * Encodes a prompt and says what a caller should warn of: nothing to run, or words that the model never sees.
 * @throws HeadscopeError as `Tokenizer.encode`
 */
export function encodePrompt(
  tokenizer: Tokenizer,
  text: string,
  options?: { readonly addSpecialTokens?: boolean },
): EncodedPrompt {
  const ids = tokenizer.encode(text, options);
  return {
    ids,
    tokens: showTokens(tokenizer, ids),
    unknown: tokenizer.unknownPieces(text),
    empty: tokenizer.encode(text, { addSpecialTokens: false }).length === 0,
  };
}

/**
 * The id of `text` when it is one token, undefined when it is several, none or unknown.
 *
 * A leading space counts only where the vocabulary tells the two forms apart: " Mary" and "Mary" are the same token of a word-level or WordPiece
 * tokenizer, and " Mary" is `▁Mary` of a SentencePiece one, which puts the space in front by itself. A spelling of the vocabulary (`##ing`) works too.
 */
export function singleToken(tokenizer: Tokenizer, text: string): number | undefined {
  const whole = onlyToken(tokenizer, text);
  if (whole !== undefined) return whole;
  if (text.startsWith(' ')) {
    const bare = onlyToken(tokenizer, text.slice(1));
    if (bare !== undefined && tokenizer.token(bare) === text) return bare;
  }
  return tokenizer.idOf(text);
}

function onlyToken(tokenizer: Tokenizer, text: string): number | undefined {
  try {
    const ids = tokenizer.encode(text, { addSpecialTokens: false });
    return ids.length === 1 && tokenizer.unknownPieces(text).length === 0 ? ids[0] : undefined;
  } catch (error) {
    // Text that cannot be written at all is no token either.
    if (error instanceof HeadscopeError) return undefined;
    throw error;
  }
}

/**
 * The id of an answer that must be one token.
 * @throws HeadscopeError `answer-not-one-token`
 */
export function requireSingleToken(tokenizer: Tokenizer, text: string): number {
  const id = singleToken(tokenizer, text);
  if (id !== undefined) return id;
  throw new HeadscopeError('answer-not-one-token', `The answer "${text}" ${whyNotOne(tokenizer, text)}`);
}

function whyNotOne(tokenizer: Tokenizer, text: string): string {
  if (tokenizer.kind === 'token-ids') {
    return `is not one token id from 0 to ${tokenizer.vocabSize - 1}. This checkpoint has no tokenizer: write answers as ids.`;
  }
  const unknown = tokenizer.unknownPieces(text);
  if (unknown.length > 0) return 'is not in the vocabulary. Choose an answer that is.';
  const ids = tokenizer.encode(text, { addSpecialTokens: false });
  if (ids.length === 0) return 'has no token. Write the word that is expected.';
  const parts = ids.map((id) => `"${tokenizer.token(id)}"`).join(' ');
  return `is ${ids.length} tokens (${parts}). Choose an answer that is one token; most need their leading space.`;
}
