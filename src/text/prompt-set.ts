/** One prompt with what is asked about it. See `parsePromptSet` for the fields. */
export interface PromptItem {
  readonly prompt: string;
  readonly answer?: string | readonly string[];
  readonly answerIds?: readonly number[];
  readonly distractor?: string | readonly string[];
  readonly distractorIds?: readonly number[];
  readonly corrupt?: string;
  readonly choices?: readonly string[];
  readonly focus?: readonly [number, number];
  readonly label?: 'positive' | 'negative';
  readonly metric?: 'logit-difference' | 'probability-difference';
}

/** A line that could not be used, counted from 1. */
export interface PromptProblem {
  readonly line: number;
  readonly message: string;
}

export interface PromptSet {
  readonly items: readonly PromptItem[];
  /** The line of each item, counted from 1. */
  readonly lines: readonly number[];
  /** Every line that is not among the items and not blank. */
  readonly problems: readonly PromptProblem[];
}

/**
 * Reads a prompt set: JSON Lines, one object a line, blank lines allowed.
 *
 * With `chat`, `prompt` and `corrupt` may be lists of messages, `[{"role": "user", "content": "..."}]`; an item keeps them as JSON.
 *
 * | field | meaning |
 * |---|---|
 * | `prompt` | the text the model gets (required); token ids such as `"0 5 17"` for a checkpoint without tokenizer |
 * | `answer` | the right next token, `" Mary"`, or a list of right ones, `["33", "34"]` |
 * | `distractor` | the wrong token, or a list of wrong ones, to compare with; needs an answer |
 * | `answerIds`, `distractorIds` | the same as lists of token ids, instead of texts |
 * | `corrupt` | the paired negative prompt, on which the task cannot be done |
 * | `choices` | the texts of a multiple choice; the answer is among them |
 * | `focus` | `[start, end]`, a span of tokens from `start` up to but without `end`, special tokens counted |
 * | `label` | `"positive"` or `"negative"`, for sets that are not pairs |
 * | `metric` | `"logit-difference"` (mean logit of the answers − mean of the distractors) or `"probability-difference"` (sum of probabilities − sum) |
 *
 * An unknown field makes a line bad, because a misspelt one would otherwise change the question silently.
 * @returns the good lines in order, and every bad one with what is wrong with it
 */
export function parsePromptSet(text: string, { chat = false }: { readonly chat?: boolean } = {}): PromptSet {
  const items: PromptItem[] = [];
  const lines: number[] = [];
  const problems: PromptProblem[] = [];
  text
    .replace(/^\uFEFF/, '')
    .split(/\r\n|\n|\r/)
    .forEach((source, index) => {
      if (source.trim() === '') return;
      const line = index + 1;
      try {
        items.push(readItem(source, chat));
        lines.push(line);
      } catch (error) {
        if (!(error instanceof BadLine)) throw error;
        problems.push({ line, message: error.message });
      }
    });
  return { items, lines, problems };
}

/** The items as JSON Lines that `parsePromptSet` reads back. */
export function writePromptSet(items: readonly PromptItem[]): string {
  return items.map((item) => JSON.stringify(item) + '\n').join('');
}

class BadLine extends Error {}

function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new BadLine(message);
}

const LABELS = ['positive', 'negative'] as const;
const METRICS = ['logit-difference', 'probability-difference'] as const;

/** How each field is read; `undefined` never reaches a reader. */
const READERS: { readonly [K in keyof Required<PromptItem>]: (value: unknown) => Required<PromptItem>[K] } = {
  prompt: (value) => text(value, 'prompt'),
  answer: (value) => textOrTexts(value, 'answer'),
  answerIds: (value) => ids(value, 'answerIds'),
  distractor: (value) => textOrTexts(value, 'distractor'),
  distractorIds: (value) => ids(value, 'distractorIds'),
  corrupt: (value) => text(value, 'corrupt'),
  choices: (value) => {
    const choices = texts(value, 'choices');
    check(choices.length >= 2, '"choices" must have at least two entries');
    check(new Set(choices).size === choices.length, '"choices" has the same entry twice');
    return choices;
  },
  focus: (value) => {
    const [start, end, ...more] = Array.isArray(value) ? (value as unknown[]) : [];
    check(
      isId(start) && isId(end) && more.length === 0 && start < end,
      '"focus" must be [start, end] with 0 ≤ start < end',
    );
    return [start, end];
  },
  label: (value) => oneOf(value, LABELS, 'label'),
  metric: (value) => oneOf(value, METRICS, 'metric'),
};

function readItem(source: string, chat: boolean): PromptItem {
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch (error) {
    throw new BadLine(`not JSON (${(error as Error).message}); each line must be one complete object`);
  }
  check(
    typeof value === 'object' && value !== null && !Array.isArray(value),
    'not a JSON object such as {"prompt": "..."}',
  );
  const fields = { ...value } as Record<string, unknown>;
  for (const key of ['prompt', 'corrupt']) {
    if (!Array.isArray(fields[key])) continue;
    check(
      chat,
      `"${key}" is a list of messages; only --chat writes them, with the checkpoint's chat template`,
    );
    fields[key] = JSON.stringify(fields[key]);
  }
  const unknown = Object.keys(fields).find((key) => !Object.hasOwn(READERS, key));
  check(
    unknown === undefined,
    `unknown field "${unknown}"; the fields are ${Object.keys(READERS).join(', ')}`,
  );
  check(fields.prompt !== undefined, 'no "prompt"');
  const item = Object.fromEntries(
    Object.entries(fields).map(([key, field]) => [key, READERS[key as keyof PromptItem](field)]),
  ) as unknown as PromptItem;

  check(item.answer === undefined || item.answerIds === undefined, 'has both "answer" and "answerIds"');
  check(
    item.distractor === undefined || item.distractorIds === undefined,
    'has both "distractor" and "distractorIds"',
  );
  const hasAnswer = item.answer !== undefined || item.answerIds !== undefined;
  const hasDistractor = item.distractor !== undefined || item.distractorIds !== undefined;
  check(hasAnswer || !hasDistractor, 'has a "distractor" but no "answer"');
  const outside = item.choices && asList(item.answer).find((answer) => !item.choices?.includes(answer));
  check(outside === undefined, `the answer ${JSON.stringify(outside)} is not among the "choices"`);
  return item;
}

/** One text or several as a list; nothing as an empty one. */
export function asList(value: string | readonly string[] | undefined): readonly string[] {
  if (value === undefined) return [];
  return typeof value === 'string' ? [value] : value;
}

function text(value: unknown, key: string): string {
  check(typeof value === 'string' && value !== '', `"${key}" must be a text that is not empty`);
  return value;
}

function texts(value: unknown, key: string): string[] {
  check(Array.isArray(value) && value.length > 0, `"${key}" must be a list that is not empty`);
  return (value as unknown[]).map((entry) => text(entry, key));
}

function textOrTexts(value: unknown, key: string): string | string[] {
  return Array.isArray(value) ? texts(value, key) : text(value, key);
}

const isId = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

function ids(value: unknown, key: string): number[] {
  check(
    Array.isArray(value) && value.length > 0 && value.every(isId),
    `"${key}" must be a list of token ids`,
  );
  return value;
}

function oneOf<T extends string>(value: unknown, allowed: readonly T[], key: string): T {
  const found = allowed.find((name) => name === value);
  check(found !== undefined, `"${key}" must be ${allowed.map((name) => `"${name}"`).join(' or ')}`);
  return found;
}
