import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runAll, type Edit, type Row, type RowResult, type RunRequest } from '../../src/instrument/runner.ts';
import { readGolden } from '../helpers/golden.ts';
import { checkpointFolder, openFolder, type Opened } from '../helpers/models.ts';
import { maxAbs } from '../helpers/numbers.ts';

const LAYER = 1;
const golden = readGolden('ioi-4l');
const [ids] = golden.prompts;
const t = ids.length;
const lower = Float32Array.from({ length: t * t }, (_, i) => (i % t <= Math.floor(i / t) ? 1 : 0));
const VAR = { dims: [3, 40], tau: 1, rho: 1, summ: 0, focus: [1, 8] as const };

/** One edit of every kind, of head 2 of the layer. */
const edits: { name: string; edit: Edit }[] = (
  [
    { kind: 'z', scale: 0 },
    { kind: 'pattern', scale: 0.5, add: lower.map((x, i) => (x * 0.5) / (1 + Math.floor(i / t))) },
    { kind: 'mask', allowed: Uint8Array.from(lower, (_, i) => (i % t === 2 ? 0 : 1)) },
    { kind: 'act', absolute: 0.1, beta: 0.4 },
    { kind: 'var', ...VAR, p: 0.6 },
  ] as const
).map((edit) => ({ name: edit.kind, edit: { ...edit, layer: LAYER, head: 2 } }));
const patternEdits = edits.filter(({ name }) => name !== 'z');

