import { expect, it } from 'vitest';
import { DEVICES, plan } from './jobs.ts';

const ids = (only: string[], devices: readonly string[] = DEVICES, quick = false): string[] =>
  plan({ quick, only, devices }).map(({ id }) => id);

it('chooses parts by the beginnings of their names', () => {
  const all = ids([]);
  expect(new Set(all).size).toBe(all.length);
  expect(ids(['ratios:llama-1b', 'long'])).toEqual(['ratios:llama-1b:cpu', 'long']);
  expect(ids(['growth'])).toEqual(['growth:tokens', 'growth:heads', 'growth:prompts']);
  expect(() => ids(['ratio'])).toThrow('There is no part ratio; there are ratios:gpt2-small:cpu');
});

it('leaves out devices, and nothing that has no device', () => {
  const native = ids([], ['cpu']);
  expect(native.filter((id) => /wasm|webgpu/.test(id))).toEqual([]);
  expect(ids([]).filter((id) => !/wasm|webgpu/.test(id))).toEqual(native);
});

it('keeps the lengths that are asked for, and parts that have some of them', () => {
  const short = plan({
    quick: false,
    only: ['ratios', 'memory', 'long'],
    devices: ['cpu'],
    tokens: [1024, 7],
  });
  expect(short.map(({ id, task }) => [id, 'tokens' in task && task.tokens])).toEqual([
    ['ratios:gpt2-small:cpu', [1024]],
    ['ratios:gpt2-medium:cpu', [1024]],
    ['long', 4096],
    ['memory:gpt2-small', [1024]],
  ]);
});

it('has every section in little', () => {
  const sections = (quick: boolean): string[] =>
    [...new Set(plan({ quick, only: [], devices: DEVICES }).map(({ section }) => section))].sort();
  expect(sections(true)).toEqual(sections(false));
});
