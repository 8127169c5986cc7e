import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { valueInfo } from '../../src/onnx/build.ts';
import { WireWriter } from '../../src/onnx/wire.ts';
import { chooseModelFile, readCheckpoint } from '../../src/workbench/checkpoint.ts';
import { NodeFolder } from '../../src/workbench/node-folder.ts';
import { message, node } from '../helpers/craft.ts';
import { CHECKPOINTS, checkpointFolder } from '../helpers/models.ts';

/** A folder that counts the bytes read from its files. */
async function countingFolder(root: string): Promise<{ folder: NodeFolder; read: () => number }> {
  const folder = await NodeFolder.open(root);
  const original = folder.open.bind(folder);
  let total = 0;
  folder.open = async (name) => {
    const source = await original(name);
    return {
      ...source,
      read: (offset, length) => {
        total += length;
        return source.read(offset, length);
      },
    };
  };
  return { folder, read: () => total };
}

test.each(CHECKPOINTS)('%s is inspected by reading a part of it', async (name) => {
  const { folder, read } = await countingFolder(checkpointFolder(name));
  try {
    const { sources } = await readCheckpoint(name, folder, await chooseModelFile(folder));
    const size = sources.get('model.onnx')!.size;
    console.info(`inspecting ${name} reads ${read()} of ${size} bytes`);
    expect(read()).toBeLessThan(Math.min(size / 2, 300_000));
  } finally {
    await folder.close();
  }
});

const WIDTH = 5120;
const WEIGHT_BYTES = 4 * WIDTH * WIDTH;

/** Tag and length of a part whose content follows. */
function header(field: number, length: number): Uint8Array {
  const out = [field * 8 + 2];
  for (let rest = length; ; rest = Math.floor(rest / 128)) {
    out.push(rest >= 128 ? (rest % 128) + 128 : rest);
    if (rest < 128) return Uint8Array.from(out);
  }
}

/** Writes y = x · W0 · W1 · W2 with weights of 100 MB inside the file, zeros that take no room on the disk. */
async function writeLarge(file: string): Promise<void> {
  const nodes = [0, 1, 2].map((i) =>
    node({ op: 'MatMul', inputs: [i ? `v${i - 1}` : 'x', `W${i}`], outputs: [i === 2 ? 'y' : `v${i}`] }),
  );
  const before = message((w) => nodes.forEach((one) => w.bytes(1, one)));
  const weights = [0, 1, 2].map((i) => {
    const fields = message((w) => w.varint(1, WIDTH).varint(1, WIDTH).varint(2, 1).string(8, `W${i}`));
    const start = Buffer.concat([fields, header(9, WEIGHT_BYTES)]);
    return Buffer.concat([header(5, start.length + WEIGHT_BYTES), start]);
  });
  const after = message((w) => {
    w.bytes(11, valueInfo('x', 'float32', ['batch', 'tokens', WIDTH]).raw);
    w.bytes(12, valueInfo('y', 'float32').raw);
  });
  const length = [before, ...weights, after].reduce((sum, part) => sum + part.length, 3 * WEIGHT_BYTES);
  const start = new WireWriter().varint(1, 8).message(8, (m) => m.varint(2, 17));
  const handle = await open(file, 'w');
  try {
    let at = 0;
    const put = async (bytes: Uint8Array): Promise<void> => {
      await handle.write(bytes, 0, bytes.length, at);
      at += bytes.length;
    };
    await put(Buffer.concat([start.finish(), header(7, length), before]));
    for (const weight of weights) {
      await put(weight);
      at += WEIGHT_BYTES;
    }
    await put(after);
  } finally {
    await handle.close();
  }
}

describe('a file of 300 MB', () => {
  test('is inspected by reading less than 100 kB', async () => {
    const root = await mkdtemp(path.join(tmpdir(), 'headscope-large-'));
    try {
      await writeLarge(path.join(root, 'model.onnx'));
      const { folder, read } = await countingFolder(root);
      const { parameters, sources, model } = await readCheckpoint('large', folder, 'model.onnx');
      await folder.close();
      expect(parameters).toBe(3 * WIDTH * WIDTH);
      expect(sources.get('model.onnx')!.size).toBeGreaterThan(3 * WEIGHT_BYTES);
      const [, , last] = [...model.graph.initializers.values()];
      expect(last).toMatchObject({ name: 'W2', data: { source: 'model.onnx', length: WEIGHT_BYTES } });
      expect(model.graph.outputs.map(({ name }) => name)).toEqual(['y']);
      expect(read()).toBeLessThan(100_000);
    } finally {
      await rm(root, { recursive: true });
    }
  });
});
