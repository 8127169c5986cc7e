import type { LabelledPrompt } from '../analysis/calibration/score.ts';
import { HeadscopeError } from '../errors.ts';
import type { ResolvedPrompt } from '../text/resolve.ts';

/**
 * Prompts with answers, as the head search scores them. Multiple choice is scored by the first differing token, so every choice must be one
 * token; the answer is then one of them.
 * @throws HeadscopeError `bad-example` naming the prompt
 */
export function labelledPrompts(prompts: readonly ResolvedPrompt[]): LabelledPrompt[] {
  return prompts.map(({ ids, answers, choices }, i) => {
    if (answers.length === 0)
      throw new HeadscopeError(
        'bad-example',
        `Prompt ${i + 1} of the set has no answer; a head search needs one in every line.`,
      );
    const long = choices.find((choice) => choice.length !== 1);
    if (long)
      throw new HeadscopeError(
        'bad-example',
        `A choice of prompt ${i + 1} is ${long.length} tokens; a head search needs choices of one token.`,
      );
    return choices.length ? { ids, answers, choices: choices.map((choice) => choice[0]) } : { ids, answers };
  });
}
