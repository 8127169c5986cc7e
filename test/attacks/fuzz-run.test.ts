import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { build } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { inRepository } from '../helpers/models.ts';
import { graphs, tokenizers } from './fuzz/samples.ts';
import { putTogether, takeApart } from './wire-tree.ts';

const run = promisify(execFile);
let outDir: string;

beforeAll(async () => {
  outDir = await mkdtemp(path.join(tmpdir(), 'headscope-fuzz-'));
  await build({
    configFile: inRepository('test/attacks/vite.config.ts'),
    build: { outDir },
    logLevel: 'error',
  });
});
afterAll(() => rm(outDir, { recursive: true, force: true }));

const fuzz = (...options: string[]): Promise<string> =>
  run(process.execPath, [path.join(outDir, 'run.js'), '--out', path.join(outDir, 'failures'), ...options], {
    cwd: inRepository('.'),
  }).then(
    ({ stdout }) => stdout,
    (error: { stdout: string; stderr: string }) => `${error.stdout}${error.stderr}`,
  );

test.each([
  ['reader', 100],
  ['checker', 100],
  ['anatomy', 100],
  ['tokenizer', 300],
])('changed files are read or refused as they should be: %s', async (target, cases) => {
  const said = await fuzz('--target', target, '--cases', String(cases), '--seed', '20260101');
  console.info(said.trim());
  expect(said).toMatch(new RegExp(`^${target}: ${cases} cases in \\d+ s, \\d+ blocks reached, 0 failed \\(`));
  // changes reach both ends
  expect(said).toMatch(/read \d+/);
  expect(said).toMatch(/bad-(onnx|graph|tokenizer) \d+/);
});

test('taking a file apart and putting it together again changes nothing', async () => {
  const files = [...(await graphs(inRepository('.'))), ...(await tokenizers(inRepository('.')))];
  let compared = 0;
  for (const [name, bytes] of files.flatMap((folder) => Object.entries(folder))) {
    const type = name.endsWith('.onnx') ? 'Model' : 'Pieces';
    if (type === 'Pieces' && !name.endsWith('.model')) continue;
    expect(Buffer.compare(putTogether(takeApart(bytes, type)), bytes), name).toBe(0);
    compared++;
  }
  expect(compared).toBeGreaterThan(20);
});

test('a case is repeated from its files, and one that takes too much is a failure', async () => {
  const said = await fuzz('--repeat', inRepository('assets/checkpoints/sink-delim-2l'));
  expect(said).toMatch(/read: 2 blocks, .*\n\d+ ms, \d+ MB for \d+ bytes\nas it should be/);
  expect(await fuzz('--target', 'nothing')).toMatch(/There is no target "nothing"; choose from reader, /);
});
