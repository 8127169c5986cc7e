import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runAll } from '../../src/instrument/runner.ts';
import { npyHeader } from '../../src/report/npy.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import type { Tensor } from '../../src/runtime/device.ts';
import type { PromptInputs } from '../../src/workbench/engine/input-book.ts';
import { openWorkbench } from '../../src/workbench/workbench.ts';
import { inRepository } from '../helpers/models.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { IMAGE_TOKEN, PICTURE, writeDividedDecoder } from '../layouts/divided-decoder.ts';
import { readGoldenSample } from '../layouts/golden-sample.ts';
import { writeSpeechPair } from '../layouts/speech-pair.ts';
import { openTestHost, type TestHost } from '../shell/host.ts';
import { droppedFolder, joinedEngine, NodeEnvironment } from './node-engine.ts';

/* What prompts bring besides their text, as the app's engine takes it; compared with PyTorch's golden data and the command line's way. */

let host: TestHost;
let joined: ReturnType<typeof joinedEngine>;
const divided = mkdtempSync(path.join(tmpdir(), 'divided-'));
beforeAll(async () => {
  host = await openTestHost();
  joined = joinedEngine(new NodeEnvironment(host));
  await writeDividedDecoder(divided);
});
afterAll(async () => {
  joined.close();
  await host.close();
  rmSync(divided, { recursive: true });
});

const npy = ({ dims, data }: Tensor): Uint8Array =>
  new Uint8Array(
    Buffer.concat([
      npyHeader({ dims, data: data }),
      Buffer.from(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength),
    ]),
  );
const floats = (dims: readonly number[], value: (i: number) => number): Tensor => ({
  type: 'float32',
  dims,
  data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => value(i)),
});
const folderOf = (name: string): string => inRepository(`test/layouts/${name}`);
const openIt = async (folder: string, inputs?: PromptInputs) =>
  joined.client.call('open', { source: await droppedFolder(folder), device: 'wasm', inputs });
const give = (input: string, tensor: Tensor) =>
  joined.client.call('readArray', { input, file: 'a.npy', bytes: npy(tensor) });
const asked = { specs: [], prompts: {}, references: [], answers: [], distractors: [] };

