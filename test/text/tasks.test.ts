import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { generateTask, taskKinds } from '../../src/text/tasks/generate.ts';
import { oneTokenWords, TaskWordsError } from '../../src/text/tasks/template.ts';
import type { TaskKind } from '../../src/text/tasks/template.ts';
import * as words from '../../src/text/tasks/words.ts';
import { asList, parsePromptSet, writePromptSet } from '../../src/text/prompt-set.ts';
import type { PromptItem } from '../../src/text/prompt-set.ts';
import { resolvePrompt } from '../../src/text/resolve.ts';
import { singleToken } from '../../src/text/prompt.ts';
import { tokenIdsTokenizer } from '../../src/text/token-ids.ts';
import type { Tokenizer } from '../../src/text/tokenizer/tokenizer.ts';
import {
  byteLevelTokenizer,
  checkpointTokenizer,
  codeOf,
  metaspaceTokenizer,
  wordPieceTokenizer,
  wordTokenizer,
} from './support.ts';

const TWO_DIGITS = Array.from({ length: 100 }, (_, i) => String(i).padStart(2, '0'));
const FIXED = 'Then , and to the . a The lasted from year def self param ( ) : """ \\n'.split(' ');
const VOCABULARY = [...new Set([...Object.values(words).flat(), ...FIXED])];

/** One tokenizer of each kind, all with the words of every task. */
const TOKENIZERS: Record<string, Tokenizer> = {
  // Only every other word is one token without its space too.
  'byte-level': byteLevelTokenizer([
    ...VOCABULARY.map((word) => ` ${word}`),
    ...VOCABULARY.filter((_, i) => i % 2 === 0),
    ...TWO_DIGITS,
    ...TWO_DIGITS.map((two) => ` ${two}`),
  ]),
  metaspace: metaspaceTokenizer([...VOCABULARY, ...TWO_DIGITS]),
  wordpiece: wordPieceTokenizer([...VOCABULARY, ...TWO_DIGITS].map((word) => word.toLowerCase())),
  'ioi-4l': checkpointTokenizer('ioi-4l'),
  'llama-tiny': checkpointTokenizer('llama-tiny'),
};

const every = Object.keys(TOKENIZERS).flatMap((name) =>
  taskKinds.map((kind): [TaskKind, string] => [kind, name]),
);

test('there are four tasks', () => {
  expect([...taskKinds].sort()).toEqual(['docstring', 'greater-than', 'induction', 'ioi']);
});

describe('every task keeps its promises', () => {
  test.each(every)('%s for %s', (kind, name) => {
    const tokenizer = TOKENIZERS[name];
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const items = generateTask(kind, tokenizer, 6, seed);
        expect(items).toHaveLength(6);
        expect(generateTask(kind, tokenizer, 6, seed)).toEqual(items);
        expect(new Set(items.map((item) => item.prompt)).size).toBe(6);
        const resolved = items.map((item) => resolvePrompt(tokenizer, item));
        expect(new Set(resolved.map(({ ids }) => ids.length)).size).toBe(1);
        for (const { ids, corruptIds, aligned, answers, distractors, unknown } of resolved) {
          expect(aligned).toBe(true);
          expect(unknown).toEqual([]);
          expect(corruptIds).not.toEqual(ids);
          expect(answers.length).toBeGreaterThan(0);
          expect(distractors.length).toBeGreaterThan(0);
          expect([...ids, ...(corruptIds ?? [])]).not.toContain(tokenizer.specials.unk);
        }
      }),
      { seed: 1, numRuns: 5 },
    );
  });

  test.each(every)('%s for %s: the answer continues the prompt as one token', (kind, name) => {
    const tokenizer = TOKENIZERS[name];
    const bare = (text: string): number[] => tokenizer.encode(text, { addSpecialTokens: false });
    for (const item of generateTask(kind, tokenizer, 4, 3)) {
      for (const answer of asList(item.answer)) {
        const space = kind === 'induction' && !answer.startsWith(' ') ? ' ' : '';
        expect(bare(item.prompt + space + answer)).toEqual([
          ...bare(item.prompt),
          singleToken(tokenizer, answer),
        ]);
      }
    }
  });

  test('sets can be written and read back', () => {
    const items = taskKinds.flatMap((kind) => generateTask(kind, TOKENIZERS['ioi-4l'], 5, 0));
    expect(parsePromptSet(writePromptSet(items))).toMatchObject({ items, problems: [] });
  });

  test('another seed gives other prompts', () => {
    for (const kind of taskKinds) {
      expect(generateTask(kind, TOKENIZERS['ioi-4l'], 5, 1)).not.toEqual(
        generateTask(kind, TOKENIZERS['ioi-4l'], 5, 2),
      );
    }
  });
});

