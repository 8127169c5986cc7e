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

it('has every section in little', () => {
  const sections = (quick: boolean): string[] =>
    [...new Set(plan({ quick, only: [], devices: DEVICES }).map(({ section }) => section))].sort();
  expect(sections(true)).toEqual(sections(false));
});