describe('a vision transformer', () => {
  const sample = readGoldenSample(folderOf('samples/vit'));
  const picture = sample.expected.inputs!.pixel_values;
  const tensor = floats(picture.dims, (i) => picture.data[i]);

  it('opens on a neutral picture, wants one, and knows which position is which patch', async () => {
    const summary = await openIt(folderOf('samples/vit'));
    expect(summary.wanted.inputs).toMatchObject([
      { name: 'pixel_values', type: 'float32', shape: ['batch', 3, 12, 12], kind: 'picture', optional: true },
    ]);
    expect(summary.wanted.inputs[0].picture).toMatchObject({ width: 12, height: 12, from: 'defaults' });
    expect(summary.positions).toBe(10);
    expect(summary.patches).toEqual({ input: 'pixel_values', columns: 3, rows: 3, first: 1 });
    expect(summary.firstPrompts).toHaveLength(1);
    expect(summary.notes).toEqual([]);
    expect(await joined.client.call('tasks', {})).toEqual({ tasks: [], problems: [] });
    const { tokens } = await joined.client.call('encode', { text: '' });
    expect(tokens.map(({ text }) => text)).toEqual([
      'class',
      ...['r1c1', 'r1c2', 'r1c3', 'r2c1', 'r2c2', 'r2c3', 'r3c1', 'r3c2', 'r3c3'],
    ]);
    expect(tokens.map(({ special }) => special)).toEqual([true, ...new Array<boolean>(9).fill(false)]);
  });

  it('shows two pictures beside one another, each as PyTorch computed it or as it is alone', async () => {
    const { id } = await give('pixel_values', tensor);
    const other = await give(
      'pixel_values',
      floats([3, 12, 12], (i) => Math.sin(i)),
    );
    expect((await give('pixel_values', tensor)).id).toBe(id);
    expect(other.id).not.toBe(id);
    const inputs = { arrays: { pixel_values: id } };
    const { ids } = await joined.client.call('encode', { text: '', inputs });
    for (const layer of [0, 1]) {
      const found = await joined.client.call('editedPattern', { ...asked, ids, layer, inputs });
      expect(maxAbs(found.data, sample.tensor(`p0.pattern.${layer}`)!.data)).toBeLessThan(1e-4);
      const second = await joined.client.call('editedPattern', {
        ...asked,
        ids,
        layer,
        inputs: { arrays: { pixel_values: other.id } },
      });
      expect(maxAbs(second.data, found.data)).toBeGreaterThan(1e-3);
    }
    const { baseline } = await joined.client.call('whatIf', { ...asked, ids, inputs });
    const pattern = sample.tensor('p0.pattern.1')!.data;
    const received = Float32Array.from({ length: 40 }, (_, i) => {
      const [head, key] = [Math.floor(i / 10), i % 10];
      let sum = 0;
      for (let q = 0; q < 10; q++) sum += pattern[head * 100 + q * 10 + key];
      return sum / 10;
    });
    expect(maxAbs(baseline.summaries.received[1], received)).toBeLessThan(1e-5);
    const sinks = await joined.client.call('sinks', {
      prompts: [{ label: 'picture', text: '', inputs }],
      settings: {},
    });
    expect(sinks.document.prompts[0].tokens[1]).toBe('r1c1');
  });

  it('a picture of pixels becomes the numbers its processor says', async () => {
    const rgb = Uint8Array.from({ length: 432 }, (_, i) => (37 * i) % 256);
    const kept = await joined.client.call('readPicture', {
      input: 'pixel_values',
      pixels: { width: 12, height: 12, rgb: rgb.slice() },
    });
    const byHand = await give(
      'pixel_values',
      floats([1, 3, 12, 12], (i) => (rgb[3 * (i % 144) + Math.floor(i / 144)] / 255 - 0.5) / 0.5),
    );
    const ids = Array.from({ length: 10 }, (_, i) => i);
    const pattern = (id: string) =>
      joined.client.call('editedPattern', {
        ...asked,
        ids,
        layer: 1,
        inputs: { arrays: { pixel_values: id } },
      });
    expect(maxAbs((await pattern(kept.id)).data, (await pattern(byHand.id)).data)).toBeLessThan(1e-6);
    expect([...byHand.pixels!.rgb]).toEqual([...rgb]);
    const wrong = joined.client.call('readPicture', {
      input: 'pixel_values',
      pixels: { width: 8, height: 12, rgb: new Uint8Array(288) },
    });
    await expect(wrong).rejects.toThrow(/no picture of 8 × 12 pixels/);
  });

  it('says in one sentence what is wrong with a file', async () => {
    const text = joined.client.call('readArray', {
      input: 'pixel_values',
      file: 'cat.txt',
      bytes: new TextEncoder().encode('no array at all'),
    });
    await expect(text).rejects.toThrow(/^cat\.txt is no NumPy file\./);
    await expect(
      give(
        'pixel_values',
        floats([1, 3, 8, 12], () => 0),
      ),
    ).rejects.toThrow(
      /^pixel_values was given with the shape \[1, 3, 8, 12\], but the model wants \[1, 3, 12, 12\]\.$/,
    );
    const ids: Tensor = { type: 'int64', dims: [1, 3, 12, 12], data: new BigInt64Array(432) };
    await expect(give('pixel_values', ids)).rejects.toThrow(/given as int64, but the model wants float32/);
    await expect(give('pixels', tensor)).rejects.toThrow(/no input "pixels"/);
    await expect(
      joined.client.call('encode', { text: '', inputs: { arrays: { pixel_values: 'gone' } } }),
    ).rejects.toThrow(/Choose the file again/);
  });

  it('takes back what a session kept, unless it is damaged', async () => {
    const { id, kept } = await give('pixel_values', tensor);
    joined.engine.arrays.clear();
    await joined.client.call('keepArray', { id, kept: structuredClone(kept) });
    const inputs = { arrays: { pixel_values: id } };
    const summary = await openIt(folderOf('samples/vit'), inputs);
    expect(summary.patches?.first).toBe(1);
    await joined.client.call('useInputs', { inputs });
    // rows that bring nothing get what is looked at
    const [row] = await joined.client.call('overview', {
      rows: [{ ids: Array.from({ length: 10 }, (_, i) => i) }],
    });
    const again = await joined.client.call('whatIf', { ...asked, ids: row.tokens.map((_, i) => i), inputs });
    expect(maxAbs(row.summaries.entropy[1], again.baseline.summaries.entropy[1])).toBeLessThan(1e-7);
    (kept as { tensor: Tensor }).tensor.data[0] = 99;
    await expect(joined.client.call('keepArray', { id, kept })).rejects.toThrow(/is damaged/);
  });
});

