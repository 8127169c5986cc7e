import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { act } from '../../src/analysis/calibration/act.ts';
import { redistribute } from '../../src/analysis/calibration/redistribute.ts';
import { searchAct } from '../../src/analysis/calibration/search.ts';
import type { LabelledPrompt } from '../../src/analysis/calibration/score.ts';
import { redistributed } from '../../src/analysis/calibration/var.ts';
import { phi, sinksByHiddenState } from '../../src/analysis/sinks/by-hidden-state.ts';
import { runAll, type Edit, type RowResult } from '../../src/instrument/runner.ts';
import type { OpenModel } from '../../src/workbench/open.ts';
import { freshPrompts, openSample, plant } from '../sinks/sample.ts';
import { headOf } from './patterns.ts';

const prompts = freshPrompts('sink-delim-2l').slice(0, 12);

const largestDifference = (a: Float32Array, b: Float32Array): number =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i])), 0);

const changedHeads = (before: RowResult, after: RowResult, layer: number): number[] =>
  [0, 1, 2, 3].filter(
    (head) =>
      largestDifference(
        headOf(before.tap('pattern', layer), head),
        headOf(after.tap('pattern', layer), head),
      ) > 1e-6,
  );

describe('ACT in a model', () => {
  let model: OpenModel;
  beforeAll(async () => {
    model = await openSample('sink-delim-2l');
  });
  afterAll(() => model.close());

  it.each([
    [0, 1, { alpha: 5 }, 0.4],
    [0, 0, { absolute: 0.1 }, 0.4],
    [1, 2, { alpha: 2 }, 0],
  ] as const)(
    'does to L%dH%d what the reference does, and to no other head of the layer',
    async (layer, head, rule, beta) => {
      const edit: Edit = { kind: 'act', layer, head, ...rule, beta };
      const rows = prompts
        .slice(0, 3)
        .flatMap(({ ids }) => [{ ids }, { ids: ids.slice(0, 30), edits: [edit] }]);
      const taps = [{ site: 'pattern' as const, layers: [layer] }];
      const results = await runAll(model.runner, { rows, taps, allowNoEffect: true });
      for (let i = 0; i < results.length; i += 2) {
        const [plain] = await runAll(model.runner, { rows: [{ ids: rows[i + 1].ids }], taps });
        const reference = act(headOf(plain.tap('pattern', layer), head), 30, { ...rule, beta });
        expect(reference.sinks.length).toBeGreaterThan(0);
        const edited = headOf(results[i + 1].tap('pattern', layer), head);
        expect(largestDifference(edited, reference.pattern)).toBeLessThan(1e-6);
        expect(changedHeads(plain, results[i + 1], layer)).toEqual([head]);
      }
    },
  );
});

describe('VAR in a model', () => {
  // Token 66 is the delimiter; with a massive activation it is a sink by hidden state.
  const settings = { dims: [54], tau: 4, rho: 0.8, summ: 0.1, p: 0.6, focus: [1, 12] as const };
  let model: OpenModel;
  beforeAll(async () => {
    model = await openSample('sink-delim-2l', plant(66, 54, 150));
  });
  afterAll(() => model.close());

  it.each([0, 1])('does to every head of layer %d what the reference does', async (layer) => {
    const edits = [0, 1, 2, 3].map((head): Edit => ({ kind: 'var', layer, head, ...settings }));
    let pairs = 0;
    for (const { ids } of prompts.slice(0, 6)) {
      const taps = [
        { site: 'pattern' as const, layers: [layer] },
        { site: 'resid_pre' as const, layers: [layer] },
      ];
      const request = { rows: [{ ids }, { ids, edits }], taps, allowNoEffect: true };
      const [plain, edited] = await runAll(model.runner, request);
      const sinks = sinksByHiddenState(phi(plain.tap('resid_pre', layer), settings.dims), settings.tau);
      expect(sinks).toEqual([ids.indexOf(66)]);
      for (let head = 0; head < 4; head++) {
        const before = headOf(plain.tap('pattern', layer), head);
        const reference = redistributed(before, ids.length, sinks, settings.focus, settings);
        pairs += reference.imageCentric.length;
        const after = headOf(edited.tap('pattern', layer), head);
        expect(largestDifference(after, reference.pattern)).toBeLessThan(1e-6);
      }
    }
    expect(pairs).toBeGreaterThan(10);
  });

  it('is shown by redistribute: pairs, span attention and sinks as the reference counts them', async () => {
    const { ids } = prompts[0];
    const found = await redistribute(model.runner, ids, settings);
    expect(found.notes[0]).toContain('all of them');
    expect(found.sinks).toEqual([0, 1].map((layer) => ({ layer, span: [ids.indexOf(66)], text: [] })));
    const [plain] = await runAll(model.runner, { rows: [{ ids }], taps: [{ site: 'pattern' }] });
    expect(found.before.map(({ id }) => id)).toEqual(
      [...plain.logits.keys()].sort((a, b) => plain.logits[b] - plain.logits[a]).slice(0, 10),
    );
    const sink = [ids.indexOf(66)];
    for (const head of found.heads) {
      const before = headOf(plain.tap('pattern', head.layer), head.head);
      const reference = redistributed(before, ids.length, sink, settings.focus, settings);
      expect(head.imageCentric).toBe(reference.imageCentric.length);
      if (head.layer > 0) continue;
      // In the first layer nothing upstream has changed, so the reference gives the edited attention too.
      let after = 0;
      for (let q = 12; q < ids.length; q++)
        for (let k = 1; k < 12; k++) after += reference.pattern[q * ids.length + k];
      expect(head.focusAfter).toBeCloseTo(after / (ids.length - 12), 5);
    }
  });
});

