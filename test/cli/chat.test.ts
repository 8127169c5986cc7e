import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { document, headscope, sampleCopy, temporaryFolder } from './command.ts';

interface Run {
  readonly tokens: readonly { readonly token: string }[];
}

describe('--chat', () => {
  const template =
    "{{ bos_token }}{% for m in messages %}{{ ' ' + m.content }}{% endfor %}{% if add_generation_prompt %} to{% endif %}";

  function sample(): string {
    const folder = sampleCopy('ioi-4l', temporaryFolder(onTestFinished));
    writeFileSync(path.join(folder, 'chat_template.jinja'), template);
    return folder;
  }

  const tokensOf = (...args: string[]): string[] =>
    document<Run>(...args).tokens.map(({ token }) => token.trim());

  test('writes the prompt with the template, and no token is added twice', () => {
    const folder = sample();
    const expected = ['<bos>', 'Mary', 'gave', 'to'];
    expect(tokensOf('run', folder, '--prompt', 'Mary gave', '--chat')).toEqual(expected);
    const messages = JSON.stringify([
      { role: 'user', content: 'Mary' },
      { role: 'assistant', content: 'gave' },
    ]);
    expect(tokensOf('run', folder, '--prompt', messages, '--chat')).toEqual(expected);
  });

  test('writes every prompt of a set', () => {
    const folder = sample();
    const file = path.join(folder, 'set.jsonl');
    const line = (prompt: unknown): string => JSON.stringify({ prompt }) + '\n';
    writeFileSync(
      file,
      line('Mary gave') + line([{ role: 'user', content: 'John gave' }]) + line([{ role: 'user' }]),
    );
    const { prompts } = document<{ prompts: { tokens: string[] }[] }>(
      'sinks',
      folder,
      '--prompts',
      file,
      '--chat',
    );
    expect(prompts.map(({ tokens }) => tokens.map((token) => token.trim()))).toEqual([
      ['<bos>', 'Mary', 'gave', 'to'],
      ['<bos>', 'John', 'gave', 'to'],
    ]);
    const outcome = headscope('sinks', folder, '--prompts', file, '--chat');
    expect(outcome.stderr).toMatch(/set\.jsonl:3: Message 1 of the chat/);
    const plain = headscope('sinks', folder, '--prompts', file);
    expect(plain.stderr).toMatch(/set\.jsonl:2: "prompt" is a list of messages; only --chat/);
  });

  test('a report without prompts of its own says so', () => {
    const outcome = headscope('report', sample(), '--chat');
    expect(outcome.status).toBe(2);
    expect(outcome.stderr).toMatch(/^error\[bad-option\]: --chat writes/m);
  });

  test('without a template says so', () => {
    const outcome = headscope('run', path.resolve('assets/checkpoints/ioi-4l'), '--prompt', 'Mary', '--chat');
    expect(outcome.status).toBe(2);
    expect(outcome.stderr).toMatch(/^error\[no-chat-template\]: /m);
  });
});

test('inspect names the files that the tokenizer was read from', () => {
  const { model } = document<{ model: { tokenizer: { source: string } } }>(
    'inspect',
    path.resolve('assets/checkpoints/ioi-4l'),
  );
  expect(model.tokenizer.source).toBe('tokenizer.json');
});