describe('properties of edits', () => {
  let model: Opened;
  let before: RowResult;
  const taps = [{ site: 'pattern' as const }, { site: 'z' as const }, { site: 'resid_pre' as const }];
  const run = (rows: readonly Row[], more: Partial<RunRequest> = {}): Promise<RowResult[]> =>
    runAll(model.runner, { rows, taps, ...more });
  const one = async (...list: Edit[]): Promise<RowResult> => (await run([{ ids, edits: list }]))[0];
  beforeAll(async () => {
    model = await openFolder(checkpointFolder('ioi-4l'));
    before = (await run([{ ids }]))[0];
  });
  afterAll(() => model.closeAll());

  const head = (row: RowResult, site: 'pattern' | 'z', layer: number, number: number): Float32Array => {
    const { dims, data } = row.tap(site, layer);
    const size = dims[1] * dims[2];
    return data.slice(number * size, (number + 1) * size);
  };

  test.each(patternEdits)('$name: rows still sum to 1 and the future stays exactly 0', async ({ edit }) => {
    const pattern = head(await one(edit), 'pattern', LAYER, edit.head);
    for (let q = 0; q < t; q++) {
      const row = pattern.subarray(q * t, (q + 1) * t);
      expect(row.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
      expect(row.subarray(q + 1).every((a) => a === 0)).toBe(true);
      expect(row.every((a) => a >= 0)).toBe(true);
    }
  });

  test.each(edits)(
    '$name: other heads of the layer and all earlier layers stay as they are, bit by bit',
    async ({ edit }) => {
      const row = await one(edit);
      for (let other = 0; other < 8; other++) {
        const site = edit.kind === 'z' ? 'z' : 'pattern';
        const changed = maxAbs(head(row, site, LAYER, other), head(before, site, LAYER, other));
        if (other === edit.head) expect(changed).toBeGreaterThan(1e-3);
        else expect(changed).toBe(0);
        expect(maxAbs(head(row, 'z', LAYER - 1, other), head(before, 'z', LAYER - 1, other))).toBe(0);
      }
      expect(maxAbs(row.tap('resid_pre', LAYER).data, before.tap('resid_pre', LAYER).data)).toBe(0);
      expect(
        maxAbs(row.tap('resid_pre', LAYER + 1).data, before.tap('resid_pre', LAYER + 1).data),
      ).toBeGreaterThan(1e-5);
    },
  );

  test.each(edits)('$name: the change that is reported is the change that was made', async ({ edit }) => {
    const row = await one(edit);
    const site = edit.kind === 'z' ? 'z' : 'pattern';
    const made = maxAbs(head(row, site, LAYER, edit.head), head(before, site, LAYER, edit.head));
    expect(row.changes).toHaveLength(1);
    expect(row.changes[0]).toBeCloseTo(made, 5);
  });

  test('ACT with β = 1 and VAR with p = 1 change nothing beyond rounding', async () => {
    const act = await one({ kind: 'act', layer: LAYER, head: 2, absolute: 0.1, beta: 1 }).catch(noEffect);
    const p1 = await one({ kind: 'var', layer: LAYER, head: 2, ...VAR, p: 1 }).catch(noEffect);
    for (const row of [act, p1])
      if (row)
        expect(maxAbs(head(row, 'pattern', LAYER, 2), head(before, 'pattern', LAYER, 2))).toBeLessThan(1e-6);
  });

  test.each<[string, Edit]>([
    ['z times 1', { kind: 'z', layer: LAYER, head: 2, scale: 1 }],
    [
      'a mask that allows all',
      { kind: 'mask', layer: LAYER, head: 2, allowed: new Uint8Array(t * t).fill(1) },
    ],
    ['ACT without a sink', { kind: 'act', layer: LAYER, head: 2, absolute: 2, beta: 0.4 }],
    ['VAR without a sink', { kind: 'var', layer: LAYER, head: 2, ...VAR, tau: 1e6, p: 0.6 }],
    [
      'VAR without a query after the span',
      { kind: 'var', layer: LAYER, head: 2, ...VAR, p: 0.6, focus: [1, t] },
    ],
    ['z at no position', { kind: 'z', layer: LAYER, head: 2, scale: 0, positions: [] }],
  ])('%s is an error unless it is allowed', async (_, edit) => {
    const failed = one(edit);
    await expect(failed).rejects.toMatchObject({ code: 'no-effect', exit: 1 });
    await expect(failed).rejects.toThrow(/L1H2/);
    const [row] = await run([{ ids, edits: [edit] }], { allowNoEffect: true });
    expect(row.changes[0]).toBeLessThan(1e-6);
    expect(maxAbs(row.logits, before.logits)).toBeLessThan(1e-5);
  });

  test('the edit without effect is named among those with one', async () => {
    const idle: Edit = { kind: 'z', layer: 2, head: 5, scale: 1 };
    await expect(one(edits[0].edit, idle)).rejects.toThrow(/z edit of L2H5 changed nothing in prompt 1/);
  });

  test('edits of the same head follow one another', async () => {
    const add = Float32Array.from({ length: 16 }, (_, i) => i / 16);
    const twice = await one(
      { kind: 'z', layer: LAYER, head: 2, scale: 2, add },
      { kind: 'z', layer: LAYER, head: 2, scale: 0.5, positions: [3] },
    );
    const want = head(before, 'z', LAYER, 2).map(
      (x, i) => (2 * x + add[i % 16]) * (Math.floor(i / 16) === 3 ? 0.5 : 1),
    );
    expect(maxAbs(head(twice, 'z', LAYER, 2), want)).toBeLessThan(1e-6);
  });

  test('padding does not reach an edit', async () => {
    const short = ids.slice(0, 13);
    const act: Edit = { kind: 'act', layer: LAYER, head: 2, alpha: 1.3, beta: 0.4 };
    const mean: Edit = { kind: 'z', layer: LAYER, head: 2, scale: 0, add: new Float32Array(16).fill(0.3) };
    const rows: Row[] = [{ ids }, { ids: short, edits: [act] }, { ids: short, edits: [mean] }];
    const together = await run(rows);
    for (const i of [1, 2]) {
      const [alone] = await run([rows[i]]);
      expect(together[i].changes[0]).toBeCloseTo(alone.changes[0], 6);
      expect(maxAbs(together[i].tap('pattern', LAYER).data, alone.tap('pattern', LAYER).data)).toBeLessThan(
        1e-6,
      );
      expect(maxAbs(together[i].logits, alone.logits)).toBeLessThan(1e-5);
    }
    expect(maxAbs(together[0].logits, before.logits)).toBeLessThan(1e-5);
  });

  const square = new Float32Array(t * t);
  test.each<[string, Edit | Edit[]]>([
    ['a head beyond the layer', { kind: 'z', layer: 1, head: 8, scale: 0 }],
    ['a negative head', { kind: 'z', layer: 1, head: -1, scale: 0 }],
    ['half a head', { kind: 'z', layer: 1, head: 1.5, scale: 0 }],
    ['a layer beyond the model', { kind: 'z', layer: 4, head: 0, scale: 0 }],
    ['half a layer', { kind: 'z', layer: 0.5, head: 0, scale: 0 }],
    ['values of the wrong size', { kind: 'z', layer: 1, head: 0, scale: 0, add: new Float32Array(15) }],
    ['a position outside the prompt', { kind: 'z', layer: 1, head: 0, scale: 0, positions: [t] }],
    ['half a position', { kind: 'z', layer: 1, head: 0, scale: 0, positions: [0.5] }],
    [
      'a pattern of the wrong size',
      { kind: 'pattern', layer: 1, head: 0, scale: 0, add: new Float32Array(9) },
    ],
    [
      'a pattern row outside the prompt',
      { kind: 'pattern', layer: 1, head: 0, scale: 0, add: square, positions: [-1] },
    ],
    ['a mask of the wrong size', { kind: 'mask', layer: 1, head: 0, allowed: new Uint8Array(t) }],
    ['a focus beyond the prompt', { kind: 'var', layer: 1, head: 0, ...VAR, p: 0.6, focus: [1, t + 1] }],
    ['an empty focus', { kind: 'var', layer: 1, head: 0, ...VAR, p: 0.6, focus: [3, 3] }],
    ['a dimension beyond the stream', { kind: 'var', layer: 1, head: 0, ...VAR, p: 0.6, dims: [128] }],
    ['a strength that is no number', { kind: 'z', layer: 1, head: 0, scale: NaN }],
    ['a threshold that is no number', { kind: 'act', layer: 1, head: 0, absolute: NaN, beta: 0.4 }],
    [
      'two VAR settings in one prompt',
      [
        { kind: 'var', layer: 1, head: 0, ...VAR, p: 0.6 },
        { kind: 'var', layer: 1, head: 1, ...VAR, p: 0.7 },
      ],
    ],
  ])('%s is a bad edit', async (_, edit) => {
    const failed = one(...[edit].flat());
    await expect(failed).rejects.toMatchObject({ code: 'bad-edit', exit: 2 });
    await expect(failed).rejects.toThrow(/^[^\n]+\.$/);
  });
});

/** An identity may round to exactly the same numbers; then the program says so. */
function noEffect(error: unknown): undefined {
  expect(error).toMatchObject({ code: 'no-effect' });
}