describe.each(['t5-pair', 'bart-pair'])('encoder and decoder: %s', (name) => {
  const folder = folderOf(`pairs/${name}`);
  const sample = readGoldenSample(folder);
  const source = sample.expected.sourceIds!.join(' ');

  it('each prompt has a source; patterns are as PyTorch computed them', async () => {
    const summary = await openIt(folder);
    expect(summary.wanted).toEqual({ inputs: [], source: true });
    expect(summary.measured!.maxAbs).toBeLessThan(1e-4);
    expect(summary.firstPrompts[0].source).toBeTruthy();
    const inputs = { source };
    const started = await joined.client.call('encode', { text: '', inputs });
    expect([started.empty, started.ids]).toEqual([false, [2]]);
    expect(started.source!.map(({ id }) => id)).toEqual(sample.expected.sourceIds);
    for (const [p, ids] of sample.prompts.entries())
      for (const layer of [0, 1, 2, 3]) {
        const found = await joined.client.call('editedPattern', { ...asked, ids, layer, inputs });
        const wanted = sample.tensor(`p${p}.pattern.${layer}`)!;
        expect(found.dims).toEqual(wanted.dims);
        expect(maxAbs(found.data, wanted.data)).toBeLessThan(1e-4);
      }
    const { layers, size } = await joined.client.call('thumbnails', {
      ids: sample.prompts[0],
      inputs,
      size: 64,
    });
    expect(layers.map((layer) => layer!.length)).toEqual(new Array(4).fill(4 * size * size));
  });

  it('a head is patched from a prompt with another source, and a mean taken over it', async () => {
    const ids = sample.prompts[0];
    const other = '6 10 18 4';
    const workbench = await openWorkbench(folder, nodeDevice('cpu', { threads: 1 }), { source: other });
    const [row] = await runAll(workbench.opened.runner, { rows: [{ ids }], taps: [{ site: 'z' }] });
    const z = row.tap('z', 1);
    await workbench.close();
    const [, tokens, headDim] = z.dims;
    const add = z.data.slice(2 * tokens * headDim, 3 * tokens * headDim);
    const head = { layer: 1, head: 2 };
    const context = {
      ids,
      prompts: { p2: ids },
      references: [ids],
      inputs: { source },
      promptInputs: { p2: { source: other } },
      referenceInputs: [{ source: other }],
    };
    const [patch, mean] = await joined.client.call('resolve', {
      ...context,
      specs: [
        { kind: 'patch', head, from: 'p2' },
        { kind: 'ablate', head, mode: 'mean' },
      ],
    });
    expect(maxAbs((patch.edit as { add: Float32Array }).add, add)).toBeLessThan(1e-5);
    const over = Float32Array.from({ length: headDim }, (_, d) => {
      let sum = 0;
      for (let t = 0; t < tokens; t++) sum += add[t * headDim + d];
      return sum / tokens;
    });
    expect(maxAbs((mean.edit as { add: Float32Array }).add, over)).toBeLessThan(1e-5);
  });
});

describe('an encoder of sound', () => {
  const sample = readGoldenSample(folderOf('samples/sound'));

  it('takes features; frames are its tokens', async () => {
    const summary = await openIt(folderOf('samples/sound'));
    expect(summary.wanted.inputs).toMatchObject([
      { name: 'input_features', kind: 'sound features', shape: ['batch', 6, 20], optional: true },
    ]);
    expect([summary.positions, summary.patches]).toEqual([10, null]);
    const { dims, data } = sample.expected.inputs!.input_features;
    const { id, pixels } = await give(
      'input_features',
      floats(dims, (i) => data[i]),
    );
    expect(pixels).toBeNull();
    const inputs = { arrays: { input_features: id } };
    const { ids, tokens } = await joined.client.call('encode', { text: '', inputs });
    expect(tokens.map(({ text }) => text)).toEqual(ids.map(String));
    const found = await joined.client.call('editedPattern', { ...asked, ids, layer: 1, inputs });
    expect(maxAbs(found.data, sample.tensor('p0.pattern.1')!.data)).toBeLessThan(1e-4);
  });
});

