import type { Random } from '../../random.ts';
import { singleToken } from '../prompt.ts';
import type { PromptItem } from '../prompt-set.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { TaskWordsError } from './template.ts';

/** Tokens in the repeated segment, where the vocabulary is large enough. */
const SEGMENT = 12;
const SHORTEST_SEGMENT = 4;

/**
 * Induction (Olsson et al. 2022): a random segment of single tokens, repeated up to its last token, which is the answer; the distractor is another token of
 * the segment. In the corrupt prompt other random tokens stand in place of the repetition.
 * @yields prompt pairs without end
 * @throws TaskWordsError
 */
export function* induction(tokenizer: Tokenizer, random: Random): Generator<PromptItem | undefined> {
  const candidates = wordTokens(tokenizer);
  const segment = Math.min(SEGMENT, Math.floor((candidates.length + 1) / 2));
  if (segment < SHORTEST_SEGMENT) {
    throw new TaskWordsError('induction', `only ${candidates.length} tokens are whole words`, []);
  }
  for (;;) {
    const tokens = sampleDistinct(candidates, 2 * segment - 1, random);
    const first = tokens.slice(0, segment);
    const answer = first[segment - 1];
    const distractor = first[random.int(segment - 1)];
    const prompt = write(tokenizer, [...first, ...first.slice(0, -1)]);
    const corrupt = write(tokenizer, tokens);
    yield prompt === undefined || corrupt === undefined
      ? undefined
      : { prompt, corrupt, ...named(tokenizer, answer, distractor), metric: 'logit-difference' };
  }
}

/** Answer and distractor as texts where those lead back to the same tokens, otherwise as ids. */
function named(tokenizer: Tokenizer, answer: number, distractor: number): Partial<PromptItem> {
  const texts = [answer, distractor].map((id) => tokenizer.token(id));
  return singleToken(tokenizer, texts[0]) === answer && singleToken(tokenizer, texts[1]) === distractor
    ? { answer: texts[0], distractor: texts[1] }
    : { answerIds: [answer], distractorIds: [distractor] };
}

/** Tokens that are whole words, so that their texts in a row are split into the same tokens again; all ids where there are no texts. */
function wordTokens(tokenizer: Tokenizer): number[] {
  const ids = Array.from({ length: tokenizer.vocabSize }, (_, id) => id);
  if (tokenizer.kind === 'token-ids') return ids;
  const words = ids.filter(
    (id) => !tokenizer.isSpecial(id) && /^ ?[\p{L}\p{N}]+$/u.test(tokenizer.token(id)),
  );
  const afterSpace = words.filter((id) => tokenizer.token(id).startsWith(' '));
  return afterSpace.length >= 2 * SEGMENT - 1 ? afterSpace : words;
}

/** Different ids in random order, without shuffling the whole vocabulary. */
function sampleDistinct(ids: readonly number[], count: number, random: Random): number[] {
  if (ids.length < 4 * count) return random.sample(ids, count);
  const chosen = new Set<number>();
  while (chosen.size < count) chosen.add(random.pick(ids));
  return [...chosen];
}

/** The text of `ids` if encoding it gives them back. */
function write(tokenizer: Tokenizer, ids: readonly number[]): string | undefined {
  const text = tokenizer.decode(ids);
  const again = tokenizer.encode(text, { addSpecialTokens: false });
  return again.length === ids.length && again.every((id, i) => id === ids[i]) ? text : undefined;
}
