import { HeadscopeError } from '../errors.ts';
import type { PromptItem } from './prompt-set.ts';

/** Prompts typed by a person, one a line. */
export interface TypedExamples {
  readonly positives: string;
  readonly negatives: string;
  /** The i-th negative is the i-th positive, corrupted. */
  readonly paired: boolean;
}

/** The lines that hold something; spaces at the beginning or end of a line are part of its prompt. */
export const promptLines = (text: string): string[] =>
  text.split(/\r\n|\n|\r/).filter((line) => line.trim() !== '');

/**
 * Typed examples as the items of a prompt set.
 * @throws HeadscopeError `bad-examples` when there are fewer than two on a side, or pairs do not come out even
 */
export function exampleItems({ positives, negatives, paired }: TypedExamples): PromptItem[] {
  const [yes, no] = [promptLines(positives), promptLines(negatives)];
  if (yes.length < 2 || no.length < 2)
    throw new HeadscopeError(
      'bad-examples',
      `There are ${yes.length} positive and ${no.length} negative examples; write at least two of each, one a line.`,
    );
  if (paired && yes.length !== no.length)
    throw new HeadscopeError(
      'bad-examples',
      `Examples in pairs need as many positives as negatives, but there are ${yes.length} and ${no.length}. Add lines, or use them without pairs.`,
    );
  if (paired) return yes.map((prompt, i) => ({ prompt, corrupt: no[i] }));
  return [
    ...yes.map((prompt): PromptItem => ({ prompt, label: 'positive' })),
    ...no.map((prompt): PromptItem => ({ prompt, label: 'negative' })),
  ];
}
