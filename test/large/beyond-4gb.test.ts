import { afterAll, describe, expect, test } from 'vitest';
import { runAll, type RowResult } from '../../src/instrument/runner.ts';
import { isRange } from '../../src/onnx/model.ts';
import { inspectDocument } from '../../src/workbench/inspect.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { chooseDevice, openCheckpoint, openWorkbench } from '../../src/workbench/workbench.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { readGolden } from '../helpers/golden.ts';
import { HOLE, SMALL, writeLarge, type LargeCheckpoint } from './large-checkpoint.ts';

/* One weight file of 4.25 GB, mostly hole: weights that begin beyond 4 GB, and a single weight that is larger than that. */

const made: LargeCheckpoint[] = [];
afterAll(() => Promise.all(made.map((large) => large.remove())));

const golden = readGolden('ioi-4l');
const [ids] = golden.prompts;

/** Logits and a pattern of one prompt, unedited and with one head off. */
async function answers(folder: string): Promise<RowResult[]> {
  const workbench = await openWorkbench(folder, nodeDevice('cpu', { threads: 1 }));
  try {
    expect(workbench.opened.measured!.maxAbs).toBeLessThan(1e-4);
    return await runAll(workbench.opened.runner, {
      rows: [{ ids }, { ids, edits: [{ kind: 'z', layer: 1, head: 0, scale: 0 }] }],
      taps: [{ site: 'pattern', layers: [2] }],
      logits: 'all',
    });
  } finally {
    await workbench.close();
  }
}

describe.each([
  ['weights that begin beyond 4 GB', false],
  ['a table of positions of 4.25 GB', true],
])('%s', (_, tableFills) => {
  test('is opened, inspected and run natively as the same checkpoint without the hole', async (context) => {
    const large = await writeLarge({ tableFills });
    if (typeof large === 'string') return context.skip(large);
    made.push(large);

    const { checkpoint, folder, ...read } = await openCheckpoint(large.folder);
    const { initializers } = checkpoint.original.graph;
    const ranges = [...initializers.values()].flatMap(({ data }) => (isRange(data) ? [data] : []));
    const longest = Math.max(...ranges.map(({ length }) => length));
    expect(ranges.filter(({ offset }) => offset >= HOLE).length).toBeGreaterThan(20);
    expect(longest > 2 ** 32).toBe(tableFills);
    const { blocks } = inspectDocument({ checkpoint, folder, ...read });
    expect(blocks.map(({ heads }) => heads)).toEqual([8, 8, 8, 8]);
    await folder.close();

    const before = process.memoryUsage.rss();
    const [plain, edited] = await answers(large.folder);
    const [plainSmall, editedSmall] = await answers(SMALL);
    expect(maxAbs(plain.logits, golden.tensor('p0.logits').data)).toBeLessThan(1e-4);
    expect(plain.logits).toEqual(plainSmall.logits);
    expect(edited.logits).toEqual(editedSmall.logits);
    expect(edited.logits).not.toEqual(plain.logits);
    expect(plain.tap('pattern', 2)).toEqual(plainSmall.tap('pattern', 2));
    const grown = (process.memoryUsage.rss() - before) / 2 ** 20;
    console.info(`${(large.bytes / 2 ** 30).toFixed(2)} GB checkpoint: ${grown.toFixed(0)} MB resident more`);
    expect(grown).toBeLessThan(1024);
  });
});

test('weights beyond what WebAssembly can hold are refused before they are read', async (context) => {
  const large = await writeLarge({ tableFills: true });
  if (typeof large === 'string') return context.skip(large);
  made.push(large);
  const work = openWorkbench(large.folder, await chooseDevice('wasm', 1));
  await expect(work).rejects.toMatchObject({
    code: 'out-of-memory',
    message: expect.stringContaining('The weights take 4.3 GB, more than WebAssembly can hold') as string,
  });
});
