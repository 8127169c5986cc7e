import { describe, expect, it } from 'vitest';
import { calibratedLayers } from '../../src/analysis/calibration/layers.ts';
import { searchAct } from '../../src/analysis/calibration/search.ts';
import type { LabelledPrompt } from '../../src/analysis/calibration/score.ts';
import { headName, type Edit } from '../../src/instrument/runner.ts';
import { scriptedRunner, type Script } from './scripted-runner.ts';

const TOKENS = 20;
const EXAMPLES = 80;

// Prompts are told apart by their first token; the answer is token 0, the model hesitates between it and token 1.
const examples: LabelledPrompt[] = Array.from({ length: EXAMPLES }, (_, i) => ({
  ids: [100 + i, ...Array<number>(TOKENS - 1).fill(7)],
  answers: [0],
}));

const effect: Record<string, (example: number) => number> = {
  // Puts three of four examples right that were wrong.
  L0H0: (i) => (i % 4 === 0 ? 0 : 2),
  // Nothing but noise: turns as many right answers wrong as wrong ones right.
  L0H1: (i) => (i % 8 === 0 ? -2 : i % 8 === 1 ? 2 : 0),
  // Helps a little everywhere, too little to change an answer.
  L1H0: () => 0.1,
  // The same help as L0H0 for another reason: together they undo each other.
  L1H1: (i) => (i % 4 === 0 ? 0 : 1.9),
  // Does harm.
  L1H2: () => -1,
};

const script: Script = {
  layers: 2,
  heads: 4,
  vocab: 300,
  // Head 3 of either layer has no sink, and L1H2 only in the first ten examples.
  sink: (ids, layer, head) => (head === 3 || (layer === 1 && head === 2 && ids[0] >= 110) ? 0.2 : 0.6),
  logits: (ids, edits) => {
    const i = ids[0] - 100;
    const names = (edits as Extract<Edit, { kind: 'act' }>[]).map(headName);
    const both = names.includes('L0H0') && names.includes('L1H1');
    const help = both ? -3 : names.reduce((sum, name) => sum + (effect[name]?.(i) ?? 0), 0);
    const baseline = i % 2 === 0 ? 1 : -1;
    return [baseline + help, 0, ...Array<number>(298).fill(-9)];
  },
};

const byName = <T extends { name: string }>(heads: readonly T[]): Record<string, T> =>
  Object.fromEntries(heads.map((head) => [head.name, head]));

