import { describe, expect, it } from 'vitest';
import { findSinks } from '../../src/analysis/sinks/find.ts';
import type { Site } from '../../src/instrument/runner.ts';
import { Golden, goldenRunner } from './golden-runner.ts';

const sink3l = new Golden('sink-3l');
const delim = new Golden('sink-delim-2l');

describe('the sinks of sink-3l', () => {
  it('are <bos>, with L0H0, L0H3 and L0H1 as its heads, and no other token', async () => {
    const { summary } = await findSinks(goldenRunner(sink3l), sink3l.prompts);
    expect(summary.first?.tokens).toEqual(['<bos>']);
    expect(summary.first?.heads.map(({ name }) => name).sort()).toEqual(['L0H0', 'L0H1', 'L0H3']);
    expect(summary.first?.heads.at(-1)?.name).toBe('L0H1');
    expect(summary.first).toMatchObject({ occurrences: 4, prompts: 4 });
    expect(summary.tokens).toEqual([]);
  });

  it('come with evidence per head', async () => {
    const { prompts } = await findSinks(goldenRunner(sink3l), sink3l.prompts);
    const bos = prompts[0].sinks[0];
    expect(bos).toMatchObject({ position: 0, token: '<bos>', first: true, byHiddenState: null });
    expect(bos.agreement).toBe('no sink dimensions');
    const { byAttention } = bos;
    expect(new Set(byAttention?.heads.slice(0, 2))).toEqual(new Set(['L0H0', 'L0H3']));
    expect(byAttention).toMatchObject({ queries: 24, weak: false, firstLayer: 0 });
    // Attention received by position 0, from the pattern itself.
    const pattern = sink3l.pattern(0, 0, 0);
    const received = Array.from({ length: 24 }, (_, q) => pattern[q * 24]).reduce((a, b) => a + b, 0) / 24;
    expect(byAttention?.perHead.find(({ name }) => name === 'L0H0')?.received).toBeCloseTo(received, 6);
    expect(prompts[0].threshold).toBeCloseTo(5 / 24, 12);
  });

  it('include no massive activation, because there is none', async () => {
    const { sinkDims, dimensions, agreement, notes } = await findSinks(goldenRunner(sink3l), sink3l.prompts);
    expect(sinkDims).toEqual([]);
    expect(dimensions).toMatchObject({ source: 'none', found: [], rejected: [], ceiling: 8, tau: 4 });
    // The model's README reports 3.2 at <bos>; some other token has a little more.
    expect(dimensions.largestNormalised).toBeLessThan(4);
    expect(agreement).toBeNull();
    expect(notes.some((note) => note.startsWith('No sink dimension was found'))).toBe(true);
  });
});

describe('the sinks of sink-delim-2l', () => {
  it('are the delimiter, with L0H0 and L0H1 as its heads, and not the first token', async () => {
    const { summary, sinkDims } = await findSinks(goldenRunner(delim), delim.prompts);
    expect(summary.first).toBeNull();
    expect(summary.tokens).toHaveLength(1);
    expect(summary.tokens[0]).toMatchObject({ token: '.', occurrences: 4, prompts: 4 });
    expect(summary.tokens[0].heads.map(({ name }) => name).sort()).toEqual(['L0H0', 'L0H1']);
    expect(sinkDims).toEqual([]);
  });

  it('are hidden sinks at the position where the delimiter stands', async () => {
    const { prompts } = await findSinks(goldenRunner(delim), delim.prompts);
    for (const prompt of prompts) {
      const sink = prompt.sinks.find(({ token }) => token === '.');
      expect(sink?.first).toBe(false);
      expect(prompt.tokens[sink!.position]).toBe('.');
      expect(sink?.byAttention?.heads).toEqual(expect.arrayContaining(['L0H0', 'L0H1']));
    }
  });

  it('flags keys that only a few late queries see', async () => {
    const { prompts } = await findSinks(goldenRunner(delim), delim.prompts);
    const late = prompts[1].sinks.find(({ position }) => position === 22);
    expect(late?.byAttention).toMatchObject({ queries: 2, weak: true });
    const strict = await findSinks(goldenRunner(delim), delim.prompts, { minQueries: 1 });
    expect(strict.prompts[1].sinks.find(({ position }) => position === 22)?.byAttention?.weak).toBe(false);
  });

  it('reports value norms against the tokens that are no sinks', async () => {
    const valueNorm = (prompt: number): Float32Array => {
      const at = delim.prompts[prompt].tokens.indexOf('.');
      return Float32Array.from({ length: 4 * 24 }, (_, i) => (i % 24 === at ? 0.15 : 1 + (i % 3)));
    };
    const { prompts, summary } = await findSinks(goldenRunner(delim, { valueNorm }), delim.prompts);
    const sink = prompts[0].sinks.find(({ token }) => token === '.');
    expect(sink?.valueNorm).toBeCloseTo(0.15, 6);
    expect(sink?.valueNormOthers).toBe(2);
    expect(sink?.keyNorm).toBeNull();
    expect(summary.tokens[0].heads[0].valueNormRatio).toBeCloseTo(0.075, 6);
  });
});

describe('a token that is attended to for its content', () => {
  it('is reported per prompt, with its large value, but not as a sink overall', async () => {
    const valueNorm = (prompt: number): Float32Array => {
      const at = delim.prompts[prompt].tokens.indexOf('.');
      return Float32Array.from({ length: 4 * 24 }, (_, i) => (i % 24 === at ? 3 : 1));
    };
    const { prompts, summary } = await findSinks(goldenRunner(delim, { valueNorm }), delim.prompts);
    expect(prompts[0].sinks.find(({ token }) => token === '.')?.valueNorm).toBe(3);
    expect(summary.tokens).toEqual([]);
  });
});

