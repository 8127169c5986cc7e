import { HeadscopeError } from '../../../errors.ts';
import { requireSingleToken, showTokens, type ShownToken } from '../../../text/prompt.ts';
import { parsePromptSet, type PromptItem, type PromptProblem } from '../../../text/prompt-set.ts';
import { resolvePromptSet } from '../../../text/resolve.ts';
import type { Engine } from '../engine.ts';

/** What a text is as an answer: one token, or why it is none. */
export type AnswerToken =
  { readonly text: string; readonly token: ShownToken } | { readonly text: string; readonly error: string };

/** The token of each answer; texts that are not one token get the reason instead. */
export function answerTokens(
  engine: Engine,
  { texts }: { readonly texts: readonly string[] },
): Promise<AnswerToken[]> {
  const { tokenizer } = engine.workbench();
  const one = (text: string): AnswerToken => {
    try {
      return { text, token: showTokens(tokenizer, [requireSingleToken(tokenizer, text)])[0] };
    } catch (error) {
      if (error instanceof HeadscopeError) return { text, error: error.message };
      throw error;
    }
  };
  return Promise.resolve().then(() => texts.map(one));
}

/** A usable line of a prompt set. */
export interface SetRow {
  /** Counted from 1. */
  readonly line: number;
  readonly item: PromptItem;
  /** Tokens of the prompt, special ones included. */
  readonly tokens: number;
  /** Tokens of the corrupt prompt; null without one. */
  readonly corruptTokens: number | null;
  /** The spellings of the answers and distractors in the vocabulary. */
  readonly answers: readonly string[];
  readonly distractors: readonly string[];
  /** Words that the vocabulary cannot write. */
  readonly unknown: readonly string[];
}

export interface ReadSet {
  readonly rows: readonly SetRow[];
  /** Lines that cannot be used with this checkpoint, in order. */
  readonly problems: readonly PromptProblem[];
}

/** Reads a prompt set, JSON Lines or items that were read before, in the vocabulary of the open checkpoint. */
export async function promptSet(
  engine: Engine,
  source: { readonly text: string } | { readonly items: readonly PromptItem[] },
): Promise<ReadSet> {
  const { tokenizer, runner, checkpoint } = engine.workbench();
  const set =
    'text' in source
      ? parsePromptSet(source.text)
      : { items: source.items, lines: source.items.map((_, i) => i + 1), problems: [] };
  const { prompts, problems } = resolvePromptSet(tokenizer, set);
  const lineOf = new Map(set.items.map((item, i) => [item, set.lines[i]]));
  const most = checkpoint.anatomy.context ?? Infinity;
  const rows: SetRow[] = [];
  const long: PromptProblem[] = [];
  const spelling = (ids: readonly number[]): string[] =>
    runner.shape.vocab > 0 ? ids.map((id) => tokenizer.token(id)) : [];
  for (const { item, ids, corruptIds, answers, distractors, unknown } of prompts) {
    const line = lineOf.get(item) ?? 0;
    const length = Math.max(ids.length, corruptIds?.length ?? 0);
    if (length > most)
      long.push({ line, message: `has ${length} tokens, more than the ${most} that the model can take` });
    else
      rows.push({
        line,
        item,
        tokens: ids.length,
        corruptTokens: corruptIds?.length ?? null,
        answers: spelling(answers),
        distractors: spelling(distractors),
        unknown,
      });
  }
  return Promise.resolve({ rows, problems: [...problems, ...long].sort((a, b) => a.line - b.line) });
}
