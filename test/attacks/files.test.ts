import { mkdir, open, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { readModel } from '../../src/onnx/read.ts';
import { NodeFolder } from '../../src/workbench/node-folder.ts';
import { inRepository } from '../helpers/models.ts';
import { graph, model, node, tensor, withWeight } from '../helpers/craft.ts';
import { expectRefusal, expectRefused, folderOf, inspect } from './refusal.ts';

describe('files that are no models', () => {
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  test.each([
    ['an empty file', new Uint8Array(0), /is empty/],
    [
      'a PNG image',
      Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13),
      /not a valid ONNX file/,
    ],
    ['a JSON document', text('{"model_type": "gpt2", "vocab_size": 50257}'), /not a valid ONNX file/],
    [
      'a zip archive',
      Uint8Array.of(0x50, 0x4b, 3, 4, 20, 0, 0, 0, 8, 0, 33, 90, 4, 4),
      /not a valid ONNX file/,
    ],
    [
      'a page of text',
      text('version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0\n'),
      /not a valid ONNX file/,
    ],
    ['zeros', new Uint8Array(4096), /not a valid ONNX file/],
    ['a protobuf message of another kind', Uint8Array.of(0x0a, 3, 97, 98, 99), /holds no ONNX graph/],
  ])('%s', async (_, bytes, says) => {
    await expectRefused(bytes, 'bad-onnx', says);
  });
});

describe('folders', () => {
  test('a folder that does not exist', async () => {
    const folder = path.join(await folderOf(), 'absent');
    await expectRefusal(() => inspect(folder), 'missing-file', /absent cannot be opened \(ENOENT\)/);
  });

  test('a file where a folder is asked for', async () => {
    const folder = await folderOf({ 'model.onnx': model() });
    await expectRefusal(() => inspect(path.join(folder, 'model.onnx')), 'missing-file', /is not a folder/);
  });

  test('a folder without a model', async () => {
    const folder = await folderOf({ 'config.json': '{}' });
    await expectRefusal(() => inspect(folder), 'no-model', /no \.onnx file/);
  });

  test('a folder named model.onnx', async () => {
    const folder = await folderOf();
    await mkdir(path.join(folder, 'model.onnx'));
    await expectRefusal(() => inspect(folder), 'no-model', /no \.onnx file/);
  });

  test('a link named model.onnx to a folder', async () => {
    const folder = await folderOf();
    await mkdir(path.join(folder, 'inner'));
    await symlink('inner', path.join(folder, 'model.onnx'));
    await expectRefusal(() => inspect(folder), 'not-a-file', /"model\.onnx" is not a regular file/);
  });

  test('a link named model.onnx to a file outside', async () => {
    const folder = await folderOf();
    await symlink(inRepository('assets/checkpoints/sink-3l/model.onnx'), path.join(folder, 'model.onnx'));
    await expectRefusal(() => inspect(folder), 'outside-folder', /"model\.onnx".*outside its own folder/);
  });

  test('several models of which none has a usual name', async () => {
    const folder = await folderOf({ 'a.onnx': model(), 'b.onnx': model() });
    await expectRefusal(() => inspect(folder), 'many-models', /several models \(a\.onnx, b\.onnx\)/);
  });

  test('a folder that goes away', async () => {
    const root = await folderOf();
    const folder = await NodeFolder.open(root);
    await rm(root, { recursive: true });
    await expectRefusal(() => folder.list(), 'read-failed', /cannot be read \(ENOENT\)/);
  });
});

describe('files that change while they are open', () => {
  const large = withWeight(tensor({ dims: [512, 512], raw: new Uint8Array(4 * 512 * 512) }));

  test('a file cut short', async () => {
    const root = await folderOf({ 'model.onnx': large });
    const folder = await NodeFolder.open(root);
    try {
      const source = await folder.open('model.onnx');
      const file = await open(path.join(root, 'model.onnx'), 'r+');
      await file.truncate(20);
      await file.close();
      await expectRefusal(() => readModel(source), 'read-failed', /"model\.onnx" became shorter/);
    } finally {
      await folder.close();
    }
  });

  test('a file exchanged for another keeps being the one that was opened', async () => {
    const root = await folderOf({ 'model.onnx': large });
    const folder = await NodeFolder.open(root);
    try {
      const source = await folder.open('model.onnx');
      await rm(path.join(root, 'model.onnx'));
      await writeFile(path.join(root, 'model.onnx'), model(graph({ nodes: [node({ op: 'Exp' })] })));
      expect((await readModel(source)).graph.nodes.map(({ opType }) => opType)).toEqual(['MatMul']);
    } finally {
      await folder.close();
    }
  });

  test('a closed file', async () => {
    const folder = await NodeFolder.open(await folderOf({ 'model.onnx': large }));
    const source = await folder.open('model.onnx');
    await folder.close();
    await expectRefusal(() => readModel(source), 'read-failed', /"model\.onnx" cannot be read/);
  });
});
