import { readFile, stat } from 'node:fs/promises';
import { HeadscopeError } from '../errors.ts';
import { chatTokenizer, renderChatSet } from '../text/chat.ts';
import { parsePromptSet, type PromptProblem } from '../text/prompt-set.ts';
import { resolvePromptSet, type ResolvedPrompt } from '../text/resolve.ts';
import type { Workbench } from './workbench.ts';

/** Largest prompt set read; a set is text for people. */
const MAX_SET_BYTES = 64 * 1024 * 1024;

/**
 * Reads a prompt set from disk and turns it into token ids.
 * @param chat its prompts are written with the checkpoint's chat template
 * @returns the prompts, and the lines that cannot be used
 * @throws HeadscopeError `missing-file`, `bad-prompts`, `no-prompts` when no line is usable
 */
export async function readPromptFile(
  file: string,
  { tokenizer }: Pick<Workbench, 'tokenizer'>,
  chat = false,
): Promise<{ prompts: ResolvedPrompt[]; problems: readonly PromptProblem[] }> {
  let text: string;
  try {
    if ((await stat(file)).size > MAX_SET_BYTES)
      throw new HeadscopeError('bad-prompts', `${file} is larger than 64 MB, which is no prompt set.`);
    text = await readFile(file, 'utf8');
  } catch (cause) {
    if (cause instanceof HeadscopeError) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    throw new HeadscopeError(
      'missing-file',
      `The prompt set ${file} cannot be read (${code}). Check the path.`,
      2,
      { cause },
    );
  }
  const read = parsePromptSet(text, { chat });
  const { prompts, problems } = chat
    ? resolvePromptSet(chatTokenizer(tokenizer), renderChatSet(tokenizer, read))
    : resolvePromptSet(tokenizer, read);
  if (prompts.length === 0) {
    const [first] = problems;
    const why = first ? ` (line ${first.line}: ${first.message.replace(/\.$/, '')})` : '';
    throw new HeadscopeError(
      'no-prompts',
      `${file} has no usable line${why}. Each line is an object such as {"prompt": "..."}.`,
    );
  }
  return { prompts, problems };
}
