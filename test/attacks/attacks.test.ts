import { cp, mkdir, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inRepository } from '../helpers/models.ts';
import { FILES, MADE } from './attacks.ts';
import { MOST_MS, mostBytes } from './fuzz/verdict.ts';
import { startProbe, type Probe } from './probe/probe.ts';
import { folderOf } from './refusal.ts';

const files = inRepository('test/attacks/files');
let probe: Probe;
beforeAll(async () => {
  probe = await startProbe();
});
afterAll(() => probe.close());

async function expectOutcome(folder: string, outcome: string, says: RegExp): Promise<void> {
  const seen = await probe.open(folder);
  expect(seen).toMatchObject({ outcome });
  expect(seen.message).toMatch(says);
  // one line that steers no terminal and does not flood it
  expect(seen.message).toMatch(/^[^\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]{3,600}$/u);
  expect(seen.ms).toBeLessThan(MOST_MS);
  expect(seen.bytes).toBeLessThan(mostBytes(seen.fileBytes));
}

describe('files of the collection', () => {
  test.each(FILES.map(([file, attacks, outcome, says]) => [attacks, file, outcome, says] as const))(
    '%s: %s',
    async (_, file, outcome, says) => {
      const from = path.join(files, file);
      const folder = await folderOf();
      if ((await stat(from)).isDirectory())
        await cp(from, folder, { recursive: true, verbatimSymlinks: true });
      else await cp(from, path.join(folder, file.endsWith('.onnx') ? 'model.onnx' : file));
      await expectOutcome(folder, outcome, says);
    },
  );

  test('each has a line in the table', async () => {
    expect((await readdir(files)).sort()).toEqual(FILES.map(([file]) => file).sort());
  });
});

describe('files made on the spot', () => {
  test.each(MADE)('%s', async (_, make, outcome, says) => {
    const folder = await folderOf();
    await mkdir(folder, { recursive: true });
    await make(folder);
    await expectOutcome(folder, outcome, says);
  });
});
