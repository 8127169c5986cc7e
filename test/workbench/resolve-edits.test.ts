import { afterAll, beforeAll, expect, it } from 'vitest';
import { runAll, type RunRequest, type Runner } from '../../src/instrument/runner.ts';
import type { EditSpec } from '../../src/workbench/session/schema.ts';
import { resolveEdits } from '../../src/workbench/engine/resolve-edits.ts';
import { checkpointFolder, openFolder, type Opened } from '../helpers/models.ts';
import { maxAbs } from '../helpers/numbers.ts';

let model: Opened;
beforeAll(async () => {
  model = await openFolder(checkpointFolder('ioi-4l'));
});
afterAll(() => model.closeAll());

const ids = [0, 5, 9, 4, 30, 8];
const same = [
  [0, 7, 7, 12, 3, 2],
  [0, 1, 2, 3, 4, 5],
  [0, 9, 8, 7, 6, 5],
];
const other = [
  [0, 7, 7],
  [0, 1, 2, 3],
];
const ablate = (layer: number, head: number): EditSpec => ({
  kind: 'ablate',
  head: { layer, head },
  mode: 'mean',
});

function watched(): Runner & { requests: RunRequest[] } {
  const requests: RunRequest[] = [];
  return {
    ...model.runner,
    requests,
    run(request, onRow, options) {
      requests.push(request);
      return model.runner.run(request, onRow, options);
    },
  };
}

/** z of a head on a prompt, [T, headDim]. */
async function zOf(prompt: readonly number[], layer: number, head: number): Promise<Float32Array> {
  const taps = [{ site: 'z' as const, layers: [layer] }];
  const [row] = await runAll(model.runner, { rows: [{ ids: prompt }], taps, logits: 'none' });
  const { data, dims } = row.tap('z', layer);
  return data.slice(head * dims[1] * dims[2], (head + 1) * dims[1] * dims[2]);
}

it.each([
  ['position by position', same, true],
  ['over all positions', other, false],
])('mean ablation averages the references %s, a layer at a time', async (_what, references, aligned) => {
  const runner = watched();
  const heads = [
    [2, 1],
    [0, 3],
    [2, 6],
  ] as const;
  const found = await resolveEdits(
    runner,
    heads.map(([layer, head]) => ablate(layer, head)),
    { ids, prompts: {}, references },
  );
  // two layers, whatever heads of them; each run asks for one
  expect(runner.requests).toHaveLength(2);
  expect(runner.requests.map(({ taps }) => taps![0].layers)).toEqual([[2], [0]]);
  const size = model.runner.shape.headDim[0];
  for (const [i, [layer, head]] of heads.entries()) {
    const { edit } = found[i];
    const sum = new Float64Array(aligned ? ids.length * size : size);
    let count = 0;
    for (const prompt of references) {
      (await zOf(prompt, layer, head)).forEach((x, n) => (sum[aligned ? n : n % size] += x));
      count += aligned ? 1 : prompt.length;
    }
    if (edit.kind !== 'z' || !edit.add) throw new Error('a mean is put in');
    expect(edit.add.length).toBe(sum.length);
    expect(
      maxAbs(
        edit.add,
        sum.map((x) => x / count),
      ),
    ).toBeLessThan(1e-6);
  }
});

it('patching reads each layer and prompt once', async () => {
  const runner = watched();
  const [from] = same;
  const specs = [3, 5].map((head) => ({ kind: 'patch' as const, head: { layer: 1, head }, from: 'a' }));
  const found = await resolveEdits(runner, specs, { ids, prompts: { a: from }, references: [] });
  expect(runner.requests).toHaveLength(1);
  for (const [i, head] of [3, 5].entries()) {
    const { edit } = found[i];
    if (edit.kind !== 'z' || !edit.add) throw new Error('an activation is put in');
    expect(maxAbs(edit.add, await zOf(from, 1, head))).toBe(0);
  }
});

it('of prompts whose layers are large, no more layers are kept than captures may take', async () => {
  // 8 heads × 2^20 numbers a token: one layer of 6 tokens is more than 256 MB, as far as the shape says
  const shape = { ...model.runner.shape, headDim: model.runner.shape.headDim.map(() => 2 ** 20) };
  const runner = { ...watched(), shape };
  const specs = [0, 1, 0].map((layer) => ({ kind: 'patch' as const, head: { layer, head: 2 }, from: 'a' }));
  const found = await resolveEdits(runner, specs, { ids, prompts: { a: same[0] }, references: [] });
  expect(runner.requests.map(({ taps }) => taps![0].layers)).toEqual([[0], [1], [0]]);
  expect(found[2].edit).toEqual(found[0].edit);
});
