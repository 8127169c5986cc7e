import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';
import { HeadscopeError } from '../errors.ts';
import type { PromptItem, PromptSet } from './prompt-set.ts';
import type { Tokenizer } from './tokenizer/tokenizer.ts';

/** One turn of a conversation. */
export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

/** Published templates have up to 20,000 characters. */
const MAX_TEMPLATE_LENGTH = 200_000;
/** No text that a template makes may be longer, no list have more entries. */
const MAX_TEXT_LENGTH = 1_000_000;
const MAX_LIST_LENGTH = 10_000;
/** Larger numbers only make long texts. */
const MAX_NUMBER = 100_000;
/** Expressions and statements that are evaluated before a template is given up; published ones need some hundred a message. */
const MAX_STEPS = 100_000;

function badTemplate(what: string, cause?: unknown): HeadscopeError {
  return new HeadscopeError(
    'bad-chat-template',
    `The checkpoint's chat template ${what}. Write the prompt as the model expects it, without --chat.`,
    2,
    { cause },
  );
}

/**
 * Writes a conversation as the model was taught to read it, special tokens included: encode the text with `addSpecialTokens: false`
 * (`chatTokenizer`). The template is Jinja, evaluated without access to anything but the messages and special tokens, in a bounded number of
 * steps. The date (`strftime_now`) is left undefined, so that the same messages always give the same prompt.
 * @param addGenerationPrompt whether the text ends where the assistant's turn begins
 * @throws HeadscopeError `no-chat-template`; `bad-chat-template` when it is malformed, refuses the messages or does not end
 */
export function renderChat(
  tokenizer: Tokenizer,
  messages: readonly ChatMessage[],
  { addGenerationPrompt = true }: { readonly addGenerationPrompt?: boolean } = {},
): string {
  const { source, specialTexts } = requireTemplate(tokenizer);
  if (source.length > MAX_TEMPLATE_LENGTH)
    throw badTemplate(`has more than ${MAX_TEMPLATE_LENGTH} characters`);
  // The library's trimming takes quadratic time on them.
  if (/\s{2000}/.test(source)) throw badTemplate('has 2,000 spaces in a row');
  const known = Object.entries(tokenizer.specials).map(([name, id]) => [
    `${name}_token`,
    tokenizer.decode([id]),
  ]);
  return render(source, {
    ...(Object.fromEntries(known) as Record<string, string>),
    ...specialTexts,
    messages: messages.map(({ role, content }) => ({ role, content })),
    add_generation_prompt: addGenerationPrompt,
  });
}

/** The same tokenizer for text that has its special tokens already, as `renderChat` writes it. */
export function chatTokenizer(tokenizer: Tokenizer): Tokenizer {
  return { ...tokenizer, encode: (text) => tokenizer.encode(text, { addSpecialTokens: false }) };
}

/**
 * Messages from a prompt: a JSON list of objects with `role` and `content`, or any other text as what the user says.
 * @throws HeadscopeError `bad-chat` when it is a JSON list of anything else
 */
export function readChat(prompt: string): ChatMessage[] {
  let value: unknown;
  try {
    value = JSON.parse(prompt);
  } catch {
    value = undefined;
  }
  if (!Array.isArray(value)) return [{ role: 'user', content: prompt }];
  return value.map((item: unknown, i) => {
    const { role, content } = (item ?? {}) as { role?: unknown; content?: unknown };
    if (typeof role === 'string' && typeof content === 'string') return { role, content };
    throw new HeadscopeError(
      'bad-chat',
      `Message ${i + 1} of the chat is not an object with the texts "role" and "content". Write [{"role": "user", "content": "..."}].`,
    );
  });
}

/**
 * A prompt set whose prompts and corrupt prompts are chats (see `readChat`), written by the chat template. Items that it cannot write become
 * problems of the set.
 * @throws HeadscopeError `no-chat-template`
 */
export function renderChatSet(tokenizer: Tokenizer, set: PromptSet): PromptSet {
  requireTemplate(tokenizer);
  const write = (text: string): string => renderChat(tokenizer, readChat(text));
  const items: PromptItem[] = [];
  const lines: number[] = [];
  const problems = [...set.problems];
  set.items.forEach((item, i) => {
    try {
      const corrupt = item.corrupt === undefined ? {} : { corrupt: write(item.corrupt) };
      items.push({ ...item, prompt: write(item.prompt), ...corrupt });
      lines.push(set.lines[i]);
    } catch (error) {
      if (!(error instanceof HeadscopeError)) throw error;
      problems.push({ line: set.lines[i], message: error.message });
    }
  });
  return { items, lines, problems };
}

function requireTemplate(tokenizer: Tokenizer): NonNullable<Tokenizer['chat']> {
  if (tokenizer.chat !== undefined) return tokenizer.chat;
  throw new HeadscopeError(
    'no-chat-template',
    'The checkpoint has no chat template (chat_template in tokenizer_config.json, or chat_template.jinja). Write the prompt without --chat.',
  );
}

function render(source: string, variables: Readonly<Record<string, unknown>>): string {
  let said: string | undefined;
  try {
    const environment = new Environment();
    const globals = {
      true: true,
      false: false,
      none: null,
      True: true,
      False: false,
      None: null,
      range,
      raise_exception: (message: unknown): never => {
        said = String(message).slice(0, 200);
        throw new Error(said);
      },
    };
    for (const [name, value] of Object.entries({ ...globals, ...variables })) environment.set(name, value);
    const program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
    return (new BoundedInterpreter(environment).run(program) as { value: string }).value;
  } catch (cause) {
    if (cause instanceof HeadscopeError) throw cause;
    if (said !== undefined) throw badTemplate(`refuses these messages: "${said}"`, cause);
    throw badTemplate(`cannot be evaluated (${String((cause as Error).message).slice(0, 200)})`, cause);
  }
}

class BoundedInterpreter extends Interpreter {
  private steps = 0;

  override evaluate(...given: Parameters<Interpreter['evaluate']>): ReturnType<Interpreter['evaluate']> {
    this.count(1);
    const result = super.evaluate(...given);
    const value: unknown = result.value;
    if (typeof value === 'number' && value > MAX_NUMBER) throw badTemplate(`uses the number ${value}`);
    if (typeof value === 'string') {
      if (value.length > MAX_TEXT_LENGTH)
        throw badTemplate(`makes a text of more than ${MAX_TEXT_LENGTH} characters`);
      this.count(value.length / 100);
    } else if (Array.isArray(value)) {
      if (value.length > MAX_LIST_LENGTH)
        throw badTemplate(`makes a list of more than ${MAX_LIST_LENGTH} entries`);
      // A loop makes a scope for every entry before its first turn.
      this.count(value.length);
    }
    return result;
  }

  private count(steps: number): void {
    this.steps += steps;
    if (this.steps > MAX_STEPS) throw badTemplate(`does not end within ${MAX_STEPS} steps`);
  }
}

function range(first: number, second?: number, step = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  const count = Math.ceil((stop - start) / step);
  if (!(count <= MAX_LIST_LENGTH)) throw badTemplate(`counts from ${start} to ${stop} in steps of ${step}`);
  return Array.from({ length: Math.max(0, count) }, (_, i) => start + i * step);
}
