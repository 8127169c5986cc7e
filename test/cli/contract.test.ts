import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { unzipSync } from 'fflate';
import { describe, expect, onTestFinished, test } from 'vitest';
import { document, headscope, SAMPLES, temporaryFolder } from './command.ts';

const sample = (name: string): string => path.join(SAMPLES, name);
const PROMPT = 'Then , Mary and John went to the store . John gave a drink to';

describe('inspect', () => {
  test('says what each sample is', () => {
    const shapes = new Map<string, unknown>();
    for (const name of readdirSync(SAMPLES)) {
      const { blocks, unrecognised } = document<{
        blocks: {
          heads: number;
          kvHeads: number;
          causal: boolean;
          dModel: number;
          kind: string;
          layer: number;
        }[];
        unrecognised: unknown[];
      }>('inspect', sample(name));
      expect(unrecognised).toEqual([]);
      expect(blocks.every((block, i) => block.layer === i && block.causal && block.kind === 'self')).toBe(
        true,
      );
      shapes.set(name, [blocks.length, blocks[0].heads, blocks[0].kvHeads, blocks[0].dModel]);
    }
    expect(Object.fromEntries(shapes)).toEqual({
      'induction-2l': [2, 8, 8, 128],
      'ioi-4l': [4, 8, 8, 128],
      'llama-tiny': [4, 8, 2, 128],
      'sink-3l': [3, 4, 4, 64],
      'sink-delim-2l': [2, 4, 4, 64],
    });
  });

  test('has the keys of the contract and a table for people', () => {
    const { model } = document<{ model: Record<string, unknown> }>('inspect', sample('ioi-4l'));
    expect(model).toMatchObject({
      opset: 17,
      inputs: [{ name: 'input_ids', role: 'tokens' }],
      outputs: ['logits'],
    });
    expect(headscope('inspect', sample('ioi-4l')).stdout).toContain('4 attention blocks, 32 heads');
    expect(model.tolerance).toBe(0.001);
    expect(headscope('inspect', sample('ioi-4l')).stdout).toContain(
      'taps within 0.001 of the unedited model',
    );
  });
});

test('run predicts the indirect object, with the golden logit', () => {
  const golden = JSON.parse(readFileSync('test/golden/ioi-4l/golden.json', 'utf8')) as {
    prompts: { text: string; top5_last: [string, number][] }[];
  };
  for (const { text, top5_last } of golden.prompts) {
    const { predictions } = document<{ predictions: { token: string; logit: number }[] }>(
      'run',
      sample('ioi-4l'),
      '--prompt',
      text,
      '--top',
      '5',
    );
    expect(predictions.map(({ token }) => token)).toEqual(top5_last.map(([token]) => token));
    predictions.forEach(({ logit }, i) =>
      expect(Math.abs(logit - top5_last[i][1])).toBeLessThan(1e-4 + 5e-5),
    ); // the file has 4 decimals
  }
});

test('capture writes TransformerLens names and shapes', () => {
  const folder = temporaryFolder(onTestFinished);
  const out = path.join(folder, 'a.npz');
  const { arrays } = document<{ arrays: { name: string; dims: number[] }[] }>(
    'capture',
    sample('llama-tiny'),
    '--prompt',
    PROMPT,
    '--sites',
    'pattern,z,k,result,resid,logits',
    '--layers',
    '1-2',
    '--out',
    out,
  );
  const dims = Object.fromEntries(arrays.map((array) => [array.name, array.dims]));
  expect(dims['blocks.1.attn.hook_pattern']).toEqual([1, 8, 16, 16]);
  expect(dims['blocks.2.attn.hook_z']).toEqual([1, 16, 8, 16]);
  expect(dims['blocks.2.attn.hook_k']).toEqual([1, 16, 2, 16]);
  expect(dims['blocks.1.attn.hook_result']).toEqual([1, 16, 8, 128]);
  expect(dims['blocks.1.hook_resid_mid']).toEqual([1, 16, 128]);
  expect(dims.logits).toEqual([1, 16, 342]);
  expect(dims['blocks.0.attn.hook_pattern']).toBeUndefined();
  const names = Object.keys(unzipSync(readFileSync(out)));
  expect(names.sort()).toEqual(
    [...Object.keys(dims), 'tokens', 'lengths'].map((name) => `${name}.npy`).sort(),
  );
  expect(readdirSync(folder)).toEqual(['a.npz']);
});

