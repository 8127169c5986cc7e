import { describe, expect, test } from 'vitest';
import { runAll } from '../../src/instrument/runner.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { wasmDevice } from '../../src/runtime/wasm.ts';
import { readGolden } from '../helpers/golden.ts';
import { CHECKPOINTS, checkpointFolder, openFolder, variantFolder } from '../helpers/models.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { compareWithGolden } from './compare-golden.ts';

/** No divisor of the golden prompts' lengths, so the last block repeats queries. */
const ROWS = 5;

const MODELS = [
  ...CHECKPOINTS.map((name) => ({ name, folder: checkpointFolder(name), golden: name, device: 'cpu' })),
  ...['external-data', 'optimum-past', 'ms-mha'].map((name) => ({
    name: `ioi-4l as ${name}`,
    folder: variantFolder(name),
    golden: 'ioi-4l',
    device: 'cpu',
  })),
  { name: 'llama-tiny', folder: checkpointFolder('llama-tiny'), golden: 'llama-tiny', device: 'wasm' },
];

describe('attention in blocks of queries: every tap equals what PyTorch computed', () => {
  test.each(MODELS)('$name, $device', async ({ name, folder, golden, device }) => {
    const on = device === 'wasm' ? await wasmDevice() : nodeDevice('cpu', { threads: 1 });
    const opened = await openFolder(folder, on, undefined, { queryRows: ROWS });
    try {
      expect(opened.queryBlocks()).toEqual(opened.runner.shape.heads.map(() => true));
      const errors = await compareWithGolden(opened.runner, readGolden(golden));
      console.info(`parity in blocks of ${ROWS} queries, ${device}, ${name}: max abs error ${errors.text}`);
      expect(errors.worst).toBeLessThanOrEqual(1e-4);
    } finally {
      await opened.closeAll();
    }
  });
});

describe.each([undefined, ROWS])('with blocks of %s queries', (queryRows) => {
  test('the pattern and scores of chosen heads are those of all heads, in the order asked for', async () => {
    const opened = await openFolder(checkpointFolder('ioi-4l'), undefined, undefined, { queryRows });
    try {
      const rows = [{ ids: readGolden('ioi-4l').prompts[0] }];
      const heads = [3, 0];
      const all = await runAll(opened.runner, { rows, taps: [{ site: 'pattern' }, { site: 'scores' }] });
      const some = await runAll(opened.runner, {
        rows,
        taps: [
          { site: 'pattern', layers: [1], heads },
          { site: 'scores', layers: [1], heads },
        ],
      });
      for (const site of ['pattern', 'scores'] as const) {
        const [whole, chosen] = [all[0].tap(site, 1), some[0].tap(site, 1)];
        const [, queries, keys] = whole.dims;
        expect(chosen.dims).toEqual([heads.length, queries, keys]);
        heads.forEach((head, slot) => {
          const of = (data: Float32Array, at: number) =>
            data.subarray(at * queries * keys, (at + 1) * queries * keys);
          expect([...of(chosen.data, slot)]).toEqual([...of(whole.data, head)]);
        });
      }
    } finally {
      await opened.closeAll();
    }
  });

  test('thumbnails are means over areas of the pattern', async () => {
    const opened = await openFolder(checkpointFolder('sink-3l'), undefined, undefined, { queryRows });
    try {
      const side = 4;
      const ids = readGolden('sink-3l').prompts[0].slice(0, 12);
      const rows = [{ ids }, { ids: ids.slice(0, 10) }];
      const results = await runAll(opened.runner, { rows, taps: [{ site: 'pattern' }], thumbnails: side });
      for (const row of results) {
        const { data, dims } = row.tap('pattern', 2);
        const [heads, length] = dims;
        const step = length / side;
        const expected = Float64Array.from({ length: heads * side * side }, (_, i) => {
          const [head, y, x] = [Math.floor(i / side ** 2), Math.floor(i / side) % side, i % side];
          let sum = 0;
          for (let q = 0; q < length; q++)
            for (let k = 0; k < length; k++) {
              const share = (cell: number, at: number): number =>
                Math.max(0, Math.min((cell + 1) * step, at + 1) - Math.max(cell * step, at));
              sum += share(y, q) * share(x, k) * data[(head * length + q) * length + k];
            }
          return sum / step ** 2;
        });
        expect(maxAbs(row.thumbnails()[2], expected)).toBeLessThan(1e-6);
      }
    } finally {
      await opened.closeAll();
    }
  });
});
