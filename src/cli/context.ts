import { readFile, stat } from 'node:fs/promises';
import { HeadscopeError } from '../errors.ts';
import type { GivenInputs } from '../instrument/given.ts';
import { readNpy } from '../report/read-npy.ts';
import type { Tensor } from '../runtime/device.ts';
import { chatTokenizer, readChat, renderChat } from '../text/chat.ts';
import { resolvePrompt, type ResolvedPrompt } from '../text/resolve.ts';
import type { Tokenizer } from '../text/tokenizer/tokenizer.ts';
import { idsWithoutText } from '../workbench/predict.ts';
import { readPromptFile } from '../workbench/prompt-file.ts';
import { chooseDevice, openWorkbench, type Workbench, type WorkbenchOnDisk } from '../workbench/workbench.ts';
import { createOutput, printable, type Output } from './output.ts';

/** Options that every command understands. */
export interface CommonOptions {
  readonly device: string;
  readonly threads?: number;
  readonly seed: number;
  readonly json?: boolean;
  readonly quiet?: boolean;
  /** `name=file.npy`, one for each input nobody can guess. */
  readonly input?: readonly string[];
  /** The text that an encoder reads. */
  readonly source?: string;
}

/** Arrays larger than this are not read. */
const MAX_ARRAY_BYTES = 1024 * 1024 * 1024;

/**
 * Reads the arrays of --input.
 * @throws HeadscopeError `bad-option`, `missing-file`, `bad-array`
 */
export async function readInputFiles(options: CommonOptions): Promise<GivenInputs> {
  const inputs: Record<string, Tensor> = {};
  for (const text of options.input ?? []) {
    const at = text.indexOf('=');
    if (at < 1)
      throw new HeadscopeError('bad-option', `--input wants name=file.npy, not ${JSON.stringify(text)}.`);
    const file = text.slice(at + 1);
    try {
      const { size } = await stat(file);
      if (size > MAX_ARRAY_BYTES)
        throw new HeadscopeError('bad-array', `${file} is larger than 1 GB, which no input is.`);
      inputs[text.slice(0, at)] = readNpy(await readFile(file), file);
    } catch (cause) {
      if (cause instanceof HeadscopeError) throw cause;
      const { code } = cause as NodeJS.ErrnoException;
      throw new HeadscopeError(
        'missing-file',
        `The array ${file} cannot be read (${code}). Check the path.`,
        2,
        {
          cause,
        },
      );
    }
  }
  return inputs;
}

/** Opens a checkpoint on the chosen device, runs the command, and closes everything whatever happens. */
export async function withWorkbench(
  target: string,
  options: CommonOptions,
  command: (workbench: WorkbenchOnDisk, output: Output) => Promise<void>,
): Promise<void> {
  const output = createOutput(options);
  const inputs = await readInputFiles(options);
  const device = await chooseDevice(options.device, options.threads);
  const workbench = await openWorkbench(target, device, { inputs, source: options.source });
  try {
    for (const note of workbench.notes) output.note(`note: ${printable(note)}`);
    const { measured } = workbench.opened;
    output.note(
      `${workbench.checkpoint.name} on ${workbench.opened.device.name}${measured ? `; instrumented − unedited logits: max abs ${measured.maxAbs.toExponential(1)}` : ''}`,
    );
    await command(workbench, output);
  } finally {
    await workbench.close();
  }
}

/**
 * Reads a prompt set and turns it into token ids. Bad lines are named and left out.
 * @throws HeadscopeError `missing-file`, `no-prompts` when no line is usable
 */
export async function readPrompts(
  file: string,
  workbench: Workbench,
  output: Output,
  chat = false,
): Promise<ResolvedPrompt[]> {
  const { prompts, problems } = await readPromptFile(file, workbench, chat);
  for (const { line, message } of problems)
    process.stderr.write(`warning: ${file}:${line}: ${printable(message)} The line was left out.\n`);
  const unknown = new Set(prompts.flatMap((prompt) => prompt.unknown));
  if (unknown.size)
    output.note(
      `warning: not in the vocabulary: ${[...unknown].slice(0, 8).map(printable).join(' ')}${unknown.size > 8 ? ' …' : ''}`,
    );
  return prompts;
}

/** With --chat, the prompt written by the checkpoint's chat template, and a tokenizer that adds no special tokens to it. */
export function asChat(
  chat: boolean | undefined,
  tokenizer: Tokenizer,
  prompt: string,
): { tokenizer: Tokenizer; prompt: string } {
  if (!chat) return { tokenizer, prompt };
  return { tokenizer: chatTokenizer(tokenizer), prompt: renderChat(tokenizer, readChat(prompt)) };
}

/** The prompts of --prompt or --prompts; exactly one of them is needed, unless the model can do without. */
export async function promptsFrom(
  options: { prompt?: string; prompts?: string; chat?: boolean },
  workbench: Workbench,
  output: Output,
): Promise<ResolvedPrompt[]> {
  const ids = idsWithoutText(workbench);
  if (ids && (options.prompt ?? '') === '' && options.prompts === undefined) {
    const item = { prompt: '' };
    return [{ item, ids, aligned: false, answers: [], distractors: [], choices: [], unknown: [] }];
  }
  if ((options.prompt === undefined) === (options.prompts === undefined)) {
    throw new HeadscopeError('bad-option', 'Give either --prompt "text" or --prompts set.jsonl.');
  }
  if (options.prompts !== undefined) return readPrompts(options.prompts, workbench, output, options.chat);
  const { tokenizer, prompt } = asChat(options.chat, workbench.tokenizer, options.prompt as string);
  const resolved = resolvePrompt(tokenizer, { prompt });
  if (resolved.unknown.length)
    output.note(`warning: not in the vocabulary: ${resolved.unknown.map(printable).join(' ')}`);
  return [resolved];
}