const count = (text: string, word: string): number =>
  text.split(/[^\w]+/).filter((part) => part === word).length;
const of = (kind: TaskKind, name: string, n = 40): PromptItem[] => generateTask(kind, TOKENIZERS[name], n, 7);

describe('ioi', () => {
  test.each(['byte-level', 'ioi-4l'])(
    '%s: the repeated name is wrong, the other one right, ABC has neither',
    (name) => {
      const orders = new Set<string>();
      for (const { prompt, corrupt = '', answer, distractor } of of('ioi', name)) {
        const indirect = String(answer).trim();
        const subject = String(distractor).trim();
        expect(count(prompt, indirect)).toBe(1);
        expect(count(prompt, subject)).toBe(2);
        expect(count(corrupt, indirect) + count(corrupt, subject)).toBe(0);
        const names = corrupt.split(/[^\w]+/).filter((word) => words.NAMES.includes(word));
        expect(new Set(names).size).toBe(3);
        orders.add(prompt.indexOf(indirect) < prompt.indexOf(subject) ? 'ABBA' : 'BABA');
      }
      expect(orders).toEqual(new Set(['ABBA', 'BABA']));
    },
  );

  test('reads as a sentence, or in the checkpoint’s own spelling', () => {
    const sentence = /^Then, \w+ and \w+ \w+ to the \w+\. \w+ \w+ (a|the) \w+ to$/;
    const spaced = /^Then , \w+ and \w+ \w+ to the \w+ \. \w+ \w+ (a|the) \w+ to$/;
    for (const item of of('ioi', 'byte-level')) expect(item.prompt).toMatch(sentence);
    for (const item of of('ioi', 'ioi-4l')) expect(item.prompt).toMatch(spaced);
  });

  test('falls back to a template whose words are known', () => {
    const tokenizer = wordTokenizer(
      'While and were working at the , a to Mary John Tom Dan Ann store went gave ball'.split(' '),
    );
    for (const item of generateTask('ioi', tokenizer, 4, 1))
      expect(item.prompt).toMatch(/^While \w+ and \w+ were working at the store , /);
  });
});

test('prompts repeat only when there are no more', () => {
  // Five names, one of everything else: 5 · 4 pairs in two orders.
  const tokenizer = wordTokenizer(
    'While and were working at the , a to Mary John Tom Dan Ann store went gave ball'.split(' '),
  );
  const distinct = (n: number): number =>
    new Set(generateTask('ioi', tokenizer, n, 2).map((item) => item.prompt)).size;
  expect(distinct(25)).toBe(25);
  expect(distinct(120)).toBeLessThanOrEqual(40);
});

test('words that are the same token count once', () => {
  expect(oneTokenWords(wordPieceTokenizer(['mary', 'john']), ['Mary', 'mary', 'Tom', 'JOHN'])).toEqual([
    'Mary',
    'JOHN',
  ]);
});

test('a sample checkpoint meets its words only where it was trained on them', () => {
  const known = Object.entries(words).map(([list, all]) => [
    list,
    oneTokenWords(TOKENIZERS['ioi-4l'], all).length,
  ]);
  expect(Object.fromEntries(known)).toEqual({
    NAMES: 60,
    PLACES: 16,
    OBJECTS: 16,
    GO: 4,
    GIVE: 4,
    EVENTS: 20,
    FUNCTIONS: 8,
    ARGUMENTS: 30,
    DESCRIPTIONS: 16,
  });
});

describe('greater-than', () => {
  test.each([
    ['byte-level', /^The \w+ lasted from the year (\d\d)(\d\d) to the year (\d\d)$/],
    ['wordpiece', /^The \w+ lasted from the year (\d\d) (\d\d) to the year (\d\d)$/],
    ['ioi-4l', /^The \w+ lasted from the year (\d\d) (\d\d) to the year (\d\d)$/],
  ])('%s: all later years are right, the others wrong', (name, form) => {
    for (const { prompt, corrupt = '', answer, distractor, metric } of of('greater-than', name)) {
      const [, century, year, again] = form.exec(prompt) ?? [];
      expect(again).toBe(century);
      const corruptForm = form.exec(corrupt) ?? [];
      expect(corruptForm[2]).toBe('01');
      expect(corruptForm[1]).toBe(century);
      expect(asList(answer).map((text) => text.trim())).toEqual(TWO_DIGITS.filter((two) => two > year));
      expect(asList(distractor).map((text) => text.trim())).toEqual(TWO_DIGITS.filter((two) => two <= year));
      expect(metric).toBe('probability-difference');
    }
  });
});

