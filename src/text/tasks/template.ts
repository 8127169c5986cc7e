import { HeadscopeError } from '../../errors.ts';
import { singleToken } from '../prompt.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';

export type TaskKind = 'ioi' | 'greater-than' | 'docstring' | 'induction';

/** A tokenizer whose vocabulary is too small for a task; `missing` lists the words that it lacks as single tokens. */
export class TaskWordsError extends HeadscopeError {
  readonly missing: readonly string[];

  constructor(kind: TaskKind, reason: string, missing: readonly string[]) {
    const shown = missing.slice(0, 12).map((word) => `"${word}"`);
    const words =
      missing.length === 0 ? '' : ` Missing: ${shown.join(', ')}${missing.length > 12 ? ', …' : ''}.`;
    super(
      'task-words-missing',
      `The ${kind} task cannot be written for this tokenizer: ${reason}.${words} Use your own prompt set.`,
    );
    this.name = 'TaskWordsError';
    this.missing = missing;
  }
}

/** Prompts with `{slot}`s, variants of one sentence: the same slots at the same positions. */
export type Template = readonly string[];
/** The words a slot may hold, and how many different ones a prompt pair needs. */
export type Slot = { readonly words: readonly string[]; readonly needed: number };
export type Slots = Readonly<Record<string, Slot>>;
export type Words = Readonly<Record<string, readonly string[]>>;

/** A template this tokenizer can write, and for each slot the words that are one token in it. */
export interface Plan {
  readonly variants: readonly string[];
  readonly words: Words;
}

/**
 * The first template whose fixed words the tokenizer knows and whose slots have enough one-token words. Each template is tried as prose
 * and, for tokenizers that split at white space only, with spaces around punctuation.
 * @throws TaskWordsError
 */
export function choosePlan(
  tokenizer: Tokenizer,
  kind: TaskKind,
  templates: readonly Template[],
  slots: Slots,
): Plan {
  const words = Object.fromEntries(
    Object.entries(slots).map(([slot, { words }]) => [slot, oneTokenWords(tokenizer, words)]),
  );
  const short = Object.keys(slots).filter((slot) => words[slot].length < slots[slot].needed);
  if (short.length > 0) {
    const counts = short
      .map((slot) => `${words[slot].length} of ${slots[slot].needed} for {${slot}}`)
      .join(', ');
    const missing = short.flatMap((slot) => slots[slot].words.filter((word) => !words[slot].includes(word)));
    throw new TaskWordsError(kind, `too few words are single tokens (${counts})`, missing);
  }
  const knownWord = Object.values(words)[0][0];
  let missing: string[] | undefined;
  for (const template of templates) {
    for (const variants of [template, template.map(spaced)]) {
      const unknown = variants.flatMap((variant) =>
        tokenizer.unknownPieces(variant.replace(SLOT, knownWord)),
      );
      if (unknown.length === 0) return { variants, words };
      if (missing === undefined || unknown.length < missing.length) missing = unknown;
    }
  }
  throw new TaskWordsError(kind, 'no template has only words of the vocabulary', [...new Set(missing)]);
}

/** The words that are one token after a space, each token once. */
export function oneTokenWords(tokenizer: Tokenizer, words: readonly string[]): string[] {
  const seen = new Set<number>();
  return words.filter((word) => {
    const id = singleToken(tokenizer, ` ${word}`);
    if (id === undefined || seen.has(id)) return false;
    seen.add(id);
    return true;
  });
}

const SLOT = /\{(\w+)\}/g;

/** Puts fields into a template. */
export function fill(template: string, fields: Readonly<Record<string, string>>): string {
  return template.replace(SLOT, (slot, name: string) => fields[name] ?? slot);
}

/** The same words with every punctuation mark standing alone. */
function spaced(template: string): string {
  return template
    .replace(/[.,:()]/g, ' $& ')
    .replace(/\s+/g, ' ')
    .trim();
}

/** Whether the tokens of `prompt` + `answer` are those of `prompt` and then the answer's one token. */
export function continues(tokenizer: Tokenizer, prompt: string, answer: string): boolean {
  const id = singleToken(tokenizer, answer);
  const before = tokenizer.encode(prompt, { addSpecialTokens: false });
  const after = tokenizer.encode(prompt + answer, { addSpecialTokens: false });
  return (
    after.length === before.length + 1 &&
    after.at(-1) === id &&
    before.every((token, i) => token === after[i])
  );
}

/** Whether two prompts have the same number of tokens. */
export function sameLength(tokenizer: Tokenizer, a: string, b: string): boolean {
  return tokenizer.encode(a).length === tokenizer.encode(b).length;
}
