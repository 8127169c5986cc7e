import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runAll, type RowResult, type RunRequest, type Site } from '../../src/instrument/runner.ts';
import { readGolden } from '../helpers/golden.ts';
import { checkpointFolder, openFolder, variantFolder, type Opened } from '../helpers/models.ts';
import { Errors, maxAbs } from '../helpers/numbers.ts';

const MODELS = [
  { name: 'ioi-4l (no mask input)', golden: 'ioi-4l', folder: checkpointFolder('ioi-4l') },
  { name: 'llama-tiny (attention_mask)', golden: 'llama-tiny', folder: checkpointFolder('llama-tiny') },
  { name: 'optimum-past (mask, positions, cache)', golden: 'ioi-4l', folder: variantFolder('optimum-past') },
  {
    name: 'sink-delim-2l (no mask input)',
    golden: 'sink-delim-2l',
    folder: checkpointFolder('sink-delim-2l'),
  },
];
const SITES: Site[] = [
  'q',
  'k',
  'v',
  'scores',
  'pattern',
  'z',
  'result',
  'resid_pre',
  'resid_mid',
  'resid_post',
];

describe.each(MODELS)('$name: prompts in one batch', ({ golden: goldenName, folder }) => {
  const golden = readGolden(goldenName);
  const long = golden.prompts[3];
  // Lengths close enough to share a batch, in an order that sorting by length changes.
  const prompts = [
    long.slice(0, 19),
    long,
    golden.prompts[1].slice(0, 12),
    long.slice(0, 21),
    golden.prompts[0].slice(0, 11),
  ];
  let model: Opened;
  beforeAll(async () => void (model = await openFolder(folder)));
  afterAll(() => model.closeAll());

  const request = (rows: readonly (readonly number[])[]): RunRequest => ({
    rows: rows.map((ids) => ({ ids })),
    taps: SITES.map((site) => ({ site })),
    logits: 'all',
    summaries: true,
  });

  test('padded together, each gives what it gives alone', async () => {
    const steps: number[] = [];
    const together = await runAll(model.runner, request(prompts), {
      onProgress: (done) => void steps.push(done),
    });
    expect(steps.length).toBeLessThan(prompts.length);
    expect(steps.at(-1)).toBe(prompts.length);
    const errors = new Errors();
    for (const [i, ids] of prompts.entries()) {
      const [alone] = await runAll(model.runner, request([ids]));
      expect(together[i].index).toBe(i);
      expect(together[i].ids).toEqual(ids);
      compare(together[i], alone, model, errors);
    }
    console.info(`batching, ${goldenName}: ${errors.text}`);
    expect(errors.worst).toBeLessThanOrEqual(1e-5);
  });

  test('each row is handed over once, with the index it has in the request', async () => {
    const seen: number[] = [];
    await model.runner.run(
      { rows: prompts.map((ids) => ({ ids })), logits: 'none' },
      (row) => void seen.push(row.index),
    );
    expect(seen.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4]);
  });
});

function compare(batched: RowResult, alone: RowResult, model: Opened, errors: Errors): void {
  errors.add('logits', maxAbs(batched.logits, alone.logits));
  for (let layer = 0; layer < model.runner.shape.layers; layer++) {
    for (const site of SITES) {
      const [left, right] = [batched.tap(site, layer), alone.tap(site, layer)];
      expect(left.dims).toEqual(right.dims);
      // Forbidden scores are huge numbers of the exporter's choice; the pattern says what they do.
      const value = (x: number): number => (site === 'scores' && x < -1e4 ? -1e4 : x);
      errors.add(site.replace(/_.*/, ''), maxAbs(left.data.map(value), right.data.map(value)));
    }
    const [left, right] = [batched.summaries(), alone.summaries()];
    for (const key of Object.keys(left) as (keyof typeof left)[])
      errors.add(key, maxAbs(left[key][layer], right[key][layer]));
  }
}

describe('requests', () => {
  const golden = readGolden('ioi-4l');
  const [ids] = golden.prompts;
  let model: Opened;
  beforeAll(async () => void (model = await openFolder(checkpointFolder('ioi-4l'))));
  afterAll(() => model.closeAll());
  const run = (request: RunRequest): Promise<RowResult[]> => runAll(model.runner, request);

  test('only what was asked for can be read', async () => {
    const [row] = await run({ rows: [{ ids }], taps: [{ site: 'z', layers: [1] }], logits: 'none' });
    expect(row.tap('z', 1).dims).toEqual([8, ids.length, 16]);
    expect(row.logits.length).toBe(0);
    expect(() => row.tap('z', 0)).toThrow(expect.objectContaining({ code: 'not-captured' }));
    expect(() => row.tap('pattern', 1)).toThrow(expect.objectContaining({ code: 'not-captured' }));
    expect(() => row.summaries()).toThrow(expect.objectContaining({ code: 'not-captured' }));
  });

  test.each([
    ['empty-prompt', { rows: [{ ids: [] }] }],
    ['too-long', { rows: [{ ids: new Array<number>(49).fill(5) }] }],
    ['bad-token', { rows: [{ ids: [0, 342] }] }],
    ['bad-token', { rows: [{ ids: [0, -1] }] }],
    ['bad-token', { rows: [{ ids: [0, 1.5] }] }],
    ['no-layer', { rows: [{ ids }], taps: [{ site: 'z' as const, layers: [4] }] }],
  ])('%s is refused in one sentence', async (code, request) => {
    await expect(run(request)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(/^[^\n]+\.$/) as string,
    });
  });

  test('a prompt as long as the position table runs', async () => {
    const [row] = await run({ rows: [{ ids: Array.from({ length: 48 }, (_, i) => (i * 7) % 342) }] });
    expect(row.logits.every(Number.isFinite)).toBe(true);
  });

  test('a cancelled request ends with `cancelled`', async () => {
    const controller = new AbortController();
    // Too different in length to share a batch.
    const rows = [24, 12, 4].map((length) => ({ ids: golden.prompts[3].slice(0, length) }));
    const seen: number[] = [];
    const options = { signal: controller.signal, onProgress: () => controller.abort() };
    const done = model.runner.run({ rows }, (row) => void seen.push(row.index), options);
    await expect(done).rejects.toMatchObject({ code: 'cancelled', exit: 1 });
    expect(seen.length).toBeGreaterThan(0);
    expect(seen.length).toBeLessThan(rows.length);
  });
});