describe('the ACT head search in a model', () => {
  // The next token of unseen text; back-copying after a trigger is what the sink heads are for.
  const examples = prompts.flatMap(({ ids }): LabelledPrompt[] =>
    [20, 27, 33, 40].map((length) => ({ ids: ids.slice(0, length), answers: [ids[length]] })),
  );
  let model: OpenModel;
  beforeAll(async () => {
    model = await openSample('sink-delim-2l');
  });
  afterAll(() => model.close());

  it('finds the gains that calibrating by hand gives', async () => {
    const searched: LabelledPrompt[] = [];
    const run: OpenModel['runner']['run'] = (request, onRow, options) => {
      // The only request with summaries is the baseline of the search examples.
      if (request.summaries)
        for (const { ids } of request.rows)
          searched.push(examples.find((one) => one.ids.join() === ids.join())!);
      return model.runner.run(request, onRow, options);
    };
    const found = await searchAct({ ...model.runner, run }, examples, { metric: 'logprob', seed: 2 });
    expect(found.heads).toHaveLength(8);
    expect(found.examples).toEqual({ search: 24, heldOut: 24 });
    expect(searched).toHaveLength(24);

    // Reference: each head's pattern is replaced by one calibrated outside the model.
    const logprob = ({ logits }: RowResult, answer: number): number =>
      logits[answer] - Math.log(logits.reduce((sum, x) => sum + Math.exp(x), 0));
    const plain = await runAll(model.runner, {
      rows: searched.map(({ ids }) => ({ ids })),
      taps: [{ site: 'pattern' }],
    });
    for (const { layer, head, logprobGain, examplesWithSinks } of found.heads) {
      const calibrated = plain.map((row) => act(headOf(row.tap('pattern', layer), head), row.ids.length));
      expect(examplesWithSinks).toBe(calibrated.filter(({ sinks }) => sinks.length > 0).length);
      const replaced = await runAll(model.runner, {
        rows: searched.map(({ ids }, i) => ({
          ids,
          edits: [{ kind: 'pattern', layer, head, scale: 0, add: calibrated[i].pattern }],
        })),
        allowNoEffect: true,
      });
      const gains = searched.map(
        ({ answers }, i) => logprob(replaced[i], answers[0]) - logprob(plain[i], answers[0]),
      );
      const mean = gains.reduce((a, b) => a + b, 0) / gains.length;
      expect(Math.abs(logprobGain - mean)).toBeLessThan(1e-5);
    }
    expect(found.heads.some(({ logprobGain }) => Math.abs(logprobGain) > 1e-3)).toBe(true);
    const baseline =
      plain.reduce((sum, row, i) => sum + logprob(row, searched[i].answers[0]), 0) / plain.length;
    expect(found.baseline.logprob).toBeCloseTo(baseline, 5);
  });
});
