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
  const { words } = choosePlan(tokenizer, 'greater-than', [[SPLIT_YEARS]], {
    event: { words: EVENTS, needed: 1 },
  });
  const form = [
    { template: PROSE, space: '' },
    { template: SPLIT_YEARS, space: ' ' },
  ]
    .map((candidate) => ({ ...candidate, centuries: usableCenturies(tokenizer, candidate.space) }))
    .find(({ centuries }) => centuries.length > 0);
  if (form === undefined) {
    const missing = YEARS.filter((year) => singleToken(tokenizer, year) === undefined);
    const reason =
      missing.length > 0
        ? 'two-digit numbers are not single tokens'
        : 'years do not split into century and two digits';
    throw new TaskWordsError('greater-than', reason, missing);
  }
  const { template, space, centuries } = form;
  const written = YEARS.map((year) => space + year);
  for (;;) {
    const century = random.pick(centuries);
    const year = FIRST_YEAR + random.int(LAST_YEAR - FIRST_YEAR + 1);
    const fields = { event: random.pick(words.event), century, year: YEARS[year] };
    const prompt = fill(template, fields);
    const corrupt = fill(template, { ...fields, year: '01' });
    const usable = splits(tokenizer, century, written[year]) && sameLength(tokenizer, prompt, corrupt);
    const answer = written.slice(year + 1);
    const distractor = written.slice(0, year + 1);
    yield usable ? { prompt, corrupt, answer, distractor, metric: 'probability-difference' } : undefined;
  }
}

/** Centuries whose years are written as century and two digits, at least the year 01 and one more; none when not all two-digit numbers are single tokens. */
function usableCenturies(tokenizer: Tokenizer, space: string): string[] {
  if (YEARS.some((year) => singleToken(tokenizer, space + year) === undefined)) return [];
  return CENTURIES.filter(
    (century) =>
      splits(tokenizer, century, `${space}01`) &&
      YEARS.slice(FIRST_YEAR, LAST_YEAR + 1).some((year) => splits(tokenizer, century, space + year)),
  );
}

function splits(tokenizer: Tokenizer, century: string, year: string): boolean {
  const text = `the year ${century}`;
  return tokenizer.unknownPieces(text).length === 0 && continues(tokenizer, text, year);
}
