import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runAll, type RowResult } from '../../src/instrument/runner.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { wasmDevice } from '../../src/runtime/wasm.ts';
import { readGolden } from '../helpers/golden.ts';
import { checkpointFolder, openFolder, type Opened } from '../helpers/models.ts';
import { Errors, maxAbs } from '../helpers/numbers.ts';
import { readCases, type Case } from './cases.ts';

const cases = readCases();
const taps = [{ site: 'pattern' as const }, { site: 'z' as const }];

const models: { name: string; device: string; queryRows?: number }[] = [
  ...[...new Set(cases.map(({ model }) => model))].map((name) => ({ name, device: 'cpu' })),
  { name: 'sink-3l', device: 'wasm' },
  ...[...new Set(cases.map(({ model }) => model))].map((name) => ({ name, device: 'cpu', queryRows: 5 })),
];

describe.each(models)(
  '$name on $device, blocks of $queryRows queries: edits equal a plain float64 model',
  ({ name, device, queryRows }) => {
    const golden = readGolden(name);
    const mine = cases.filter(({ model }) => model === name);
    const all = new Errors();
    let model: Opened;
    beforeAll(async () => {
      const on = device === 'wasm' ? await wasmDevice() : nodeDevice('cpu', { threads: 1 });
      model = await openFolder(checkpointFolder(name), on, undefined, { queryRows });
    });
    afterAll(async () => {
      console.info(`edits, ${device}, ${name}, max abs error over ${mine.length} cases: ${all.text}`);
      await model.closeAll();
    });

    const compare = (row: RowResult, { logits, heads, edits }: Case, errors: Errors): void => {
      expect(row.changes.length).toBe(edits.length);
      errors.add('logits', maxAbs(row.logits, logits));
      for (const { layer, head, pattern, z } of heads) {
        const ofHead = (site: 'pattern' | 'z', size: number): Float32Array =>
          row.tap(site, layer).data.subarray(head * size, (head + 1) * size);
        errors.add('pattern', maxAbs(ofHead('pattern', pattern.data.length), pattern.data));
        errors.add('z', maxAbs(ofHead('z', z.data.length), z.data));
      }
    };

    test.each(mine)('$title', async (one) => {
      const rows = [{ ids: golden.prompts[one.prompt], edits: one.edits }];
      const [row] = await runAll(model.runner, { rows, taps });
      const errors = new Errors();
      compare(row, one, errors);
      compare(row, one, all);
      expect(errors.worst).toBeLessThanOrEqual(1e-4);
    });

    test('all cases in one request, among rows without edits and of other lengths: nothing leaks', async () => {
      const longer = [...golden.prompts[0], ...golden.prompts[0].slice(1, 4)];
      const plain = [golden.prompts[0], longer, golden.prompts[1]].map((ids) => ({ ids }));
      const edited = mine.map(({ prompt, edits }) => ({ ids: golden.prompts[prompt], edits }));
      const steps: number[] = [];
      const onProgress = (done: number): void => void steps.push(done);
      const rows = [plain[0], ...edited, plain[1], plain[2]];
      const results = await runAll(model.runner, { rows, taps }, { onProgress });
      expect(steps.length).toBeLessThan(rows.length);
      const errors = new Errors();
      mine.forEach((one, i) => compare(results[i + 1], one, errors));
      for (const [row, prompt] of [
        [results[0], 0],
        [results[results.length - 1], 1],
      ] as const) {
        const logits = golden.tensor(`p${prompt}.logits`);
        errors.add('unedited', maxAbs(row.logits, logits.data.slice(-logits.dims[1])));
        expect(row.changes).toEqual([]);
      }
      const [alone] = await runAll(model.runner, { rows: [{ ids: longer }], taps });
      errors.add('unedited, longer', maxAbs(results[results.length - 2].logits, alone.logits));
      console.info(`edits, ${device}, ${name}, all in one request: ${errors.text}`);
      expect(errors.worst).toBeLessThanOrEqual(1e-4);
    });
  },
);
