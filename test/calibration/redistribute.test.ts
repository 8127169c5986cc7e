import { describe, expect, it } from 'vitest';
import { redistribute } from '../../src/analysis/calibration/redistribute.ts';
import {
  runAll,
  type Edit,
  type ModelShape,
  type RowResult,
  type RunRequest,
  type Runner,
} from '../../src/instrument/runner.ts';
import { checkpointFolder, openFolder } from '../helpers/models.ts';

const TOKENS = 6;
const WIDTH = 100;

/** Rows of a [2, T, T] pattern whose queries after the span are written out; the other rows look at position 0. */
function patterns(last: number[][]): Float32Array {
  const out = new Float32Array(2 * TOKENS * TOKENS);
  for (let i = 0; i < out.length; i += TOKENS) out[i] = 1;
  last.forEach((row, head) => out.set(row, head * TOKENS * TOKENS + 5 * TOKENS));
  return out;
}

const before = patterns([
  [0.2, 0.2, 0.3, 0.3, 0, 0],
  [0.9, 0.05, 0, 0.05, 0, 0],
]);
const after = patterns([
  [0.1, 0.1, 0.4, 0.4, 0, 0],
  [0.9, 0.05, 0, 0.05, 0, 0],
]);

/** A one-layer model with a massive activation in dimension 9 of the tokens at `sinks`. */
function runnerWith(sinks: number[]): Runner & { requests: RunRequest[] } {
  const shape: ModelShape = {
    layers: 1,
    heads: [2],
    kvHeads: [2],
    headDim: [4],
    dModel: WIDTH,
    vocab: 3,
    causal: [true],
    sites: [['pattern', 'resid_pre']],
  };
  const requests: RunRequest[] = [];
  const resid = Float32Array.from({ length: TOKENS * WIDTH }, (_, i) => Math.cos(i));
  for (const k of sinks) resid[k * WIDTH + 9] = 200;
  const run: Runner['run'] = (request, onRow) => {
    requests.push(request);
    request.rows.forEach(({ ids, edits = [] }, index) => {
      const edited = edits.length > 0;
      const tap: RowResult['tap'] = (site) =>
        site === 'pattern'
          ? { dims: [2, TOKENS, TOKENS], data: edited ? after : before }
          : { dims: [TOKENS, WIDTH], data: resid };
      const logits = Float32Array.from(edited ? [0, 1, 0] : [1, 0, 0]);
      onRow({ index, ids, logits, tap, changes: edits.map(() => 0) } as unknown as RowResult);
    });
    return Promise.resolve();
  };
  const unused = (): never => {
    throw new Error('not needed');
  };
  return { shape, run, unembed: unused, unembedFrozen: unused, outputWeights: unused, requests };
}

const ids = [0, 1, 2, 3, 4, 5];
const settings = { focus: [1, 5], dims: [9] } as const;