describe('a model with a planted massive activation', () => {
  // Dimension 54 becomes huge on `.` once block 0 has run.
  const residual = (data: Float32Array, prompt: number, layer: number): void => {
    if (layer >= 1) data[delim.prompts[prompt].tokens.indexOf('.') * 64 + 54] = 45;
  };

  it('shows its dimension, the rule that fired, and agreement of both definitions', async () => {
    const document = await findSinks(goldenRunner(delim, { residual }), delim.prompts);
    expect(document.sinkDims).toEqual([54]);
    expect(document.dimensions).toMatchObject({ source: 'found', rejected: [] });
    expect(document.dimensions.found[0]).toMatchObject({
      dim: 54,
      prompts: 4,
      layers: [1, 2],
      rules: ['scaled'],
    });
    for (const { sinks, tokens } of document.prompts) {
      const both = sinks.filter(({ agreement }) => agreement === 'both');
      expect(both.map(({ position }) => position)).toEqual([tokens.indexOf('.')]);
      expect(both[0].byHiddenState).toMatchObject({ dims: [54], firstLayer: 1 });
      expect(both[0].byHiddenState!.phi).toBeGreaterThan(7);
    }
    expect(document.agreement?.both).toBe(4);
    expect(document.agreement?.hiddenStateOnly).toBe(0);
    expect(document.agreement?.attentionOnly).toBeGreaterThan(0);
  });

  it('shows a token that only the hidden state calls a sink', async () => {
    const elsewhere = (data: Float32Array, _: number, layer: number): void => {
      if (layer >= 1) data[7 * 64 + 3] = -60;
    };
    const document = await findSinks(goldenRunner(delim, { residual: elsewhere }), delim.prompts);
    expect(document.sinkDims).toEqual([3]);
    const alone = document.prompts[0].sinks.find(({ position }) => position === 7);
    expect(alone).toMatchObject({ agreement: 'hidden state only', byAttention: null });
  });

  it('is not believed when it shows in one prompt only', async () => {
    const once = (data: Float32Array, prompt: number, layer: number): void => {
      if (prompt === 0) residual(data, prompt, layer);
    };
    const document = await findSinks(goldenRunner(delim, { residual: once }), delim.prompts);
    expect(document.sinkDims).toEqual([]);
    expect(document.dimensions.rejected[0]).toMatchObject({ dim: 54, prompts: 1 });
    expect(document.agreement).toBeNull();
  });

  it('is held against the threshold that was asked for', async () => {
    const runner = goldenRunner(delim, { residual });
    const strict = await findSinks(runner, delim.prompts, { tau: 20 });
    expect(strict.sinkDims).toEqual([]);
    expect(strict.dimensions.tau).toBe(20);
    expect(strict.notes[0]).toContain('nothing can be over the threshold 20');
    const lax = await findSinks(runner, delim.prompts, { tau: 7 });
    expect(lax.sinkDims).toEqual([54]);
  });

  it('can be looked for in given dimensions without a search', async () => {
    const runner = goldenRunner(delim, { residual });
    const document = await findSinks(runner, delim.prompts, { dims: [54] });
    expect(document.dimensions.source).toBe('given');
    expect(document.agreement?.both).toBe(4);
    await expect(findSinks(runner, delim.prompts, { dims: [64] })).rejects.toThrow('dimensions 0 to 63');
  });
});

describe('finding sinks', () => {
  it('reads no residual stream when no coordinate is large', async () => {
    const runner = goldenRunner(sink3l);
    await findSinks(runner, sink3l.prompts);
    expect(runner.requests).toHaveLength(1);
    expect(runner.requests[0].taps).toBeUndefined();
  });

  it('reports progress to the end', async () => {
    const seen: number[][] = [];
    const onProgress = (done: number, total: number): void => void seen.push([done, total]);
    await findSinks(goldenRunner(sink3l), sink3l.prompts, {}, { onProgress });
    expect(seen.at(-1)).toEqual([8, 8]);
  });

  it('tells a short prompt that alpha / T is out of reach', async () => {
    const golden = new Golden('sink-3l');
    const { prompts } = await findSinks(goldenRunner(golden), golden.prompts, { alpha: 30 });
    expect(prompts[0].sinks).toEqual([]);
    expect(prompts[0].notes[0]).toContain('cannot be exceeded');
  });

  it('does without residual streams that the graph does not show', async () => {
    const planted = (data: Float32Array, _: number, layer: number): void => {
      if (layer >= 1) data[7 * 64 + 3] = -60;
    };
    const runner = goldenRunner(delim, { residual: planted });
    const some = { ...runner.shape, sites: [[], ['resid_pre', 'resid_post']] as Site[][] };
    const partly = await findSinks({ ...runner, shape: some }, delim.prompts);
    expect(partly.sinkDims).toEqual([3]);
    expect(partly.dimensions.found[0].layers).toEqual([1, 2]);
    const blind = { ...runner, shape: { ...runner.shape, sites: [[], []] } };
    const none = await findSinks(blind, delim.prompts);
    expect(none.sinkDims).toEqual([]);
    expect(none.notes).toEqual([
      'The graph shows no residual stream, so sinks by hidden state cannot be looked for.',
    ]);
    await expect(findSinks(blind, delim.prompts, { dims: [3] })).rejects.toMatchObject({
      code: 'not-available',
    });
  });

  it('refuses nothing and mismatched prompts', async () => {
    await expect(findSinks(goldenRunner(sink3l), [])).rejects.toMatchObject({ code: 'no-prompts' });
    const broken = [{ ids: [0, 1], tokens: ['<bos>'] }];
    await expect(findSinks(goldenRunner(sink3l), broken)).rejects.toMatchObject({ code: 'bad-shape' });
  });
});
