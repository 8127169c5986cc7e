import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { npyHeader, type NpyArray } from '../../src/report/npy.ts';
import { inRepository } from '../helpers/models.ts';
import { PICTURE, writeDividedDecoder } from '../layouts/divided-decoder.ts';
import { document, headscope, SAMPLES, temporaryFolder } from './command.ts';

const VIT = inRepository('test/layouts/samples/vit');
const PAIR = inRepository('test/layouts/pairs/t5-pair');

function writeArray(file: string, array: NpyArray): void {
  const { buffer, byteOffset, byteLength } = array.data;
  writeFileSync(
    file,
    [npyHeader(array), new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength)]
      .map((part) => Buffer.from(part))
      .reduce((a, b) => Buffer.concat([a, b])),
  );
}

const heads = (stdout: string): unknown => (JSON.parse(stdout) as { heads: unknown }).heads;

test('a picture is given as an array; without one a neutral picture stands for it', () => {
  const folder = temporaryFolder(onTestFinished);
  const file = path.join(folder, 'picture.npy');
  writeArray(file, {
    data: Float64Array.from({ length: 432 }, (_, i) => Math.sin(i * i)),
    dims: [3, 12, 12],
  });
  const given = headscope('run', VIT, '--input', `pixel_values=${file}`, '--json');
  const neutral = headscope('run', VIT, '--json');
  expect([given.status, neutral.status]).toEqual([0, 0]);
  expect(heads(given.stdout)).toHaveLength(8);
  expect(heads(given.stdout)).not.toEqual(heads(neutral.stdout));
});

test('an array that does not fit is named with what the model wants', () => {
  const folder = temporaryFolder(onTestFinished);
  const file = path.join(folder, 'wide.npy');
  writeArray(file, { data: new Float32Array(3 * 12 * 16), dims: [1, 3, 12, 16] });
  const error = (...options: string[]): string => headscope('run', VIT, ...options).stderr;
  expect(error('--input', `pixel_values=${file}`)).toMatch(
    /error\[bad-input\].*\[1, 3, 12, 16\].*\[1, 3, 12, 12\]/,
  );
  expect(error('--input', `pixels=${file}`)).toMatch(/error\[bad-input\]: There is no input "pixels"/);
  expect(error('--input', `pixel_values=${folder}/none.npy`)).toMatch(/error\[missing-file\]/);
  expect(error('--input', 'pixel_values')).toMatch(/error\[bad-option\].*name=file\.npy/);
  expect(error('--prompt', '1 2')).toMatch(/error\[no-text\]: The model reads no token ids/);
});

test('a decoder that reads vectors gets them from embed_tokens.onnx, and a picture at its token', async () => {
  const folder = temporaryFolder(onTestFinished);
  await writeDividedDecoder(folder);
  const { side, vectors } = PICTURE;
  const picture = path.join(folder, 'picture.npy');
  const data = Float32Array.from({ length: 3 * side * side }, (_, i) => Math.sin(i * i));
  writeArray(picture, { data, dims: [3, side, side] });
  type Run = { tokens: unknown[]; predictions: { id: number; logit: number }[] };
  const run = (...args: string[]): Run => document<Run>('run', ...args);
  const text = run(folder, '--prompt', 'Noah gave Otto');
  const whole = run(path.join(SAMPLES, 'llama-tiny'), '--prompt', 'Noah gave Otto');
  expect(text.predictions.map(({ id }) => id)).toEqual(whole.predictions.map(({ id }) => id));
  expect(text.predictions[0].logit).toBeCloseTo(whole.predictions[0].logit, 4);
  const seen = run(folder, '--prompt', 'Noah <pad> Otto', '--input', `pixel_values=${picture}`);
  expect(seen.tokens).toHaveLength(3 + vectors);
  const blind = run(folder, '--prompt', 'Noah <pad> Otto');
  expect(blind.tokens).toHaveLength(4);
  expect(seen.predictions).not.toEqual(blind.predictions);
});

test('a source goes through the encoder; the prompt of the decoder may be left out', () => {
  const one = headscope('run', PAIR, '--source', '5 9 17', '--json');
  const other = headscope('run', PAIR, '--source', '6 10 18', '--json');
  expect([one.status, other.status]).toEqual([0, 0]);
  const predictions = (stdout: string): unknown =>
    (JSON.parse(stdout) as { predictions: unknown }).predictions;
  expect(predictions(one.stdout)).not.toEqual(predictions(other.stdout));
  expect(headscope('run', PAIR, '--prompt', '5').stderr).toMatch(
    /error\[unknown-input\].*"encoder_hidden_states"/,
  );
});
