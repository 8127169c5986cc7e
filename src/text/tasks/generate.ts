import { HeadscopeError } from '../../errors.ts';
import { seededRandom } from '../../random.ts';
import type { Random } from '../../random.ts';
import type { PromptItem } from '../prompt-set.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { docstring } from './docstring.ts';
import { greaterThan } from './greater-than.ts';
import { induction } from './induction.ts';
import { ioi } from './ioi.ts';
import { TaskWordsError } from './template.ts';
import type { TaskKind } from './template.ts';

const GENERATORS: Readonly<
  Record<TaskKind, (tokenizer: Tokenizer, random: Random) => Generator<PromptItem | undefined>>
> = {
  ioi,
  'greater-than': greaterThan,
  docstring,
  induction,
};

/** The tasks that can be generated. */
export const taskKinds: readonly TaskKind[] = Object.keys(GENERATORS) as TaskKind[];

/** Draws in a row that may fail (a tokenisation that does not fit, a prompt that was drawn before) until prompts may repeat. */
const PATIENCE = 200;

/**
 * Prompt pairs of a task, written in words that are single tokens of `tokenizer`: every answer is one token, and clean and corrupt prompt have the same
 * number of tokens. Prompts repeat only when the vocabulary has no more.
 * @param count from 1 to 100,000
 * @param seed the same seed gives the same prompts
 * @throws TaskWordsError (`task-words-missing`) when the vocabulary lacks words for it; HeadscopeError `bad-count`
 */
export function generateTask(
  kind: TaskKind,
  tokenizer: Tokenizer,
  count: number,
  seed: number,
): PromptItem[] {
  if (!Number.isInteger(count) || count < 1 || count > 100_000) {
    throw new HeadscopeError('bad-count', `${count} prompts cannot be generated; ask for 1 to 100000.`);
  }
  if (tokenizer.kind === 'token-ids' && kind !== 'induction') {
    throw new TaskWordsError(kind, 'the checkpoint has no tokenizer, so it has no words', []);
  }
  const items: PromptItem[] = [];
  const seen = new Set<string>();
  let mayRepeat = false;
  let failures = 0;
  for (const item of GENERATORS[kind](tokenizer, seededRandom(seed))) {
    if (item !== undefined && (mayRepeat || !seen.has(item.prompt))) {
      seen.add(item.prompt);
      items.push(item);
      failures = 0;
    } else if (++failures === PATIENCE) {
      if (items.length === 0) {
        throw new TaskWordsError(kind, 'its words are not single tokens inside the sentence', []);
      }
      mayRepeat = true;
    }
    if (items.length === count) break;
  }
  return items;
}