describe('docstring', () => {
  test.each(['byte-level', 'ioi-4l'])(
    '%s: the third argument is right, all other arguments are wrong',
    (name) => {
      const head = /^def \w+ ?\( ?self ?, (\w+) ?, (\w+) ?, (\w+) ?, (\w+) ?\)/;
      for (const { prompt, corrupt = '', answer, distractor } of of('docstring', name)) {
        const [, a, b, c, d] = head.exec(prompt) ?? [];
        const others = (head.exec(corrupt) ?? []).slice(1);
        expect(String(answer).trim()).toBe(c);
        expect(asList(distractor).map((text) => text.trim())).toEqual([a, b, d, ...others]);
        expect(new Set([a, b, c, d, ...others]).size).toBe(8);
        const body = (text: string): string => text.slice(text.indexOf(')'));
        expect(body(corrupt)).toBe(body(prompt));
        expect(body(prompt)).toMatch(new RegExp(`param ${a}\\b[^]*param ${b}\\b[^]*param$`));
      }
    },
  );
});

describe('induction', () => {
  test.each(['byte-level', 'metaspace', 'wordpiece', 'ioi-4l'])(
    '%s: the second half repeats the first',
    (name) => {
      const tokenizer = TOKENIZERS[name];
      for (const item of of('induction', name)) {
        const { answers, distractors } = resolvePrompt(tokenizer, item);
        const ids = tokenizer.encode(item.prompt, { addSpecialTokens: false });
        const corrupt = tokenizer.encode(item.corrupt ?? '', { addSpecialTokens: false });
        expect(ids).toHaveLength(23);
        expect(ids.slice(12)).toEqual(ids.slice(0, 11));
        expect(new Set(ids).size).toBe(12);
        expect(answers).toEqual([ids[11]]);
        expect(ids.slice(0, 11)).toContain(distractors[0]);
        expect(corrupt.slice(0, 12)).toEqual(ids.slice(0, 12));
        expect(new Set(corrupt).size).toBe(23);
      }
    },
  );

  test('needs no tokenizer', () => {
    const tokenizer = tokenIdsTokenizer(30);
    const [item] = generateTask('induction', tokenizer, 1, 4);
    expect(item.prompt).toMatch(/^\d+( \d+){22}$/);
    expect(resolvePrompt(tokenizer, item).answers).toEqual([tokenizer.encode(item.prompt)[11]]);
  });

  test('takes a shorter segment for a small vocabulary, and repeats prompts only when it must', () => {
    const items = generateTask('induction', tokenIdsTokenizer(7), 20, 1);
    for (const item of items) expect(item.prompt.split(' ')).toHaveLength(7);
    expect(new Set(items.map((item) => item.prompt)).size).toBe(20);
    expect(codeOf(() => generateTask('induction', tokenIdsTokenizer(6), 1, 1))).toBe('task-words-missing');
  });
});

describe('tokenizers without the words', () => {
  test.each(['ioi', 'greater-than', 'docstring'] as const)('%s says which are missing', (kind) => {
    for (const tokenizer of [checkpointTokenizer('induction-2l'), byteLevelTokenizer([])]) {
      let error: unknown;
      try {
        generateTask(kind, tokenizer, 1, 1);
      } catch (caught) {
        error = caught;
      }
      expect(error).toBeInstanceOf(TaskWordsError);
      expect((error as TaskWordsError).missing.length).toBeGreaterThan(0);
      expect((error as TaskWordsError).message).toMatch(
        new RegExp(`The ${kind} task cannot be written .* Missing: "`),
      );
    }
  });

  test('names the fixed words that no template can do without', () => {
    const slots = [words.NAMES, words.PLACES, words.OBJECTS, words.GO, words.GIVE].flat();
    expect(() => generateTask('ioi', wordTokenizer([...slots, 'and', 'to', 'the', 'a', ',']), 1, 1)).toThrow(
      /Missing: "After"/,
    );
  });

  test('greater-than names the numbers', () => {
    const tokenizer = wordTokenizer([...VOCABULARY, ...TWO_DIGITS.filter((two) => two !== '42')]);
    expect(() => generateTask('greater-than', tokenizer, 1, 1)).toThrow(/two-digit numbers.*Missing: "42"/);
  });

  test('token ids have no words', () => {
    expect(() => generateTask('ioi', tokenIdsTokenizer(100), 1, 1)).toThrow(/has no tokenizer/);
  });

  test.each([0, -1, 1.5, 1e9])('%d prompts are refused', (n) => {
    expect(codeOf(() => generateTask('induction', tokenIdsTokenizer(100), n, 1))).toBe('bad-count');
  });
});
