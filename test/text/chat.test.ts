import { describe, expect, test } from 'vitest';
import { chatTokenizer, readChat, renderChat } from '../../src/text/chat.ts';
import type { ChatMessage } from '../../src/text/chat.ts';
import type { Tokenizer } from '../../src/text/tokenizer/tokenizer.ts';
import { codeOf, fixtureTokenizer, readJson } from './support.ts';

const { messages, cases } = readJson<{
  messages: ChatMessage[];
  cases: [name: string, template: string, text: string][];
}>('fixtures/chat.json');

const withTemplate = (source: string): Tokenizer => ({
  ...fixtureTokenizer('llama2-like'),
  chat: { source, specialTexts: { bos_token: '<s>', eos_token: '</s>' } },
});

describe('chat templates give what Jinja gives', () => {
  test.each(cases)('%s', (_, template, text) => {
    expect(renderChat(withTemplate(template), messages)).toBe(text);
  });

  test('the generation prompt can be left out', () => {
    const tokenizer = withTemplate(cases[0][1]);
    expect(renderChat(tokenizer, messages)).toMatch(/<\|im_start\|>assistant\n$/);
    expect(renderChat(tokenizer, messages, { addGenerationPrompt: false })).toMatch(/<\|im_end\|>\n$/);
  });

  test('special tokens in the text are found, and none is added again', () => {
    const tokenizer = withTemplate(cases[1][1]);
    const text = renderChat(tokenizer, [{ role: 'user', content: 'Mary' }]);
    expect(
      chatTokenizer(tokenizer)
        .encode(text)
        .filter((id) => id === 1).length,
    ).toBe(1);
    expect(chatTokenizer(tokenizer).encode(text)[0]).toBe(1);
    expect(tokenizer.encode(text).slice(0, 2)).toEqual([1, 1]);
  });

  test('a special token that only the tokenizer knows has its text', () => {
    const tokenizer = { ...withTemplate('{{ bos_token }}|{{ messages[0].content }}') };
    const plain = { ...tokenizer, chat: { source: tokenizer.chat?.source ?? '', specialTexts: {} } };
    expect(renderChat(plain, [{ role: 'user', content: 'a' }])).toBe('<s>|a');
  });
});

describe('what a person writes', () => {
  test('is a list of messages or what the user says', () => {
    expect(readChat('[{"role":"system","content":"x"}]')).toEqual([{ role: 'system', content: 'x' }]);
    expect(readChat('Hello [1]')).toEqual([{ role: 'user', content: 'Hello [1]' }]);
    expect(readChat('17')).toEqual([{ role: 'user', content: '17' }]);
    expect(codeOf(() => readChat('[1, 2]'))).toBe('bad-chat');
  });

  test('needs a template', () => {
    expect(codeOf(() => renderChat(fixtureTokenizer('gpt2-like'), messages))).toBe('no-chat-template');
  });
});

describe('templates that mean harm end in one sentence within two seconds', () => {
  const doubling = (start: string, turns: number, then: string): string =>
    `{% set ns = namespace(x=${start}) %}{% for i in range(${turns}) %}{% set ns.x = ns.x + ns.x %}{% endfor %}${then}`;
  test.each([
    ['loops', '{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}'],
    ['a huge range', '{% for i in range(1000000000) %}a{% endfor %}'],
    ['doubling a text', doubling('"aaaaaaaa"', 60, '{{ ns.x }}')],
    ['doubling a list', doubling('[1]', 60, '')],
    ['replacing by a long text', doubling('"aaaaaaaa"', 16, '{{ ns.x.replace("a", ns.x) }}')],
    ['nesting', `{{ ${'('.repeat(60_000)}1 }}`],
    ['open blocks', '{% if true %}'.repeat(14_000)],
    ['spaces', ' '.repeat(190_000)],
    ['too long', 'a'.repeat(200_001)],
    ['a wide margin', '{{ "a\na"|indent(100000000) }}'],
    ['a recursive macro', '{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}'],
    ['its own refusal', '{{ raise_exception("no") }}'],
    ['no template at all', '{{'],
  ])('%s', (_, template) => {
    const start = performance.now();
    expect(codeOf(() => renderChat(withTemplate(template), messages))).toBe('bad-chat-template');
    expect(performance.now() - start).toBeLessThan(2000);
  });

  test('a template reaches nothing but what it is given', () => {
    const reach = '{{ messages.constructor }}{{ messages.__proto__ }}{{ process }}{{ globalThis }}';
    expect(renderChat(withTemplate(reach), messages)).toBe('');
  });
});