describe('the ACT head search', () => {
  it('keeps the heads whose gain is sure, not the noisy, harmful or idle ones', async () => {
    const found = await searchAct(scriptedRunner(script), examples, { seed: 3 });
    const heads = byName(found.heads);
    expect(found.heads.filter(({ kept }) => kept).map(({ name }) => name)).toEqual(['L0H0', 'L1H1']);
    expect(heads.L0H0.ci95[0]).toBeGreaterThan(0);
    expect(heads.L0H0.ci95[1]).toBeGreaterThan(heads.L0H0.gain);
    expect(heads.L0H1.ci95[0]).toBeLessThan(0);
    expect(heads.L1H0).toMatchObject({ gain: 0, accuracyGain: 0, kept: false });
    expect(heads.L1H0.logprobGain).toBeGreaterThan(0.01);
    expect(heads.L1H2.gain).toBeLessThanOrEqual(0);
    expect(found.examples).toEqual({ search: 40, heldOut: 40 });
  });

  it('gives the gains that counting gives', async () => {
    const runner = scriptedRunner(script);
    const found = await searchAct(runner, examples, { seed: 3 });
    const searched = runner.requests[0].rows.map(({ ids }) => ids[0] - 100);
    const rightBefore = searched.filter((i) => i % 2 === 0).length / 40;
    const rightAfter = searched.filter((i) => i % 2 === 0 || i % 4 !== 0).length / 40;
    expect(found.baseline.accuracy).toBeCloseTo(rightBefore, 12);
    expect(byName(found.heads).L0H0.gain).toBeCloseTo(rightAfter - rightBefore, 12);
    const logprob = (logit: number): number => logit - Math.log(Math.exp(logit) + 1 + 298 * Math.exp(-9));
    const mean = searched.reduce((sum, i) => sum + logprob(i % 2 === 0 ? 1 : -1), 0) / 40;
    expect(found.baseline.logprob).toBeCloseTo(mean, 6);
  });

  it('does not run what cannot change: heads and examples without sinks', async () => {
    const runner = scriptedRunner(script);
    const found = await searchAct(runner, examples, { seed: 3 });
    const heads = byName(found.heads);
    for (const name of ['L0H3', 'L1H3'])
      expect(heads[name]).toMatchObject({
        examplesWithSinks: 0,
        gain: 0,
        ci95: [0, 0],
        note: 'no sinks: nothing to calibrate',
      });
    const searched = runner.requests[0].rows.map(({ ids }) => ids[0]);
    const withSinks = searched.filter((id) => id < 110).length;
    expect(heads.L1H2.examplesWithSinks).toBe(withSinks);
    const edited = runner.requests.slice(1, 3).flatMap(({ rows }) => rows);
    expect(edited).toHaveLength(5 * 40 + withSinks);
    expect(edited.every(({ edits }) => edits?.length === 1)).toBe(true);
    expect(runner.requests.slice(1).every(({ allowNoEffect }) => allowNoEffect)).toBe(true);
    // Six heads have sinks; 2.5 % of them would pass by chance.
    expect(found.keptByChance).toBeCloseTo(0.15, 12);
    expect(found.notes.join()).toContain('2 of 6 heads with sinks were kept');
  });

  it('judges the kept heads together on examples that had no say', async () => {
    const runner = scriptedRunner(script);
    const found = await searchAct(runner, examples, { seed: 3 });
    // The two kept heads undo each other, which only running them together shows.
    expect(found.calibrated.heads).toEqual(['L0H0', 'L1H1']);
    expect(found.calibrated.accuracy).toBe(0);
    expect(found.heldOut.calibrated.accuracy).toBe(0);
    expect(found.heldOut.gain).toBeLessThan(0);
    expect(found.heldOut.ci95[1]).toBeLessThan(0);
    const searched = new Set(runner.requests[0].rows.map(({ ids }) => ids[0]));
    const heldOut = runner.requests.at(-1)!.rows.map(({ ids }) => ids[0]);
    expect(heldOut).toHaveLength(40);
    expect(heldOut.some((id) => searched.has(id))).toBe(false);
  });

  it('can add heads one by one instead, keeping only those that still help', async () => {
    const found = await searchAct(scriptedRunner(script), examples, { seed: 3, combine: 'greedy' });
    expect(found.calibrated.heads).toEqual(['L0H0']);
    expect(found.heldOut.gain).toBeGreaterThan(0.2);
    expect(found.heldOut.ci95[0]).toBeGreaterThan(0);
  });

  it('can judge by log-probability, which sees smaller gains', async () => {
    const settings = { seed: 3, metric: 'logprob', layers: [1] } as const;
    const found = await searchAct(scriptedRunner(script), examples, settings);
    expect(found.heads.map(({ name }) => name)).toEqual(['L1H0', 'L1H1', 'L1H2', 'L1H3']);
    expect(byName(found.heads).L1H0).toMatchObject({ kept: true });
    expect(byName(found.heads).L1H2).toMatchObject({ kept: false });
  });

  it('keeps any gain when asked to do as published', async () => {
    const sure = await searchAct(scriptedRunner(script), examples, { seed: 5 });
    const published = await searchAct(scriptedRunner(script), examples, { seed: 5, keep: 'gain' });
    const gains = published.heads.filter(({ gain }) => gain > 0).length;
    expect(published.heads.filter(({ kept }) => kept)).toHaveLength(gains);
    expect(published.keptByChance).toBe(3);
    expect(gains).toBeGreaterThanOrEqual(sure.heads.filter(({ kept }) => kept).length);
  });

  it('applies the rule it was given', async () => {
    const runner = scriptedRunner(script);
    const found = await searchAct(runner, examples, { absolute: 0.5, beta: 0.25 });
    expect(runner.requests[1].rows[0].edits?.[0]).toEqual({
      ...{ kind: 'act', layer: 0, head: 0 },
      ...{ absolute: 0.5, beta: 0.25 },
    });
    expect(found.calibration).toMatchObject({ kind: 'act', absolute: 0.5, beta: 0.25 });
    const none = await searchAct(scriptedRunner(script), examples, { absolute: 0.9 });
    expect(none.heads.every(({ examplesWithSinks }) => examplesWithSinks === 0)).toBe(true);
    expect(none.notes.join()).toContain('nothing to calibrate');
    expect(none.heldOut.calibrated).toEqual(none.heldOut.baseline);
  });

  it('is the same for the same seed and differs in its split for another', async () => {
    const first = await searchAct(scriptedRunner(script), examples, { seed: 1 });
    expect(await searchAct(scriptedRunner(script), examples, { seed: 1 })).toEqual(first);
    const rows = async (seed: number): Promise<string> => {
      const runner = scriptedRunner(script);
      await searchAct(runner, examples, { seed });
      return runner.requests[0].rows.map(({ ids }) => ids[0]).join();
    };
    expect(await rows(1)).not.toBe(await rows(2));
  });

  it('takes the best of the choices as the answer of a multiple choice', async () => {
    // Token 5 has the largest logit of all, but is no choice.
    const runner = scriptedRunner({ ...script, logits: () => [1, 0, 0, 0, 0, 9] });
    const rows = examples.map((one) => ({ ...one, choices: [1, 0] }));
    const chosen = await searchAct(runner, rows, {});
    expect(chosen.baseline.accuracy).toBe(1);
    const free = await searchAct(runner, examples, {});
    expect(free.baseline.accuracy).toBe(0);
    expect(free.baseline.logprob).toBeCloseTo(chosen.baseline.logprob, 12);
  });

  it('counts any of several right answers', async () => {
    // 1 is the likeliest of the answers 1 and 2, together they have 2e of e + 2e + the rest.
    const runner = scriptedRunner({ ...script, vocab: 4, logits: () => [0, 1, 1, -99] });
    const several = await searchAct(
      runner,
      examples.map((one) => ({ ...one, answers: [2, 1] })),
    );
    expect(several.baseline.accuracy).toBe(1);
    expect(several.baseline.logprob).toBeCloseTo(Math.log((2 * Math.E) / (2 * Math.E + 1)), 6);
  });

  it('reports progress to the end and stops when cancelled', async () => {
    const seen: number[][] = [];
    const onProgress = (done: number, total: number): void => void seen.push([done, total]);
    await searchAct(scriptedRunner(script), examples, {}, { onProgress });
    expect(seen.at(-1)![0]).toBe(seen.at(-1)![1]);
    expect(seen.every(([done, total]) => done <= total)).toBe(true);
    const controller = new AbortController();
    const stop = (done: number): void => {
      if (done === 50) controller.abort();
    };
    const run = searchAct(
      scriptedRunner(script),
      examples,
      {},
      { signal: controller.signal, onProgress: stop },
    );
    await expect(run).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('refuses sets it cannot judge', async () => {
    const runner = scriptedRunner(script);
    const bad = async (some: LabelledPrompt[], text: string): Promise<void> =>
      expect(searchAct(runner, some)).rejects.toThrow(text);
    await bad(examples.slice(0, 3), 'at least 4 examples');
    await bad([{ ids: [1], answers: [] }], 'Example 1 has no answer');
    await bad([...examples, { ids: [1], answers: [300] }], 'Example 81 has token 300');
    await bad([{ ids: [1], answers: [0], choices: [1, 2] }], 'Example 1 has an answer that is not among');
    await bad([{ ids: [1], answers: [1], choices: [1, 1] }], 'begin with the same token');
    await expect(searchAct(runner, examples, { alpha: 5, absolute: 0.1 })).rejects.toThrow('not both');
  });

  it('says when prompts are too short for alpha / T', async () => {
    const short = examples.map((one) => ({ ...one, ids: one.ids.slice(0, 4) }));
    const { notes } = await searchAct(scriptedRunner(script), short);
    expect(notes.join()).toContain('40 of 40 prompts are so short');
  });
});

describe('the layers to calibrate', () => {
  const shape = (layers: number): Parameters<typeof calibratedLayers>[0] =>
    scriptedRunner({ ...script, layers }).shape;

  it('are 2 … L − 2 as published', () => {
    expect(calibratedLayers(shape(8))).toEqual({ layers: [2, 3, 4, 5, 6], note: null });
    expect(calibratedLayers(shape(5)).layers).toEqual([2, 3]);
  });

  it('are all in a model too small for that, which is said', () => {
    expect(calibratedLayers(shape(3)).layers).toEqual([0, 1, 2]);
    expect(calibratedLayers(shape(4)).note).toContain('all of them');
  });

  it('are those asked for, if they exist', () => {
    expect(calibratedLayers(shape(3), [2, 0])).toEqual({ layers: [0, 2], note: null });
    expect(() => calibratedLayers(shape(3), [3])).toThrow('layers 0 to 2');
  });
});