test('capture says first what it takes, and writes float16 when asked', () => {
  const folder = temporaryFolder(onTestFinished);
  const out = path.join(folder, 'a.npz');
  const args = [sample('llama-tiny'), '--prompt', PROMPT, '--sites', 'z', '--half', '--out', out];
  const { stderr, status } = headscope('capture', ...args);
  expect(status).toBe(0);
  expect(stderr).toMatch(
    /^4 arrays \(float16\) of 1 prompt, the longest of 16 tokens: 1[67].* KiB on disk, up to 64 KiB of memory for captured values; 1 run over the prompts$/m,
  );
  const found = document<{ fileBytes: number; bytes: number; arrays: { dtype: string }[] }>(
    'capture',
    ...args,
  );
  expect(found.arrays.map(({ dtype }) => dtype)).toEqual(Array(4).fill('float16'));
  expect(found.bytes).toBe(4 * 16 * 8 * 16 * 2);
  expect(statSync(out).size).toBe(found.fileBytes);
  const z = unzipSync(readFileSync(out))['blocks.3.attn.hook_z.npy'];
  expect(Buffer.from(z).toString('latin1', 0, 128)).toContain("'descr': '<f2'");
});

test('sinks finds the delimiter with the heads that the sample is known for', () => {
  const sinks = document<{
    sinkDims: number[];
    summary: { tokens: { token: string; heads: { name: string }[] }[] };
  }>(
    'sinks',
    sample('sink-delim-2l'),
    '--prompts',
    path.join(sample('sink-delim-2l'), 'tasks/prompts.jsonl'),
  );
  expect(sinks.sinkDims).toEqual([]);
  expect(sinks.summary.tokens[0].token).toBe('.');
  expect(
    sinks.summary.tokens[0].heads
      .slice(0, 2)
      .map(({ name }) => name)
      .sort(),
  ).toEqual(['L0H0', 'L0H1']);
});

test('calibrate act searches heads and exports a model', () => {
  const folder = temporaryFolder(onTestFinished);
  const out = path.join(folder, 'calibrated.onnx');
  const search = document<{ calibration: { heads: string[] }; heldOut: object; baseline: object }>(
    'calibrate',
    'act',
    sample('ioi-4l'),
    '--task',
    path.join(sample('ioi-4l'), 'tasks/ioi.jsonl'),
    '--metric',
    'logprob',
    '--keep',
    'gain',
    '--alpha',
    '3',
    '--export',
    out,
  );
  expect(search.calibration.heads.length).toBeGreaterThan(0);
  expect(search).toHaveProperty('heldOut.calibrated');
  expect(existsSync(out)).toBe(true);
  expect(existsSync(`${out}_data`)).toBe(true);
});

test('calibrate var moves attention into the focus span', () => {
  const moved = document<{
    kl: number;
    heads: { focusBefore: number; focusAfter: number; imageCentric: number }[];
  }>(
    'calibrate',
    'var',
    sample('ioi-4l'),
    '--prompt',
    PROMPT,
    '--focus',
    '3:8',
    '--dims',
    '3,7,20',
    '--tau',
    '2',
  );
  const treated = moved.heads.filter((head) => head.imageCentric > 0);
  expect(treated.length).toBeGreaterThan(0);
  expect(treated.every((head) => head.focusAfter > head.focusBefore)).toBe(true);
});

test('help and version need no checkpoint', () => {
  expect(headscope('--help')).toMatchObject({ status: 0, stderr: '' });
  expect(headscope('--version').stdout.trim()).toBe(
    (JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }).version,
  );
});