describe('redistributing attention into a focus span', () => {
  it('shows predictions, span attention and image-centric pairs before and after', async () => {
    const found = await redistribute(runnerWith([0, 1]), ids, settings);
    expect(found.before.map(({ id }) => id)).toEqual([0, 1, 2]);
    expect(found.after[0].id).toBe(1);
    expect(found.sinks).toEqual([{ layer: 0, span: [1], text: [0] }]);
    const [centric, other] = found.heads;
    expect(centric).toMatchObject({ name: 'L0H0', imageCentric: 1, queries: 1 });
    expect(centric.focusBefore).toBeCloseTo(0.8, 6);
    expect(centric.focusAfter).toBeCloseTo(0.9, 6);
    // Too little attention to the span.
    expect(other).toMatchObject({ name: 'L0H1', imageCentric: 0 });
    expect(found.imageCentric).toBe(1);
    const p = Math.E / (Math.E + 2);
    const q = 1 / (Math.E + 2);
    expect(found.kl).toBeCloseTo((p - q) * 1, 6);
  });

  it('asks for the published settings on every head, tau within the model’s reach', async () => {
    const runner = runnerWith([0, 1]);
    const found = await redistribute(runner, ids, settings);
    const [plain, edited] = runner.requests[0].rows;
    expect(plain.edits).toBeUndefined();
    const edit: Edit = {
      ...{ kind: 'var', layer: 0, head: 0, dims: [9], tau: 5, rho: 0.5, summ: 0.2, p: 0.6 },
      focus: [1, 5],
    };
    expect(edited.edits).toEqual([edit, { ...edit, head: 1 }]);
    expect(runner.requests[0].allowNoEffect).toBe(true);
    expect(found.notes.join()).toContain('threshold on φ was 5.0');
  });

  it('reads the same off a head a run as off all heads at once', async () => {
    const model = await openFolder(checkpointFolder('sink-3l'));
    try {
      const prompt = [0, ...Array.from({ length: 19 }, (_, i) => 3 + ((i * 7) % 40))];
      const [row] = await runAll(model.runner, { rows: [{ ids: prompt }], summaries: true });
      const most = row.summaries().maxNormalised[2];
      const dims = [most.indexOf(Math.max(...most))];
      // a threshold low enough for tokens inside and behind the span
      const chosen = { focus: [10, 17] as const, dims, tau: 2, rho: 1, summ: 0.02, layers: [0, 1, 2] };
      const whole = await redistribute(model.runner, prompt, chosen);
      expect(whole.imageCentric).toBeGreaterThan(0);
      expect(whole.kl).toBeGreaterThan(1e-6);
      const squares = 4 * 2 * prompt.length ** 2;
      const stream = 4 * 2 * prompt.length * model.runner.shape.dModel;
      for (const [captureBytes, runs] of [
        [3 * squares + stream, 6], // three heads of four
        [1, 12],
      ]) {
        const heads: number[] = [];
        const runner: Runner = {
          ...model.runner,
          run(request, onRow, options) {
            heads.push(request.taps!.reduce((sum, tap) => sum + (tap.heads?.length ?? 0), 0));
            return model.runner.run(request, onRow, options);
          },
        };
        const apart = await redistribute(runner, prompt, chosen, { captureBytes });
        expect(heads).toHaveLength(runs);
        expect(heads.reduce((a, b) => a + b)).toBe(12);
        expect(Math.max(...heads) * squares).toBeLessThanOrEqual(Math.max(captureBytes - stream, squares));
        expect(apart.sinks).toEqual(whole.sinks);
        expect(apart.kl).toBeCloseTo(whole.kl, 6);
        apart.heads.forEach((head, i) => {
          const { focusBefore, focusAfter, ...rest } = whole.heads[i];
          expect(head).toMatchObject(rest);
          expect(head.focusBefore).toBeCloseTo(focusBefore, 6);
          expect(head.focusAfter).toBeCloseTo(focusAfter, 6);
        });
      }
    } finally {
      await model.closeAll();
    }
  });

  it('says why nothing changed', async () => {
    const runner = runnerWith([0, 1]);
    const none = await redistribute(runner, ids, { ...settings, dims: [] });
    expect(runner.requests[0].rows).toHaveLength(1);
    expect(none.after).toEqual(none.before);
    expect(none.kl).toBe(0);
    expect(none.notes.join()).toContain('no sink dimensions');
    const outside = await redistribute(runnerWith([0]), ids, settings);
    expect(outside.notes.join()).toContain('sink inside the focus span');
    const unlit = await redistribute(runnerWith([1]), ids, { ...settings, summ: 0.95 });
    expect(unlit.imageCentric).toBe(0);
    expect(unlit.notes.join()).toContain('No head attends enough');
  });

  it('refuses a span that is none', async () => {
    const run = redistribute(runnerWith([]), ids, { ...settings, focus: [1, 6] });
    await expect(run).rejects.toThrow('at least one token after it');
  });
});
