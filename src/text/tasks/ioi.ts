import type { Random } from '../../random.ts';
import type { PromptItem } from '../prompt-set.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { choosePlan, continues, fill, sameLength } from './template.ts';
import type { Template } from './template.ts';
import { GIVE, GO, NAMES, OBJECTS, PLACES } from './words.ts';

/** {A} and {B} are introduced, {S} is the one named again; the other one is the answer. */
const TEMPLATES: readonly Template[] = [
  [
    'Then, {A} and {B} {go} to the {place}. {S} {give} a {object} to',
    'Then, {A} and {B} {go} to the {place}. {S} {give} the {object} to',
  ],
  [
    'When {A} and {B} {go} to the {place}, {S} {give} a {object} to',
    'When {A} and {B} {go} to the {place}, {S} {give} the {object} to',
  ],
  ['After {A} and {B} {go} to the {place}, {S} {give} a {object} to'],
  ['While {A} and {B} were working at the {place}, {S} {give} a {object} to'],
  ['Friends {A} and {B} found a {object} at the {place}. {S} {give} it to'],
];

/**
 * Indirect object identification (Wang et al. 2023): two names, one of them repeated, the other one is the answer; ABBA and BABA orders in turn.
 * The corrupt prompt is the same sentence with three other names (ABC), so that nothing tells the answer.
 * @yields prompt pairs without end
 * @throws TaskWordsError
 */
export function* ioi(tokenizer: Tokenizer, random: Random): Generator<PromptItem | undefined> {
  const { variants, words } = choosePlan(tokenizer, 'ioi', TEMPLATES, {
    name: { words: NAMES, needed: 5 },
    place: { words: PLACES, needed: 1 },
    object: { words: OBJECTS, needed: 1 },
    go: { words: GO, needed: 1 },
    give: { words: GIVE, needed: 1 },
  });
  for (let i = 0; ; i++) {
    const variant = variants[i % variants.length];
    const subjectFirst = Math.floor(i / variants.length) % 2 === 1;
    const [first, second, ...others] = random.sample(words.name, 5);
    const subject = subjectFirst ? first : second;
    const indirect = subjectFirst ? second : first;
    const fields = {
      A: first,
      B: second,
      S: subject,
      place: random.pick(words.place),
      object: random.pick(words.object),
      go: random.pick(words.go),
      give: random.pick(words.give),
    };
    const prompt = fill(variant, fields);
    const corrupt = fill(variant, { ...fields, A: others[0], B: others[1], S: others[2] });
    const answer = ` ${indirect}`;
    const usable = sameLength(tokenizer, prompt, corrupt) && continues(tokenizer, prompt, answer);
    yield usable
      ? { prompt, corrupt, answer, distractor: ` ${subject}`, metric: 'logit-difference' }
      : undefined;
  }
}
