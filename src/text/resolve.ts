import { HeadscopeError } from '../errors.ts';
import { encodePrompt, requireSingleToken, singleToken } from './prompt.ts';
import { asList } from './prompt-set.ts';
import type { PromptItem, PromptProblem, PromptSet } from './prompt-set.ts';
import type { Tokenizer } from './tokenizer/tokenizer.ts';

/** A prompt item in token ids. */
export interface ResolvedPrompt {
  readonly item: PromptItem;
  /** Special tokens included. */
  readonly ids: readonly number[];
  readonly corruptIds?: readonly number[];
  /** Whether prompt and corrupt prompt have the same number of tokens, so that positions can be compared. */
  readonly aligned: boolean;
  /** One token each; empty when the item names none. */
  readonly answers: readonly number[];
  readonly distractors: readonly number[];
  /** The tokens of each choice. */
  readonly choices: readonly (readonly number[])[];
  readonly focus?: readonly [number, number];
  /** Words of the prompt and the corrupt prompt that the vocabulary cannot write. */
  readonly unknown: readonly string[];
}

/**
 * Turns the texts of an item into token ids.
 * @throws HeadscopeError `empty-prompt`, `answer-not-one-token`, `same-token` (an answer is also a distractor), `bad-token-ids`,
 * `bad-focus` (the span leaves the prompt), and whatever `Tokenizer.encode` throws
 */
export function resolvePrompt(tokenizer: Tokenizer, item: PromptItem): ResolvedPrompt {
  const prompt = encodeNonEmpty(tokenizer, item.prompt, 'prompt');
  const corrupt =
    item.corrupt === undefined ? undefined : encodeNonEmpty(tokenizer, item.corrupt, 'corrupt prompt');
  const answers = tokenIds(tokenizer, item.answer, item.answerIds);
  const distractors = tokenIds(tokenizer, item.distractor, item.distractorIds);
  const both = answers.find((id) => distractors.includes(id));
  if (both !== undefined) {
    throw new HeadscopeError(
      'same-token',
      `"${tokenizer.token(both)}" is both an answer and a distractor for this tokenizer. Choose two different tokens.`,
    );
  }
  if (item.focus !== undefined && item.focus[1] > prompt.ids.length) {
    throw new HeadscopeError(
      'bad-focus',
      `The focus span [${item.focus.join(', ')}] leaves the prompt, which has ${prompt.ids.length} tokens. Shorten the span.`,
    );
  }
  return {
    item,
    ids: prompt.ids,
    ...(corrupt && { corruptIds: corrupt.ids }),
    aligned: corrupt?.ids.length === prompt.ids.length,
    answers,
    distractors,
    choices: (item.choices ?? []).map((choice) => choiceIds(tokenizer, choice)),
    ...(item.focus && { focus: item.focus }),
    unknown: [...prompt.unknown, ...(corrupt?.unknown ?? [])],
  };
}

/**
 * Resolves every item of a set; items that cannot be used become problems beside those the set already has, in the order of the lines.
 */
export function resolvePromptSet(
  tokenizer: Tokenizer,
  set: PromptSet,
): { prompts: ResolvedPrompt[]; problems: PromptProblem[] } {
  const prompts: ResolvedPrompt[] = [];
  const problems: PromptProblem[] = [...set.problems];
  set.items.forEach((item, i) => {
    try {
      prompts.push(resolvePrompt(tokenizer, item));
    } catch (error) {
      if (!(error instanceof HeadscopeError)) throw error;
      problems.push({ line: set.lines[i], message: error.message });
    }
  });
  return { prompts, problems: problems.sort((a, b) => a.line - b.line) };
}

function encodeNonEmpty(
  tokenizer: Tokenizer,
  text: string,
  what: string,
): { ids: readonly number[]; unknown: readonly string[] } {
  const encoded = encodePrompt(tokenizer, text);
  if (encoded.empty) {
    throw new HeadscopeError(
      'empty-prompt',
      `The ${what} ${JSON.stringify(text)} has no token. Write some text.`,
    );
  }
  return encoded;
}

function tokenIds(
  tokenizer: Tokenizer,
  texts: string | readonly string[] | undefined,
  ids: readonly number[] | undefined,
): number[] {
  const outside = ids?.find((id) => id >= tokenizer.vocabSize);
  if (outside !== undefined) {
    throw new HeadscopeError(
      'bad-token-ids',
      `The token id ${outside} is outside the vocabulary: ids go from 0 to ${tokenizer.vocabSize - 1}.`,
    );
  }
  return [...new Set(ids ?? asList(texts).map((text) => requireSingleToken(tokenizer, text)))];
}

function choiceIds(tokenizer: Tokenizer, choice: string): number[] {
  const single = singleToken(tokenizer, choice);
  const ids = single === undefined ? tokenizer.encode(choice, { addSpecialTokens: false }) : [single];
  if (ids.length > 0) return ids;
  throw new HeadscopeError(
    'empty-prompt',
    `The choice ${JSON.stringify(choice)} has no token. Write some text.`,
  );
}
