import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parsePromptSet, writePromptSet } from '../../src/text/prompt-set.ts';
import type { PromptItem } from '../../src/text/prompt-set.ts';
import { resolvePrompt, resolvePromptSet } from '../../src/text/resolve.ts';
import { tokenIdsTokenizer } from '../../src/text/token-ids.ts';
import { checkpointTokenizer, codeOf, wordPieceTokenizer } from './support.ts';

describe('parsePromptSet', () => {
  test('reads every field, with blank lines, a byte order mark and Windows line ends', () => {
    const lines = [
      '\uFEFF{"prompt":"a","answer":" Mary","distractor":" John","corrupt":"b","metric":"logit-difference"}',
      '',
      '{"prompt":"a","answer":["33","34"],"distractor":["01"],"label":"positive"}',
      '{"prompt":"0 5","answerIds":[3],"distractorIds":[4,5],"label":"negative","metric":"probability-difference"}',
      '   ',
      '{"prompt":"a","choices":[" yes"," no"],"answer":" no","focus":[3,20]}',
    ];
    const set = parsePromptSet(lines.join('\r\n'));
    expect(set.problems).toEqual([]);
    expect(set.lines).toEqual([1, 3, 4, 6]);
    expect(set.items).toEqual([
      { prompt: 'a', answer: ' Mary', distractor: ' John', corrupt: 'b', metric: 'logit-difference' },
      { prompt: 'a', answer: ['33', '34'], distractor: ['01'], label: 'positive' },
      {
        prompt: '0 5',
        answerIds: [3],
        distractorIds: [4, 5],
        label: 'negative',
        metric: 'probability-difference',
      },
      { prompt: 'a', choices: [' yes', ' no'], answer: ' no', focus: [3, 20] },
    ]);
  });

  const bad: [string, RegExp][] = [
    ['{"prompt": "a"', /not JSON/],
    ['[{"prompt": "a"}]', /not a JSON object/],
    ['"a"', /not a JSON object/],
    ['null', /not a JSON object/],
    ['{"answer": "a"}', /no "prompt"/],
    ['{"prompt": ""}', /"prompt" must be a text that is not empty/],
    ['{"prompt": 3}', /"prompt" must be a text/],
    ['{"prompt": "a", "anwser": "b"}', /unknown field "anwser"/],
    ['{"prompt": "a", "__proto__": "b"}', /unknown field "__proto__"/],
    ['{"prompt": "a", "answer": []}', /"answer" must be a list that is not empty/],
    ['{"prompt": "a", "answer": ["b", 1]}', /"answer" must be a text/],
    ['{"prompt": "a", "answer": null}', /"answer" must be a text/],
    ['{"prompt": "a", "answer": "b", "answerIds": [1]}', /both "answer" and "answerIds"/],
    ['{"prompt": "a", "answerIds": [-1]}', /"answerIds" must be a list of token ids/],
    ['{"prompt": "a", "answerIds": [1.5]}', /"answerIds" must be a list of token ids/],
    ['{"prompt": "a", "distractor": "b"}', /"distractor" but no "answer"/],
    ['{"prompt": "a", "choices": ["b"]}', /at least two/],
    ['{"prompt": "a", "choices": ["b", "b"]}', /twice/],
    ['{"prompt": "a", "choices": ["b", "c"], "answer": "d"}', /answer "d" is not among/],
    ['{"prompt": "a", "focus": [3]}', /"focus" must be/],
    ['{"prompt": "a", "focus": [3, 3]}', /"focus" must be/],
    ['{"prompt": "a", "focus": [-1, 3]}', /"focus" must be/],
    ['{"prompt": "a", "focus": [0, 1, 2]}', /"focus" must be/],
    ['{"prompt": "a", "label": "good"}', /"label" must be "positive" or "negative"/],
    ['{"prompt": "a", "metric": "loss"}', /"metric" must be "logit-difference" or/],
  ];
  test.each(bad)('names what is wrong with %s', (line, message) => {
    const set = parsePromptSet(`{"prompt":"first"}\n${line}\n{"prompt":"last"}`);
    expect(set.items.map((item) => item.prompt)).toEqual(['first', 'last']);
    expect(set.lines).toEqual([1, 3]);
    expect(set.problems).toHaveLength(1);
    expect(set.problems[0].line).toBe(2);
    expect(set.problems[0].message).toMatch(message);
  });

  const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 });
  const texts = fc.oneof(text, fc.array(text, { minLength: 1, maxLength: 3 }));
  const item = fc.record(
    {
      prompt: text,
      answer: texts,
      distractor: texts,
      corrupt: text,
      focus: fc.tuple(fc.nat(50), fc.integer({ min: 51, max: 99 })),
      label: fc.constantFrom('positive', 'negative'),
      metric: fc.constantFrom('logit-difference', 'probability-difference'),
    },
    { requiredKeys: ['prompt', 'answer'] },
  );

  test('reads back what writePromptSet wrote', () => {
    fc.assert(
      fc.property(fc.array(item, { maxLength: 5 }), (items) => {
        const set = parsePromptSet(writePromptSet(items));
        expect(set.problems).toEqual([]);
        expect(set.items).toEqual(items);
      }),
      { seed: 3 },
    );
  });

  test('accounts for every line that is not blank, whatever it holds', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.string(),
            fc.json(),
            item.map((value) => JSON.stringify(value)),
          ),
        ),
        (lines) => {
          const source = lines.join('\n');
          const set = parsePromptSet(source);
          const kept = [...set.lines, ...set.problems.map((problem) => problem.line)].sort((a, b) => a - b);
          const expected = source
            .split(/\r\n|\n|\r/)
            .flatMap((line, i) => (line.trim() === '' ? [] : [i + 1]));
          expect(kept).toEqual(expected);
        },
      ),
      { seed: 3 },
    );
  });
});

