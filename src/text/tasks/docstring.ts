import type { Random } from '../../random.ts';
import { singleToken } from '../prompt.ts';
import type { PromptItem } from '../prompt-set.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { choosePlan, continues, fill, sameLength } from './template.ts';
import type { Template } from './template.ts';
import { ARGUMENTS, DESCRIPTIONS, FUNCTIONS } from './words.ts';

const TEMPLATES: readonly Template[] = [
  [
    'def {function}(self, {a}, {b}, {c}, {d}):\n    """{d0} {d1} {d2}\n\n    :param {p}: {d3} {d4}\n    :param {q}: {d5} {d6}\n    :param',
  ],
  ['def {function}(self, {a}, {b}, {c}, {d}): param {p} {d3} {d4} param {q} {d5} {d6} param'],
];

/**
 * Docstring completion (Heimersheim and Janiak 2023): a function with four arguments, two of them documented; the next one is the answer, the other
 * arguments are the distractors. The corrupt prompt has four other arguments in the definition, so that the documented ones say nothing.
 * @yields prompt pairs without end
 * @throws TaskWordsError
 */
export function* docstring(tokenizer: Tokenizer, random: Random): Generator<PromptItem | undefined> {
  const slots = {
    argument: { words: ARGUMENTS, needed: 8 },
    description: { words: DESCRIPTIONS, needed: 1 },
    function: { words: FUNCTIONS, needed: 1 },
  };
  const { variants, words } = choosePlan(tokenizer, 'docstring', TEMPLATES, slots);
  // {d0} follows the quotes without a space: words that are one token there too keep all prompts the same length.
  const openings = words.description.filter((word) => singleToken(tokenizer, word) !== undefined);
  for (;;) {
    const [a, b, c, d, ...others] = random.sample(words.argument, 8);
    const descriptions = [1, 2, 3, 4, 5, 6].map((i) => [`d${i}`, random.pick(words.description)] as const);
    const fields = {
      ...Object.fromEntries(descriptions),
      d0: random.pick(openings.length > 0 ? openings : words.description),
      function: random.pick(words.function),
      ...{ a, b, c, d, p: a, q: b },
    };
    const prompt = fill(variants[0], fields);
    const corrupt = fill(variants[0], { ...fields, a: others[0], b: others[1], c: others[2], d: others[3] });
    const answer = ` ${c}`;
    const distractor = [a, b, d, ...others].map((word) => ` ${word}`);
    const usable = sameLength(tokenizer, prompt, corrupt) && continues(tokenizer, prompt, answer);
    yield usable ? { prompt, corrupt, answer, distractor, metric: 'logit-difference' } : undefined;
  }
}
