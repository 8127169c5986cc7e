import type { Random } from '../../random.ts';
import { singleToken } from '../prompt.ts';
import type { PromptItem } from '../prompt-set.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { choosePlan, continues, fill, sameLength, TaskWordsError } from './template.ts';
import { EVENTS } from './words.ts';

const PROSE = 'The {event} lasted from the year {century}{year} to the year {century}';
/** For tokenizers that write a year as two separate words. */
const SPLIT_YEARS = 'The {event} lasted from the year {century} {year} to the year {century}';

const YEARS: readonly string[] = Array.from({ length: 100 }, (_, year) => String(year).padStart(2, '0'));
const CENTURIES: readonly string[] = ['11', '12', '13', '14', '15', '16', '17', '18'];
/** Years that leave at least ten right and ten wrong answers. */
const FIRST_YEAR = 10;
const LAST_YEAR = 89;

/**
 * Greater-than (Hanna et al. 2023): "The war lasted from the year 1732 to the year 17" continues with a two-digit number above 32. The answers are
 * all of those, the distractors all others. The corrupt prompt starts in the year 01, where nearly everything is right.
 * @yields prompt pairs without end
 * @throws TaskWordsError
 */
export function* greaterThan(tokenizer: Tokenizer, random: Random): Generator<PromptItem | undefined> {
  const { words } = choosePlan(tokenizer, 'greater-than', [['The {event} lasted from the year']], {
    event: { words: EVENTS, needed: 1 },
  });
  const form = [
    { template: PROSE, space: '' },
    { template: SPLIT_YEARS, space: ' ' },
  ]
    .map((candidate) => ({ ...candidate, ...usableYears(tokenizer, candidate.space) }))
    .find(({ tokens, centuries }) => tokens.length === YEARS.length && centuries.size > 0);
  if (form === undefined) {
    const missing = YEARS.filter((year) => singleToken(tokenizer, year) === undefined);
    const reason =
      missing.length > 0
        ? 'two-digit numbers are not single tokens'
        : 'years do not split into century and two digits';
    throw new TaskWordsError('greater-than', reason, missing);
  }
  const { template, space, centuries } = form;
  for (;;) {
    const century = random.pick([...centuries.keys()]);
    const year = random.pick(centuries.get(century) as readonly string[]);
    const fields = { event: random.pick(words.event), century, year };
    const prompt = fill(template, fields);
    const corrupt = fill(template, { ...fields, year: '01' });
    const usable = sameLength(tokenizer, prompt, corrupt);
    const written = YEARS.map((two) => space + two);
    yield usable
      ? {
          prompt,
          corrupt,
          answer: written.slice(Number(year) + 1),
          distractor: written.slice(0, Number(year) + 1),
          metric: 'probability-difference',
        }
      : undefined;
  }
}

/** Two-digit numbers that are one token, and for each century the years that are written as century and two digits. */
function usableYears(
  tokenizer: Tokenizer,
  space: string,
): { tokens: string[]; centuries: Map<string, readonly string[]> } {
  const tokens = YEARS.filter((year) => singleToken(tokenizer, space + year) !== undefined);
  const centuries = new Map<string, readonly string[]>();
  if (tokens.length < YEARS.length) return { tokens, centuries };
  for (const century of CENTURIES) {
    const text = `the year ${century}`;
    if (tokenizer.unknownPieces(text).length > 0) continue;
    const splits = (year: string): boolean => continues(tokenizer, text, space + year);
    const years = YEARS.slice(FIRST_YEAR, LAST_YEAR + 1).filter(splits);
    if (splits('01') && years.length > 0) centuries.set(century, years);
  }
  return { tokens, centuries };
}
