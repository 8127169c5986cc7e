import { expect, test } from 'vitest';
import { promptMemory } from '../../src/instrument/prompt-memory.ts';

const GPT2 = { blocks: Array.from({ length: 12 }, () => ({ heads: 12, dModel: 768 })), vocab: 50_257 };
const WIDE = { blocks: Array.from({ length: 32 }, () => ({ heads: 32, dModel: 4096 })), vocab: 32_000 };

test('a usual prompt is worked out at once, six tensors of its scores and streams beside them', () => {
  const { bytes, inBlocks } = promptMemory(GPT2, 1024);
  expect(inBlocks).toBe(false);
  expect(bytes).toBe(4 * (6 * 12 * 1024 ** 2 + 16 * 768 * 1024 + 50_257));
});

test('4,096 tokens over 32 heads of a layer are worked out in blocks, far below the scores of one layer', () => {
  const { bytes, inBlocks } = promptMemory(WIDE, 4096);
  expect(inBlocks).toBe(true);
  expect(bytes).toBeLessThan(4 * 32 * 4096 ** 2);
  expect(bytes).toBeGreaterThan(4 * 16 * 4096 * 4096);
});

test('in blocks it grows with the tokens, not with their square times the heads', () => {
  const [one, two] = [4096, 8192].map((tokens) => promptMemory(WIDE, tokens).bytes);
  expect(two / one).toBeLessThan(2.5);
});
