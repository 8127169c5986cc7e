import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { instrument } from '../../src/instrument/instrument.ts';
import { runAll, type Row, type RowResult, type Site } from '../../src/instrument/runner.ts';
import { valueInfo } from '../../src/onnx/build.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { openModel } from '../../src/workbench/open.ts';
import { checkpointFolder, inRepository, inspectFolder, openFolder, type Opened } from '../helpers/models.ts';

const SITES: Site[] = ['z', 'result', 'resid_pre', 'resid_mid', 'resid_post'];
const POSITIONS = [4, 0, 2];

/** The entries of a tensor's axis but one at the positions, in their order. */
function picked({ dims, data }: { dims: readonly number[]; data: Float32Array }): number[] {
  const [T, width] = dims.slice(-2);
  return Array.from({ length: data.length / (T * width) }, (_, group) =>
    POSITIONS.map((t) => [...data.subarray((group * T + t) * width, (group * T + t + 1) * width)]),
  ).flat(2);
}

describe.each([
  ['ioi-4l', checkpointFolder('ioi-4l'), undefined],
  ['ioi-4l in blocks of queries', checkpointFolder('ioi-4l'), 3],
  ['llama-tiny', checkpointFolder('llama-tiny'), undefined],
  ['bert', inRepository('test/layouts/samples/bert'), undefined],
])('%s', (_name, folder, queryRows) => {
  let model: Opened;
  const rows: Row[] = [{ ids: [0, 5, 9, 4, 30, 8] }, { ids: [0, 7, 7, 12, 3] }, { ids: [0, 1, 2, 3, 4] }];
  beforeAll(async () => {
    model = await openFolder(folder, undefined, undefined, { queryRows });
  });
  afterAll(() => model.closeAll());

  it('shows at chosen positions what it shows there among all', async () => {
    const { runner } = model;
    const taps = [
      ...SITES.filter((site) => runner.shape.sites.every((sites) => sites.includes(site))).map((site) => ({
        site,
      })),
      { site: 'q' as const },
      { site: 'pattern' as const, layers: [1] },
    ];
    const all = await runAll(runner, { rows, taps, logits: 'all' });
    const some = await runAll(runner, { rows, taps, logits: 'all', positions: POSITIONS });
    const values = (row: RowResult, site: Site, layer: number) => row.tap(site, layer);
    expect(taps.length).toBeGreaterThanOrEqual(6);
    for (const [i, row] of some.entries()) {
      for (const { site } of taps)
        for (const layer of site === 'pattern' ? [1] : runner.shape.heads.keys()) {
          const [found, whole] = [values(row, site, layer), values(all[i], site, layer)];
          if (!SITES.includes(site)) {
            expect(found).toEqual(whole); // queries and patterns stay whole
            continue;
          }
          expect(found.dims).toEqual(whole.dims.with(-2, POSITIONS.length));
          const wanted = picked(whole);
          expect(found.data.length).toBe(wanted.length);
          const worst = found.data.reduce((most, x, n) => Math.max(most, Math.abs(x - wanted[n])), 0);
          expect(worst, `${site} of layer ${layer}`).toBeLessThan(1e-5);
        }
      const { vocab } = runner.shape;
      const wanted = picked({ dims: [rows[i].ids.length, vocab], data: all[i].logits });
      expect(row.logits.length).toBe(POSITIONS.length * vocab);
      expect(row.logits.reduce((most, x, n) => Math.max(most, Math.abs(x - wanted[n])), 0)).toBeLessThan(
        1e-4,
      );
    }
  });

  it('leaves the last logits alone, and names a position that a prompt does not have', async () => {
    const { runner } = model;
    const [plain] = await runAll(runner, { rows: [rows[0]] });
    const [chosen] = await runAll(runner, { rows: [rows[0]], positions: [1] });
    expect(chosen.logits).toEqual(plain.logits);
    await expect(runAll(runner, { rows, positions: [5] })).rejects.toMatchObject({
      code: 'no-position',
      message: 'There is no position 5 in prompt 2, which has 5 tokens.',
    });
  });
});

it('gives logits at chosen positions of a model that cannot leave the others out', async () => {
  const { folder, checkpoint } = await inspectFolder(checkpointFolder('ioi-4l'));
  // what the unembedding reads is an output too, so that the graph must work it out whole
  const { graph } = checkpoint.model;
  const end = graph.nodes.find(({ outputs }) => outputs[0] === checkpoint.anatomy.unembedding!.logits)!;
  const outputs = [...graph.outputs, valueInfo(end.inputs[0], 'float32')];
  const model = { ...checkpoint.model, graph: { ...graph, outputs } };
  expect(instrument(model, checkpoint.anatomy).logitRows).toBeUndefined();
  const opened = await openModel({ ...checkpoint, model }, nodeDevice('cpu', { threads: 1 }));
  try {
    const rows = [{ ids: [0, 5, 9, 4, 30, 8] }, { ids: [0, 7, 7, 12, 3] }];
    const all = await runAll(opened.runner, { rows, logits: 'all' });
    const some = await runAll(opened.runner, { rows, logits: 'all', positions: POSITIONS });
    some.forEach(({ logits, ids }, i) =>
      expect([...logits]).toEqual(
        picked({ dims: [ids.length, opened.runner.shape.vocab], data: all[i].logits }),
      ),
    );
  } finally {
    await opened.close();
    await folder.close();
  }
});
