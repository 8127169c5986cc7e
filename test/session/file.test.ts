import { describe, expect, it } from 'vitest';
import { HeadscopeError } from '../../src/errors.ts';
import { readSession, writeSession } from '../../src/workbench/session/file.ts';
import { figure, whole } from './whole.ts';

const codeOf = (text: string): string => {
  try {
    readSession(text);
  } catch (error) {
    expect(error).toBeInstanceOf(HeadscopeError);
    // One sentence for a person, or two: what is wrong, and what to do.
    expect((error as Error).message).toMatch(/^[A-Z].*\.$/s);
    return (error as HeadscopeError).code;
  }
  return 'read';
};

describe('a session file', () => {
  it('gives back everything that was written', () => {
    expect(readSession(writeSession(whole))).toEqual(whole);
  });

  it('is refused with a sentence when it is damaged, foreign or newer', () => {
    const text = writeSession(whole);
    expect(codeOf(text.slice(0, text.length / 2))).toBe('bad-session');
    expect(codeOf('')).toBe('bad-session');
    expect(codeOf('null')).toBe('bad-session');
    expect(codeOf('[]')).toBe('bad-session');
    expect(codeOf('{"schema":"headscope-report","version":1}')).toBe('bad-session');
    expect(codeOf(JSON.stringify({ ...whole, version: 2 }))).toBe('newer-session');
    expect(codeOf(JSON.stringify({ ...whole, version: 'one' }))).toBe('bad-session');
    expect(codeOf(JSON.stringify({ ...whole, version: -3 }))).toBe('bad-session');
  });

  it('names the place that is wrong', () => {
    const broken = { ...whole, prompts: [{ ...whole.prompts[0], answers: 'Mary' }] };
    expect(() => readSession(JSON.stringify(broken))).toThrow(/prompts\.0\.answers/);
  });

  it('refuses a figure that cannot be drawn', () => {
    const [item] = whole.report.items;
    const short = { ...figure, values: [1] };
    const broken = {
      ...whole,
      report: { title: '', items: [{ ...item, content: { type: 'figure', figure: short } }] },
    };
    expect(codeOf(JSON.stringify(broken))).toBe('bad-session');
  });

  it('does not let a file change what objects are', () => {
    const text = writeSession(whole).replace('"views": {', '"views": { "__proto__": { "polluted": true },');
    readSession(text);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it('carries a large result in seconds', () => {
    const data = Array.from({ length: 400_000 }, (_, i) => i / 7);
    const large = { ...whole, results: [{ ...whole.results[0], data }] };
    const began = performance.now();
    expect(readSession(writeSession(large)).results[0].data).toEqual(data);
    expect(performance.now() - began).toBeLessThan(20_000);
  });
});
