import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { meanAttentionTo } from '../../src/analysis/sinks/by-attention.ts';
import { findSinks, type SinksDocument } from '../../src/analysis/sinks/find.ts';
import { runAll } from '../../src/instrument/runner.ts';
import type { OpenModel } from '../../src/workbench/open.ts';
import { freshPrompts, openSample, plant, sampleJson } from './sample.ts';

interface Truth {
  heads: {
    layer: number;
    head: number;
    first_attention: number;
    delimiter_attention: number;
    v_norm_first: number;
    v_norm_delimiter: number;
  }[];
}

describe.each([
  ['sink-3l', 'first_attention', 'v_norm_first', ['L0H0', 'L0H1', 'L0H3']],
  ['sink-delim-2l', 'delimiter_attention', 'v_norm_delimiter', ['L0H0', 'L0H1']],
] as const)('%s', (name, attention, valueNorm, sinkHeads) => {
  const prompts = freshPrompts(name);
  const truth = sampleJson(name, 'sinks.json') as Truth;
  const sinkToken = name === 'sink-3l' ? '<bos>' : '.';
  let model: OpenModel;
  let found: SinksDocument;

  beforeAll(async () => {
    model = await openSample(name);
    found = await findSinks(model.runner, prompts);
  });
  afterAll(() => model.close());

  it('has the sink token and the sink heads that its README names, and no others', () => {
    const { first, tokens } = found.summary;
    if (name === 'sink-3l') {
      expect(first?.tokens).toEqual(['<bos>']);
      expect(first?.heads.map((head) => head.name).sort()).toEqual(sinkHeads);
      expect(tokens).toEqual([]);
    } else {
      expect(first).toBeNull();
      expect(tokens.map(({ token }) => token)).toEqual(['.']);
      expect(tokens[0].heads.map((head) => head.name).sort()).toEqual(sinkHeads);
    }
  });

  it('has no massive activation', () => {
    expect(found.sinkDims).toEqual([]);
    expect(found.dimensions.rejected).toEqual([]);
    expect(found.agreement).toBeNull();
  });

  it('gives the sink token the attention that was measured when it was trained', async () => {
    const rows = await runAll(model.runner, {
      rows: prompts.map(({ ids }) => ({ ids })),
      taps: [{ site: 'pattern' }],
      logits: 'none',
    });
    for (const { layer, head, ...measured } of truth.heads) {
      const shares = rows.map((row, i) => {
        const tokens = row.ids.length;
        const pattern = row.tap('pattern', layer).data.subarray(head * tokens ** 2, (head + 1) * tokens ** 2);
        const at = [...row.ids.keys()].filter((k) => prompts[i].tokens[k] === sinkToken);
        return meanAttentionTo(pattern, tokens, at, 8);
      });
      const mean = shares.reduce((a, b) => a + b, 0) / shares.length;
      // 32 sequences against the 256 of sinks.json.
      expect(Math.abs(mean - measured[attention])).toBeLessThan(0.05);
    }
  });

  it('drains the value of its sink: as small as measured, far below the others', () => {
    const heads = sinkHeads.map((head) => truth.heads.find((h) => `L${h.layer}H${h.head}` === head)!);
    for (const [i, measured] of heads.entries()) {
      const norms = found.prompts.flatMap(({ sinks }) =>
        sinks
          .filter(({ token }) => token === sinkToken)
          .flatMap(({ byAttention }) => byAttention?.perHead.find((h) => h.name === sinkHeads[i]) ?? []),
      );
      expect(norms.length).toBeGreaterThan(25);
      const mean = (pick: (head: (typeof norms)[number]) => number | null): number =>
        norms.reduce((sum, head) => sum + pick(head)!, 0) / norms.length;
      const value = mean((head) => head.valueNorm);
      expect(Math.abs(value - measured[valueNorm])).toBeLessThan(0.02);
      expect(value).toBeLessThan(0.5 * mean((head) => head.valueNormOthers));
      expect(mean((head) => head.keyNorm)).toBeGreaterThan(0);
    }
  });
});

describe('sink-delim-2l with a massive activation planted at the delimiter', () => {
  const delimiter = 66;
  let found: SinksDocument;

  beforeAll(async () => {
    const model = await openSample('sink-delim-2l', plant(delimiter, 54, 150));
    found = await findSinks(model.runner, freshPrompts('sink-delim-2l'));
    await model.close();
  });

  it('shows its dimension, found by both rules, in every layer', () => {
    expect(found.sinkDims).toEqual([54]);
    expect(found.dimensions).toMatchObject({ source: 'found', rejected: [] });
    expect(found.dimensions.found[0]).toMatchObject({ dim: 54, prompts: 32, layers: [0, 1, 2] });
    expect(found.dimensions.found[0].rules).toEqual(['absolute', 'scaled']);
    expect(found.dimensions.found[0].strongest.value).toBeGreaterThan(140);
  });

  it('calls the delimiter, and nothing else, a sink by hidden state', () => {
    for (const { sinks, tokens } of found.prompts) {
      const hidden = sinks.filter(({ byHiddenState }) => byHiddenState !== null);
      expect(hidden.map(({ position }) => position)).toEqual([tokens.indexOf('.')]);
      expect(hidden[0].byHiddenState).toMatchObject({ dims: [54], firstLayer: 0 });
      expect(hidden[0].byHiddenState!.phi).toBeGreaterThan(7.5);
      expect(hidden[0].valueNorm).toBeGreaterThan(0);
    }
    const { both, hiddenStateOnly } = found.agreement!;
    expect(both + hiddenStateOnly).toBe(32);
  });
});
