import { describe, expect, it } from 'vitest';
import { exampleItems, promptLines } from '../../src/text/examples.ts';

describe('examples typed by a person', () => {
  it('are one prompt a line, spaces kept, blank lines left out', () => {
    expect(promptLines('a b \r\n\n  \n c\n')).toEqual(['a b ', ' c']);
  });

  it('become pairs line by line', () => {
    expect(exampleItems({ positives: 'a\nb\n', negatives: 'x\ny', paired: true })).toEqual([
      { prompt: 'a', corrupt: 'x' },
      { prompt: 'b', corrupt: 'y' },
    ]);
  });

  it('become labelled prompts without pairs, of any two numbers', () => {
    expect(exampleItems({ positives: 'a\nb', negatives: 'x\ny\nz', paired: false })).toEqual([
      { prompt: 'a', label: 'positive' },
      { prompt: 'b', label: 'positive' },
      { prompt: 'x', label: 'negative' },
      { prompt: 'y', label: 'negative' },
      { prompt: 'z', label: 'negative' },
    ]);
  });

  it('say what is missing', () => {
    expect(() => exampleItems({ positives: 'a\nb\nc', negatives: 'x\ny', paired: true })).toThrow(
      /there are 3 and 2/,
    );
    expect(() => exampleItems({ positives: 'a', negatives: 'x\ny', paired: false })).toThrow(
      /1 positive and 2 negative/,
    );
  });
});