describe('resolvePrompt', () => {
  const tokenizer = checkpointTokenizer('ioi-4l');

  test('gives ids, special tokens included', () => {
    const item: PromptItem = {
      prompt: 'Mary and John',
      corrupt: 'Tom and James',
      answer: ' Mary',
      distractor: [' John', 'Tom'],
      choices: [' Mary', 'John and'],
      focus: [1, 4],
    };
    expect(resolvePrompt(tokenizer, item)).toEqual({
      item,
      ids: [0, 3, 197, 4],
      corruptIds: [0, 5, 197, 6],
      aligned: true,
      answers: [3],
      distractors: [4, 5],
      choices: [[3], [4, 197]],
      focus: [1, 4],
      unknown: [],
    });
  });

  test('takes ids for answers', () => {
    const resolved = resolvePrompt(tokenIdsTokenizer(50), {
      prompt: '1 2',
      answerIds: [3, 3],
      distractorIds: [4],
    });
    expect(resolved).toMatchObject({ ids: [1, 2], answers: [3], distractors: [4], aligned: false });
  });

  test('reports words that the model never sees', () => {
    expect(resolvePrompt(tokenizer, { prompt: 'Mary Gandalf', corrupt: 'Frodo Mary' }).unknown).toEqual([
      'Gandalf',
      'Frodo',
    ]);
  });

  test.each<[string, PromptItem]>([
    ['empty-prompt', { prompt: '  ' }],
    ['empty-prompt', { prompt: 'Mary', corrupt: ' ' }],
    ['answer-not-one-token', { prompt: 'Mary', answer: 'Mary John' }],
    ['answer-not-one-token', { prompt: 'Mary', answer: 'Mary', distractor: 'Gandalf' }],
    ['same-token', { prompt: 'Mary', answer: ' Mary', distractor: 'Mary' }],
    ['bad-focus', { prompt: 'Mary and John', focus: [1, 5] }],
    ['bad-token-ids', { prompt: 'Mary', answerIds: [342] }],
    ['empty-prompt', { prompt: 'Mary', choices: ['Mary', ' '] }],
  ])('%s', (code, item) => {
    expect(codeOf(() => resolvePrompt(tokenizer, item))).toBe(code);
  });

  test('two spellings of one token are the same answer', () => {
    const pieces = wordPieceTokenizer(['mary', 'john']);
    expect(codeOf(() => resolvePrompt(pieces, { prompt: 'john', answer: 'Mary', distractor: 'mary' }))).toBe(
      'same-token',
    );
  });

  test('a set keeps its good lines and names all bad ones in order', () => {
    const source = [
      '{"prompt":"Mary","answer":"Mary John"}',
      '{"prompt":"Mary","answer":"John"}',
      'nonsense',
      '{"prompt":"Mary","focus":[0,9]}',
    ].join('\n');
    const { prompts, problems } = resolvePromptSet(tokenizer, parsePromptSet(source));
    expect(prompts.map((prompt) => prompt.answers)).toEqual([[4]]);
    expect(problems.map((problem) => problem.line)).toEqual([1, 3, 4]);
    expect(problems[0].message).toMatch(/is 2 tokens/);
    expect(problems[2].message).toMatch(/leaves the prompt, which has 2 tokens/);
  });
});