describe('an encoder of sound with a decoder of text', () => {
  it('wants the features before it can be run, and is opened again with them', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'speech-'));
    writeSpeechPair(folder);
    const before = await openIt(folder);
    expect(before.wanted).toMatchObject({
      source: false,
      inputs: [
        { name: 'input_features', kind: 'sound features', file: 'encoder_model.onnx', optional: false },
      ],
    });
    expect([before.measured, before.positions]).toEqual([null, null]);
    await expect(joined.client.call('whatIf', { ...asked, ids: [2, 7] })).rejects.toThrow(
      /makes of the input "input_features"/,
    );
    const { dims, data } = readGoldenSample(folderOf('samples/sound')).expected.inputs!.input_features;
    const tensor = floats(dims, (i) => data[i]);
    const { id } = await give('input_features', tensor);
    const inputs = { arrays: { input_features: id } };
    const after = await openIt(folder, inputs);
    expect(after.measured!.maxAbs).toBeLessThan(1e-4);
    const { ids, source } = await joined.client.call('encode', { text: '7 30', inputs });
    expect(ids).toEqual([2, 7, 30]);
    expect(source).toHaveLength(10);
    const found = await joined.client.call('editedPattern', { ...asked, ids, layer: 1, inputs });
    const workbench = await openWorkbench(folder, nodeDevice('cpu', { threads: 1 }), {
      inputs: { input_features: tensor },
    });
    const [row] = await runAll(workbench.opened.runner, { rows: [{ ids }], taps: [{ site: 'pattern' }] });
    expect(found.dims).toEqual([4, 3, 10]);
    expect(maxAbs(found.data, row.tap('pattern', 1).data)).toBeLessThan(1e-5);
    await workbench.close();
    rmSync(folder, { recursive: true });
  });
});

describe('a decoder that sees', () => {
  it('puts a picture where its token is, as the command line does', async () => {
    const summary = await openIt(divided);
    expect(summary.wanted.inputs).toMatchObject([
      { name: 'pixel_values', kind: 'picture', file: 'onnx/vision_encoder.onnx', optional: true },
      { name: 'image_features', kind: 'picture vectors', shape: [1, 'n', 128], optional: true },
    ]);
    expect(summary.imageToken).toBe('<pad>');
    expect(summary.measured!.maxAbs).toBeLessThan(1e-3);
    const picture = floats([1, 3, PICTURE.side, PICTURE.side], (i) => Math.cos(i));
    const { id } = await give('pixel_values', picture);
    const inputs = { arrays: { pixel_values: id } };
    const text = 'Noah <pad> Otto';
    const encoded = await joined.client.call('encode', { text, inputs });
    const start = encoded.ids.indexOf(IMAGE_TOKEN);
    expect(encoded.picture).toEqual([start, start + PICTURE.vectors]);
    expect(encoded.ids).toHaveLength(3 + PICTURE.vectors);
    const { ids } = encoded;
    const found = await joined.client.call('editedPattern', { ...asked, ids, layer: 2, inputs });
    const workbench = await openWorkbench(divided, nodeDevice('cpu', { threads: 1 }), {
      inputs: { pixel_values: picture },
    });
    expect(workbench.tokenizer.encode(text)).toEqual(ids);
    const [row] = await runAll(workbench.opened.runner, { rows: [{ ids }], taps: [{ site: 'pattern' }] });
    expect(maxAbs(found.data, row.tap('pattern', 2).data)).toBeLessThan(1e-5);
    await workbench.close();
    const plain = await joined.client.call('encode', { text: 'Noah Otto' });
    expect(plain.picture).toBeUndefined();
  });
});
